//! How the plugin is called, and how it says what went wrong: the words of the specification.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::{Value, json};

use super::bindings::BindingsError;
use crate::credential::is_name;
use crate::gateway::settings::is_interface;
use crate::limits;
use crate::network::Network;
use crate::ruleset::bound::Port;

/// The versions that are spoken.
pub(super) const VERSIONS: [&str; 4] = ["0.4.0", "1.0.0", "1.1.0", "0.3.1"];
/// The newest of them.
pub(super) const NEWEST: &str = "1.1.0";
/// Where the agent keeps its state, if the network does not say.
const STATE_DIR: &str = "/run/fprs-egress";

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Add,
    Check,
    Del,
    Gc,
    Status,
    Version,
}

/// By the environment.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) verb: Verb,
    container: Option<String>,
    interface: Option<String>,
}

/// One interface of one container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Attachment {
    pub(super) container: String,
    pub(super) interface: String,
}

/// By standard input.
#[derive(Clone, Debug)]
pub(super) struct Config {
    pub(super) version: String,
    pub(super) pool: String,
    pub(super) state_dir: PathBuf,
    pub(super) map_above: usize,
    previous: Option<Value>,
    pub(super) valid: Vec<Attachment>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Input {
    #[serde(default)]
    cni_version: String,
    #[serde(default)]
    pool: String,
    state_dir: Option<PathBuf>,
    map_above: Option<usize>,
    prev_result: Option<Value>,
    #[serde(default, rename = "cni.dev/valid-attachments")]
    valid: Vec<InputAttachment>,
}

#[derive(Deserialize)]
struct InputAttachment {
    #[serde(rename = "containerID")]
    container_id: String,
    ifname: String,
}

/// An error as the specification has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failed {
    code: u32,
    message: String,
}

impl Call {
    pub(super) fn parse(variable: impl Fn(&str) -> Option<String>) -> Result<Self, Failed> {
        let verb = match variable("CNI_COMMAND").as_deref() {
            Some("ADD") => Verb::Add,
            Some("CHECK") => Verb::Check,
            Some("DEL") => Verb::Del,
            Some("GC") => Verb::Gc,
            Some("STATUS") => Verb::Status,
            Some("VERSION") => Verb::Version,
            _ => return Err(Failed::new(4, "CNI_COMMAND is no verb of CNI 1.1.0")),
        };
        Ok(Self {
            verb,
            container: variable("CNI_CONTAINERID"),
            interface: variable("CNI_IFNAME"),
        })
    }

    /// Which interface of which container is meant.
    pub(super) fn attachment(&self) -> Result<Attachment, Failed> {
        let missing = || Failed::new(4, "CNI_CONTAINERID and CNI_IFNAME must say which interface");
        let container = self.container.clone().filter(|id| !id.is_empty());
        let interface = self.interface.clone().filter(|name| is_interface(name));
        Ok(Attachment {
            container: container.ok_or_else(missing)?,
            interface: interface.ok_or_else(missing)?,
        })
    }
}

impl Config {
    pub(super) fn parse(input: &str, verb: Verb) -> Result<Self, Failed> {
        let input: Input =
            serde_json::from_str(input).map_err(|error| Failed::decode(error.to_string()))?;
        let asks = verb == Verb::Version;
        if !asks && !VERSIONS.contains(&input.cni_version.as_str()) {
            let error = format!("cniVersion `{}` is not spoken", input.cni_version);
            return Err(Failed::new(1, error));
        }
        if !asks && !is_name(&input.pool) {
            return Err(Failed::new(
                7,
                "`pool` must name a pool of this host's agent",
            ));
        }
        let version = input.cni_version;
        let valid = input.valid.into_iter().map(|valid| Attachment {
            container: valid.container_id,
            interface: valid.ifname,
        });
        Ok(Self {
            version: if version.is_empty() {
                NEWEST.into()
            } else {
                version
            },
            pool: input.pool,
            state_dir: input.state_dir.unwrap_or_else(|| STATE_DIR.into()),
            map_above: input.map_above.unwrap_or(limits::RULED_BINDINGS),
            previous: input.prev_result,
            valid: valid.collect(),
        })
    }

    /// What the plugins before this one made; printed as it came.
    pub(super) fn previous(&self) -> Result<&Value, Failed> {
        self.previous.as_ref().ok_or_else(|| {
            Failed::new(
                7,
                "there is no prevResult: chain this plugin after one that adds an interface",
            )
        })
    }

    /// Where the container is on this host, and its address.
    pub(super) async fn port(
        &self,
        network: &Network,
        attachment: &Attachment,
    ) -> Result<Port, Failed> {
        let (names, address) = host_end(self.previous()?, &attachment.interface)?;
        let mut found = None;
        for name in names {
            let bridge = network.bridge_of(&name).await.map_err(Failed::io)?;
            let in_bridge = bridge.is_some();
            let port = Port {
                name,
                bridge,
                address,
            };
            // Beside its port a plugin may list the bridge itself.
            if in_bridge || found.is_none() {
                found = Some(port);
            }
        }
        found.ok_or_else(|| Failed::new(7, "prevResult lists no interface of the host"))
    }
}

/// The interfaces of the host in a result, and the container's IPv4 address.
fn host_end(result: &Value, interface: &str) -> Result<(Vec<String>, Ipv4Addr), Failed> {
    let list = |key: &str| {
        result
            .get(key)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
    };
    let text = |value: &Value, key: &str| {
        let text = value.get(key).and_then(Value::as_str);
        text.unwrap_or_default().to_owned()
    };
    let own = list("interfaces")
        .position(|found| text(found, "name") == interface && !text(found, "sandbox").is_empty());
    let names = list("interfaces")
        .filter(|found| text(found, "sandbox").is_empty())
        .map(|found| text(found, "name"))
        .filter(|name| is_interface(name))
        .collect();
    let mut addresses = list("ips").filter_map(|found| {
        let of = found.get("interface").and_then(Value::as_u64);
        let of = of.and_then(|of| usize::try_from(of).ok());
        let ours = of.is_none() || own.is_none() || of == own;
        let address = text(found, "address");
        let address = address.split('/').next()?.parse::<Ipv4Addr>().ok()?;
        ours.then_some(address)
    });
    let address = addresses.next();
    let address = address.ok_or_else(|| {
        Failed::new(
            7,
            "prevResult has no IPv4 address of the container: only IPv4 is carried",
        )
    })?;
    Ok((names, address))
}

impl Failed {
    fn new(code: u32, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    pub(super) fn decode(error: String) -> Self {
        Self::new(6, error)
    }

    pub(super) fn io(error: impl ToString) -> Self {
        Self::new(5, error.to_string())
    }

    pub(super) fn bindings(error: BindingsError) -> Self {
        // 11: try again later.
        let code = if matches!(error, BindingsError::Locked) {
            11
        } else {
            5
        };
        Self::new(code, error.to_string())
    }

    pub(super) fn no_agent(pool: &str) -> Self {
        let error =
            format!("no agent on this host has the pool `{pool}`; start `fprs egress agent`");
        Self::new(11, error)
    }

    pub(super) fn no_tunnel(pool: &str) -> Self {
        Self::new(50, format!("the pool `{pool}` has no tunnel at the moment"))
    }

    pub(super) fn not_bound(container: &str, pool: &str) -> Self {
        Self::new(
            101,
            format!("{container} is not bound to the pool `{pool}`"),
        )
    }

    pub(super) fn json(&self, version: &str) -> Value {
        json!({ "cniVersion": version, "code": self.code, "msg": self.message })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str, verb: Verb) -> Result<Config, u32> {
        Config::parse(text, verb).map_err(|failed| failed.code)
    }

    #[test]
    fn what_is_wrong_has_the_specifications_code() {
        let codes = [
            ("{", 6),
            (r#"{"cniVersion":"2.0.0","pool":"p"}"#, 1),
            (r#"{"cniVersion":"1.1.0"}"#, 7),
            (r#"{"cniVersion":"1.1.0","pool":"../p"}"#, 7),
        ];
        for (text, code) in codes {
            assert_eq!(config(text, Verb::Add).err(), Some(code), "{text}");
        }
        assert!(config("{}", Verb::Version).is_ok());
        let no_verb = Call::parse(|_| None).map_err(|failed| failed.code);
        assert_eq!(no_verb.err(), Some(4));
    }

    #[test]
    fn an_add_that_is_not_chained_is_refused() {
        let config = config(r#"{"cniVersion":"1.1.0","pool":"p"}"#, Verb::Add).unwrap();
        assert_eq!(config.previous().map_err(|failed| failed.code), Err(7));
    }

    #[test]
    fn the_address_is_that_of_the_interface_in_question() {
        let result = json!({
            "interfaces": [
                { "name": "cni0" },
                { "name": "veth1" },
                { "name": "eth0", "sandbox": "/run/netns/x" },
                { "name": "net1", "sandbox": "/run/netns/x" },
            ],
            "ips": [
                { "address": "fd00::2/64", "interface": 2 },
                { "address": "10.1.0.2/24", "interface": 3 },
                { "address": "10.88.0.2/24", "interface": 2 },
            ],
        });
        let (names, address) = host_end(&result, "eth0").unwrap();
        assert_eq!(names, ["cni0", "veth1"]);
        assert_eq!(address, Ipv4Addr::new(10, 88, 0, 2));
        let none = json!({ "ips": [{ "address": "fd00::2/64" }] });
        assert!(host_end(&none, "eth0").is_err());
    }
}
