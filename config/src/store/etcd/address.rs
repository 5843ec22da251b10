//! PURE. Where a store on etcd is: `etcd://host:port[,host:port…][/prefix]`, plaintext.

use std::fmt;
use std::str::FromStr;

use super::EtcdError;

/// A part of an etcd cluster's keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Etcd {
    /// Members, `host:port`.
    pub(super) members: Vec<String>,
    /// What every key begins with, without a slash at the end.
    pub(super) prefix: String,
}

/// How an address begins.
const SCHEME: &str = "etcd://";
/// Without one, as a cluster is often shared.
const PREFIX: &str = "fprs";

impl FromStr for Etcd {
    type Err = EtcdError;

    fn from_str(address: &str) -> Result<Self, EtcdError> {
        let malformed = || EtcdError::Address(address.to_owned());
        let rest = address.strip_prefix(SCHEME).ok_or_else(malformed)?;
        let (members, prefix) = rest.split_once('/').unwrap_or((rest, PREFIX));
        let members: Vec<String> = members.split(',').map(str::to_owned).collect();
        let whole = members.iter().all(|member| {
            let parts = member.rsplit_once(':');
            parts.is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
        });
        if !whole || prefix.is_empty() || prefix.ends_with('/') {
            return Err(malformed());
        }
        Ok(Self {
            members,
            prefix: prefix.to_owned(),
        })
    }
}

impl fmt::Display for Etcd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}/{}", self.members.join(","), self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_and_prefix_are_read_or_the_address_is_refused() {
        let etcd: Etcd = "etcd://a:2379,b:2379/zone/one".parse().unwrap();
        assert_eq!(etcd.members, ["a:2379", "b:2379"]);
        assert_eq!(etcd.prefix, "zone/one");
        assert_eq!(etcd.to_string(), "etcd://a:2379,b:2379/zone/one");
        assert_eq!("etcd://a:2379".parse::<Etcd>().unwrap().prefix, "fprs");
        for bad in [
            "a:2379",
            "etcd://a",
            "etcd://a:1,",
            "etcd://a:1/",
            "etcd://:1",
        ] {
            assert!(bad.parse::<Etcd>().is_err(), "{bad}");
        }
    }
}
