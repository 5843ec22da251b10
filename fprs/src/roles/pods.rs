//! The executor for what has an image, beside control.

use fprs_config::View;

use super::Controlling;
use crate::failure::Failure;
use crate::process::Parts;
use crate::settings::{Kubernetes, Settings};
#[cfg(feature = "kubernetes")]
use crate::settings::{PodCollector, SecretKey};

/// Runs servers with an image as pods from now on.
///
/// # Errors
/// There is no cluster to talk to, or this build can't.
#[cfg(feature = "kubernetes")]
pub async fn run_pods(
    settings: &Settings,
    kubernetes: &Kubernetes,
    control: &Controlling,
    view: &View,
    parts: &mut Parts,
) -> Result<(), Failure> {
    let pods = fprs_kubernetes::Settings {
        pods: fprs_kubernetes::Pods {
            plane: settings.zone.clone(),
            namespace: kubernetes.namespace.clone(),
            compute_region: settings.compute_region.clone(),
        },
        relay: fprs_kubernetes::Relay {
            image: kubernetes.relay_image.clone(),
            control: kubernetes.control.clone(),
            token_secret: kubernetes.token_secret.clone(),
            collector: kubernetes.collector.as_ref().map(collector),
        },
    };
    let executor = fprs_kubernetes::Executor::connect(pods, control.store(), view.clone());
    let executor = executor.await.map_err(Failure::new)?;
    parts.run("the Kubernetes executor", executor.run());
    Ok(())
}

#[cfg(feature = "kubernetes")]
fn collector(collector: &PodCollector) -> fprs_kubernetes::Collector {
    let key = |key: &SecretKey| fprs_kubernetes::SecretKey {
        secret: key.secret.clone(),
        key: key.key.clone(),
    };
    fprs_kubernetes::Collector {
        endpoint: collector.endpoint.clone(),
        sample: collector.sample.to_string(),
        authorities: collector.authorities.as_ref().map(key),
        headers: collector.headers.as_ref().map(key),
    }
}

/// The same in a build without it.
///
/// # Errors
/// Always.
#[cfg(not(feature = "kubernetes"))]
pub async fn run_pods(
    _: &Settings,
    _: &Kubernetes,
    _: &Controlling,
    _: &View,
    _: &mut Parts,
) -> Result<(), Failure> {
    Err(Failure::new(
        "this fprs was built without its Kubernetes executor; build it with the feature `kubernetes`",
    ))
}
