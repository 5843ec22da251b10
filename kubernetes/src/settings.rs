//! PURE. Whose pods, where, and with which relay in them.

use serde::{Deserialize, Serialize};

/// What the executor is started with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which pods are this plane's.
    pub pods: Pods,
    /// What new Deployments have for a relay.
    pub relay: Relay,
}

/// Which pods are this plane's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pods {
    /// The plane's zone: the value of the label `fprs/plane`, so 63 characters at most.
    pub plane: String,
    /// Where they are.
    pub namespace: String,
    /// Servers of this compute region run in them.
    pub compute_region: String,
}

/// The relay beside a program. A Deployment keeps the one it was made with: another one would make
/// Kubernetes replace pods that serve.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Relay {
    /// The image of fprs.
    pub image: String,
    /// Admin addresses of control, as pods reach it.
    pub control: Vec<String>,
    /// The Secret with their token, under the key `token`.
    pub token_secret: String,
    /// Where it sends spans, if anywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collector: Option<Collector>,
}

/// A collector of spans, as pods reach it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Collector {
    /// Its URL.
    pub endpoint: String,
    /// Of the traces that begin here, from 0 to 1.
    pub sample: String,
    /// Who may have signed its certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorities: Option<SecretKey>,
    /// Headers that it wants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headers: Option<SecretKey>,
}

/// A key of a Secret in the pods' namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretKey {
    /// The Secret.
    pub secret: String,
    /// Its key.
    pub key: String,
}
