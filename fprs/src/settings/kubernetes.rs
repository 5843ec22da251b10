//! PURE. What control is told of the cluster it makes pods in, and a relay of the pod it is part of.

use std::net::{IpAddr, SocketAddr};

use fprs_config::MadeFor;

use super::given::{GivenKubernetes, GivenPod};
use super::values::address;
use crate::failure::Failure;

/// Where a pod's relay listens for proxies.
const POD_DATA_PORT: u16 = 8001;
/// Where it answers probes.
const POD_ADMIN_PORT: u16 = 8002;
/// Where the program beside it listens, unless told otherwise.
const POD_PROGRAM: &str = "127.0.0.1:8000";

/// Where control runs what has an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kubernetes {
    /// The namespace of the pods.
    pub namespace: String,
    /// The image of fprs.
    pub relay_image: String,
    /// Admin addresses of control, for relays in pods.
    pub control: Vec<String>,
    /// The Secret with their token.
    pub token_secret: String,
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
    pub(super) fn checked(self) -> Option<Kubernetes> {
        Some(Kubernetes {
            namespace: self.kubernetes?,
            relay_image: self.kubernetes_relay_image?,
            control: self.kubernetes_control,
            token_secret: self
                .kubernetes_token_secret
                .unwrap_or_else(|| "fprs-worker".to_owned()),
        })
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
