//! PURE. What control is told of the cluster it makes pods in, and a relay of the pod it is part of.

use std::net::{IpAddr, SocketAddr};

use fprs_config::MadeFor;

use super::given::{GivenKubernetes, GivenPod};
use super::traces::Tracing;
use super::values::address;
use crate::failure::Failure;

/// Where a pod's relay listens for proxies.
const POD_DATA_PORT: u16 = 8001;
/// Where it answers probes.
const POD_ADMIN_PORT: u16 = 8002;
/// Where the program beside it listens, unless told otherwise.
const POD_PROGRAM: &str = "127.0.0.1:8000";

/// Where control runs what has an image.
#[derive(Clone, Debug, PartialEq)]
pub struct Kubernetes {
    /// The namespace of the pods.
    pub namespace: String,
    /// The image of fprs.
    pub relay_image: String,
    /// Admin addresses of control, for relays in pods.
    pub control: Vec<String>,
    /// The Secret with their token.
    pub token_secret: String,
    /// Where those relays send spans, if anywhere: where others do.
    pub collector: Option<PodCollector>,
}

/// A collector, as relays in pods are told of it.
#[derive(Clone, Debug, PartialEq)]
pub struct PodCollector {
    /// Its URL.
    pub endpoint: String,
    /// Of the traces that begin here, from 0 to 1.
    pub sample: f64,
    /// Who may have signed its certificate.
    pub authorities: Option<SecretKey>,
    /// Headers that it wants.
    pub headers: Option<SecretKey>,
}

/// A key of a Secret in the pods' namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretKey {
    /// The Secret.
    pub secret: String,
    /// Its key.
    pub key: String,
}

/// The pod a relay is part of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Its name, which is the worker's.
    pub name: String,
    /// What it was made to run.
    pub made_for: MadeFor,
    /// Where proxies reach the relay.
    pub listen: SocketAddr,
    /// Where probes reach it.
    pub admin: SocketAddr,
    /// Where the program in the container beside listens.
    pub program: SocketAddr,
}

impl GivenKubernetes {
    /// With relays that send spans where that says.
    pub(super) fn checked(self, tracing: Option<&Tracing>) -> Result<Option<Kubernetes>, Failure> {
        let authorities = secret_key("kubernetes-otlp-ca", self.kubernetes_otlp_ca)?;
        let headers = secret_key("kubernetes-otlp-headers", self.kubernetes_otlp_headers)?;
        let (Some(namespace), Some(relay_image)) = (self.kubernetes, self.kubernetes_relay_image)
        else {
            return Ok(None);
        };
        if tracing.is_none_or(|tracing| tracing.trust.is_none())
            && (authorities.is_some() || headers.is_some())
        {
            return Err(Failure::usage(
                "--kubernetes-otlp-ca and --kubernetes-otlp-headers need `--otlp-endpoint` as https://…",
            ));
        }
        Ok(Some(Kubernetes {
            namespace,
            relay_image,
            control: self.kubernetes_control,
            token_secret: self
                .kubernetes_token_secret
                .unwrap_or_else(|| "fprs-worker".to_owned()),
            collector: tracing.map(|tracing| PodCollector {
                endpoint: tracing.url(),
                sample: tracing.sample,
                authorities,
                headers,
            }),
        }))
    }
}

fn secret_key(name: &str, text: Option<String>) -> Result<Option<SecretKey>, Failure> {
    let Some(text) = text else {
        return Ok(None);
    };
    let part = |part: &str| !part.is_empty() && !part.contains('/');
    match text.split_once('/') {
        Some((secret, key)) if part(secret) && part(key) => Ok(Some(SecretKey {
            secret: secret.to_owned(),
            key: key.to_owned(),
        })),
        _ => Err(Failure::usage(format!(
            "`--{name} {text}`: not a Secret and its key like collector/ca.crt"
        ))),
    }
}

impl GivenPod {
    pub(super) fn checked(self) -> Result<Option<Pod>, Failure> {
        let (Some(pod), Some(name), Some(ip)) = (self.pod, self.pod_name, self.pod_ip) else {
            return Ok(None);
        };
        let made_for = made_for(&pod).ok_or_else(|| {
            Failure::usage(format!(
                "`--pod {pod}`: not a server and a generation like hello/3"
            ))
        })?;
        let ip: IpAddr = ip
            .parse()
            .map_err(|_| Failure::usage(format!("`--pod-ip {ip}`: not an IP address")))?;
        let program = self.pod_program.as_deref().unwrap_or(POD_PROGRAM);
        Ok(Some(Pod {
            name,
            made_for,
            listen: SocketAddr::new(ip, POD_DATA_PORT),
            admin: SocketAddr::new(ip, POD_ADMIN_PORT),
            program: address("pod-program", program)?,
        }))
    }
}

fn made_for(text: &str) -> Option<MadeFor> {
    let (server, generation) = text.split_once('/')?;
    let generation = generation.parse().ok().filter(|count| *count > 0)?;
    (!server.is_empty()).then(|| MadeFor {
        server: server.into(),
        generation,
    })
}

#[cfg(test)]
mod tests {
    use super::super::traces::Trust;
    use super::*;

    fn given(pod: &str, ip: &str) -> GivenPod {
        GivenPod {
            pod: Some(pod.to_owned()),
            pod_name: Some("hello-x".to_owned()),
            pod_ip: Some(ip.to_owned()),
            pod_program: None,
        }
    }

    #[test]
    fn a_pod_says_what_it_was_made_for_and_listens_at_its_own_address() {
        let pod = given("hello/3", "fd00::7").checked().unwrap().unwrap();
        assert_eq!(
            (&*pod.made_for.server, pod.made_for.generation),
            ("hello", 3)
        );
        assert_eq!(pod.listen.to_string(), "[fd00::7]:8001");
        assert_eq!(pod.admin.to_string(), "[fd00::7]:8002");
        assert_eq!(pod.program.to_string(), "127.0.0.1:8000");
        assert!(GivenPod::default().checked().unwrap().is_none());
    }

    #[test]
    fn relays_in_pods_send_spans_where_others_do() {
        let given = |authorities: &str| GivenKubernetes {
            kubernetes: Some("replicas".to_owned()),
            kubernetes_relay_image: Some("fprs:1".to_owned()),
            kubernetes_otlp_ca: Some(authorities.to_owned()),
            ..GivenKubernetes::default()
        };
        let tls = Tracing {
            host: "collector".to_owned(),
            port: 4317,
            trust: Some(Trust::System),
            headers: Vec::new(),
            sample: 0.5,
        };
        let checked = given("collector/ca.crt").checked(Some(&tls)).unwrap();
        let collector = checked.unwrap().collector.unwrap();
        assert_eq!(collector.endpoint, "https://collector:4317");
        assert_eq!(collector.authorities.unwrap().key, "ca.crt");
        for wrong in ["collector", "collector/", "/ca.crt", "a/b/c"] {
            let failure = given(wrong).checked(Some(&tls)).unwrap_err().to_string();
            assert!(
                failure.contains(&format!("--kubernetes-otlp-ca {wrong}")),
                "{failure}"
            );
        }
        let plain = Tracing { trust: None, ..tls };
        for tracing in [None, Some(&plain)] {
            let failure = given("a/b").checked(tracing).unwrap_err().to_string();
            assert!(failure.contains("--otlp-endpoint"), "{failure}");
        }
    }

    #[test]
    fn what_no_pod_can_be_is_refused_by_name() {
        for (pod, ip, word) in [
            ("hello", "10.0.0.1", "--pod hello"),
            ("hello/0", "10.0.0.1", "--pod hello/0"),
            ("/1", "10.0.0.1", "--pod /1"),
            ("hello/1", "here", "--pod-ip here"),
        ] {
            let failure = given(pod, ip).checked().unwrap_err().to_string();
            assert!(failure.contains(word), "{failure}");
        }
    }
}
