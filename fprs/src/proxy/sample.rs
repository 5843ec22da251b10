//! PURE. Which bucket a request falls into: by the value of a key, hashed, so that who is taken once is
//! always taken, at every proxy. Noted for the access log.

use std::borrow::Cow;
use std::sync::Arc;

use fprs_config::{Mirror, MirrorKey};
use fprs_forward::downstream::Inbound;
use fprs_forward::fields;
use http::HeaderMap;
use http::header::{COOKIE, HeaderName};
use ipnet::IpNet;

use crate::proxy::access_log::Note;
use crate::proxy::forwarded;

/// Decides by a record's key, share and salt.
#[derive(Debug)]
pub struct Sampler {
    record: Arc<Mirror>,
    /// The header that decides, where one does.
    header: Option<HeaderName>,
}

impl Sampler {
    /// By that record; `None`: its header is none.
    pub fn new(record: &Arc<Mirror>) -> Option<Self> {
        let header = match &record.key {
            MirrorKey::Header(name) => Some(HeaderName::try_from(name.as_str()).ok()?),
            MirrorKey::Request | MirrorKey::Client | MirrorKey::Token | MirrorKey::Cookie(_) => {
                None
            }
        };
        Some(Self {
            header,
            record: Arc::clone(record),
        })
    }

    /// The request is taken; `None`: it has no value of the key.
    pub(in crate::proxy) fn takes(
        &self,
        inbound: &Inbound,
        edges: &[IpNet],
        note: &mut Note,
    ) -> Option<bool> {
        let value = self.value(inbound, edges)?;
        if self.record.takes_all() && !note.is_wanted() {
            return Some(true);
        }
        let bucket = Mirror::bucket(&self.record.salt, &value);
        note.sampled(&self.record.name, bucket);
        Some(bucket < self.record.basis_points)
    }

    fn value<'a>(&self, inbound: &'a Inbound, edges: &[IpNet]) -> Option<Cow<'a, [u8]>> {
        let head = inbound.request.headers();
        let of = |name: &HeaderName| head.get(name).map(|value| value.as_bytes());
        let value = match &self.record.key {
            MirrorKey::Request => of(&forwarded::REQUEST_ID)?,
            MirrorKey::Token => of(&fields::TOKEN_ID)?,
            MirrorKey::Header(_) => of(self.header.as_ref()?)?,
            MirrorKey::Cookie(name) => cookie(head, name.as_bytes())?,
            MirrorKey::Client => {
                let source = forwarded::source(head, &inbound.client, edges).to_canonical();
                return Some(source.to_string().into_bytes().into());
            }
        };
        Some(value.into())
    }
}

/// The value of the first cookie of that name (RFC 6265 §4.2).
fn cookie<'a>(fields: &'a HeaderMap, name: &[u8]) -> Option<&'a [u8]> {
    let pairs = fields.get_all(COOKIE).iter();
    let pairs = pairs.flat_map(|field| field.as_bytes().split(|byte| *byte == b';'));
    pairs
        .filter_map(|pair| pair.trim_ascii().strip_prefix(name)?.strip_prefix(b"="))
        .next()
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::rc::Rc;

    use fprs_forward::Body;
    use fprs_forward::downstream::Client;
    use http::Request;

    use super::*;

    fn sampler(key: MirrorKey, basis_points: u32) -> Sampler {
        let record = Mirror {
            key,
            basis_points,
            ..Mirror::new("m", "a", "b")
        };
        Sampler::new(&Arc::new(record)).unwrap()
    }

    fn inbound(fields: &[(&'static str, String)]) -> Inbound {
        let mut request = Request::new(());
        for (name, value) in fields {
            request.headers_mut().append(*name, value.parse().unwrap());
        }
        let address: SocketAddr = "10.0.0.1:1000".parse().unwrap();
        Inbound {
            request,
            body: Body::None,
            client: Rc::new(Client::new(address)),
        }
    }

    #[test]
    fn who_is_taken_depends_on_the_keys_value_alone() {
        let (user, cookie) = ("x-user", "sid");
        for (key, of) in [
            (MirrorKey::Request, "x-request-id"),
            (MirrorKey::Token, "x-fprs-token-id"),
            (MirrorKey::Header(user.to_owned()), user),
            (MirrorKey::Cookie(cookie.to_owned()), "cookie"),
            (MirrorKey::Client, "x-forwarded-for"),
        ] {
            let sampler = sampler(key, 2_000);
            let edges = ["10.0.0.0/8".parse().unwrap()];
            let mut takes = 0;
            for number in 0..2_000_u32 {
                let value = match of {
                    "cookie" => format!("a=b; {cookie}={number}; c=d"),
                    "x-forwarded-for" => std::net::Ipv4Addr::from(number + 1).to_string(),
                    _ => number.to_string(),
                };
                let mut seen = (0..2).map(|_| {
                    let noise = [("x-noise", fastrand::u64(..).to_string())];
                    let fields = [&[(of, value.clone())][..], &noise].concat();
                    let note = &mut Note::nothing();
                    sampler.takes(&inbound(&fields), &edges, note).unwrap()
                });
                let first = seen.next().unwrap();
                assert!(seen.all(|again| again == first));
                takes += u32::from(first);
            }
            assert!((300..500).contains(&takes), "{of}: {takes} of 2,000");
        }
    }

    #[test]
    fn what_has_no_key_is_neither_taken_nor_left() {
        let sampler = sampler(MirrorKey::Header("x-user".to_owned()), 10_000);
        let takes = |fields: &[(&'static str, String)]| {
            sampler.takes(&inbound(fields), &[], &mut Note::nothing())
        };
        assert_eq!(takes(&[("x-user", "u".to_owned())]), Some(true));
        assert_eq!(takes(&[]), None);
    }
}
