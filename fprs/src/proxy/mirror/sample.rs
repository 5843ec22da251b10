//! PURE. Which mirrors of a route take a request: by the value of each one's key, hashed, so that who
//! is taken once is always taken, at every proxy.

use std::sync::Arc;

use fprs_config::MirrorKey;
use fprs_forward::Body;
use fprs_forward::downstream::{Client, Inbound};
use fprs_forward::fields;
use http::HeaderMap;
use http::header::{COOKIE, HeaderName};
use ipnet::IpNet;

use super::{Ending, Mirroring};
use crate::proxy::forwarded;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The mirrors that take the request. What a mirror can't take is counted.
pub fn taken(
    mirrors: &[Arc<Mirroring>],
    inbound: &Inbound,
    edges: &[IpNet],
) -> Vec<Arc<Mirroring>> {
    let Inbound {
        request,
        body,
        client,
    } = inbound;
    let takes = |mirror: &&Arc<Mirroring>| {
        match takes(mirror, request.headers(), client, edges) {
            Some(true) if *body != Body::Tunnel => return true,
            Some(true) => mirror.tally.count(Ending::WebSocket),
            Some(false) => {}
            None => mirror.tally.count(Ending::NoKey),
        }
        false
    };
    mirrors.iter().filter(takes).cloned().collect()
}

/// `None`: the request has no value of its key.
fn takes(mirror: &Mirroring, fields: &HeaderMap, client: &Client, edges: &[IpNet]) -> Option<bool> {
    let of = |name: &HeaderName| fields.get(name).map(|value| value.as_bytes());
    let value = match &mirror.record.key {
        MirrorKey::Request => of(&REQUEST_ID)?,
        MirrorKey::Token => of(&fields::TOKEN_ID)?,
        MirrorKey::Header(_) => of(mirror.header.as_ref()?)?,
        MirrorKey::Cookie(name) => cookie(fields, name.as_bytes())?,
        MirrorKey::Client => {
            let source = forwarded::source(fields, client, edges).to_canonical();
            return Some(mirror.record.takes(source.to_string().as_bytes()));
        }
    };
    Some(mirror.record.takes(value))
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

    use fprs_config::Mirror;
    use http::Request;

    use super::*;
    use crate::proxy::mirror::Mirrors;

    fn mirroring(key: MirrorKey, basis_points: u32) -> Arc<Mirroring> {
        let record = Mirror {
            key,
            basis_points,
            ..Mirror::new("m", "a", "b")
        };
        Mirrors::default().of(&Arc::new(record), "t").unwrap()
    }

    fn inbound(fields: &[(&'static str, String)], body: Body) -> Inbound {
        let mut request = Request::new(());
        for (name, value) in fields {
            request.headers_mut().append(*name, value.parse().unwrap());
        }
        let address: SocketAddr = "10.0.0.1:1000".parse().unwrap();
        let client = Rc::new(Client::new(address));
        Inbound {
            request,
            body,
            client,
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
            let mirror = mirroring(key, 2_000);
            let edges = ["10.0.0.0/8".parse().unwrap()];
            let mut takes = 0;
            for number in 0..2_000_u32 {
                let value = match of {
                    "cookie" => format!("a=b; {cookie}={number}; c=d"),
                    "x-forwarded-for" => std::net::Ipv4Addr::from(number + 1).to_string(),
                    _ => number.to_string(),
                };
                let noise = [("x-noise", fastrand::u64(..).to_string())];
                let fields = [&[(of, value)][..], &noise].concat();
                let mirrors = [Arc::clone(&mirror)];
                let taken = |body| taken(&mirrors, &inbound(&fields, body), &edges).len();
                assert_eq!(taken(Body::None), taken(Body::Stream));
                takes += taken(Body::None);
            }
            assert!((300..500).contains(&takes), "{of}: {takes} of 2,000");
        }
    }

    #[test]
    fn what_has_no_key_or_is_a_websocket_is_not_taken_and_counted() {
        let mirror = mirroring(MirrorKey::Header("x-user".to_owned()), 10_000);
        let mirrors = [Arc::clone(&mirror)];
        let with = [("x-user", "u".to_owned())];
        assert_eq!(taken(&mirrors, &inbound(&with, Body::None), &[]).len(), 1);
        assert!(taken(&mirrors, &inbound(&with, Body::Tunnel), &[]).is_empty());
        assert!(taken(&mirrors, &inbound(&[], Body::None), &[]).is_empty());
        let ended = |ending| mirror.tally.ended(ending);
        assert_eq!((ended(Ending::WebSocket), ended(Ending::NoKey)), (1, 1));
    }

    #[test]
    fn a_paused_mirror_takes_nothing() {
        let record = Mirror {
            paused: true,
            ..Mirror::new("m", "a", "b")
        };
        assert!(Mirrors::default().of(&Arc::new(record), "t").is_none());
    }
}
