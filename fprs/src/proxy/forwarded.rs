//! PURE. What a program is told of where a request came from: `x-forwarded-for`,
//! `x-forwarded-proto` and `x-request-id`. Only a trusted edge is believed; what others say about
//! themselves is replaced by what we saw.

use std::net::IpAddr;

use bytes::Bytes;
use fprs_forward::downstream::Client;
use http::header::{FORWARDED, HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// What a request is known by in every log.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What only an edge may say, beside the two that every program is told.
const OF_THE_EDGE: [HeaderName; 4] = [
    FORWARDED,
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-forwarded-port"),
    HeaderName::from_static("x-real-ip"),
];

/// A request id longer than this is replaced: it goes into logs.
const REQUEST_ID_BYTES: usize = 128;

/// Makes the fields tell the truth. `random` becomes the request's id if it has none.
pub fn tell(fields: &mut HeaderMap, client: &Client, edges: &[IpNet], random: u128) {
    let said = Said::of(fields);
    let trusted = is_trusted(client, edges);
    if said.others && !trusted {
        for name in &OF_THE_EDGE {
            fields.remove(name);
        }
    }
    if !(said.forwarded_for && trusted) {
        fields.insert(FORWARDED_FOR, client.name.clone());
    }
    if !(said.proto && trusted) {
        fields.insert(FORWARDED_PROTO, HeaderValue::from_static("http"));
    }
    if !said.request_id
        && let Some(id) = request_id(random)
    {
        fields.insert(REQUEST_ID, id);
    }
}

/// Where a request comes from, after [`tell`]: what a trusted edge saw last, else the connection's
/// other end.
pub fn source(fields: &HeaderMap, client: &Client, edges: &[IpNet]) -> IpAddr {
    let told = source_text(fields, client, edges);
    told.and_then(|told| told.parse().ok())
        .unwrap_or_else(|| client.address.ip())
}

/// The same as it stands there.
pub fn source_text<'a>(
    fields: &'a HeaderMap,
    client: &'a Client,
    edges: &[IpNet],
) -> Option<&'a str> {
    if !is_trusted(client, edges) {
        return client.name.to_str().ok();
    }
    let told = fields.get_all(FORWARDED_FOR).iter().next_back();
    let last = told.and_then(|told| told.to_str().ok()?.rsplit(',').next());
    last.map(str::trim)
}

/// What a request says already, found in one pass: asking for each by its name would hash them all,
/// for every request, to find nothing in most.
#[derive(Default)]
struct Said {
    forwarded_for: bool,
    proto: bool,
    /// One that may stay.
    request_id: bool,
    /// Any of [`OF_THE_EDGE`].
    others: bool,
}

impl Said {
    fn of(fields: &HeaderMap) -> Self {
        let mut said = Self::default();
        for (name, value) in fields {
            match name.as_str() {
                "x-forwarded-for" => said.forwarded_for = true,
                "x-forwarded-proto" => said.proto = true,
                "x-request-id" => said.request_id = is_request_id(value.as_bytes()),
                "forwarded" | "x-forwarded-host" | "x-forwarded-port" | "x-real-ip" => {
                    said.others = true;
                }
                _ => {}
            }
        }
        said
    }
}

fn is_request_id(id: &[u8]) -> bool {
    !id.is_empty() && id.len() <= REQUEST_ID_BYTES && id.iter().all(u8::is_ascii_graphic)
}

/// The client is an edge. An IPv4 client of an IPv6 listener is the IPv4 client it is.
pub fn is_trusted(client: &Client, edges: &[IpNet]) -> bool {
    let client = client.address.ip().to_canonical();
    edges.iter().any(|edge| edge.contains(&client))
}

/// 32 hexadecimal digits.
fn request_id(random: u128) -> Option<HeaderValue> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut id = [0; 32];
    for (index, digit) in id.iter_mut().enumerate() {
        let nibble = (random >> (4 * index)) as usize & 15;
        *digit = DIGITS.get(nibble).copied().unwrap_or_default();
    }
    HeaderValue::from_maybe_shared(Bytes::copy_from_slice(&id)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(edges: &[IpNet], fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut told: HeaderMap = fields
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect();
        tell(
            &mut told,
            &Client::new("10.0.0.9:1234".parse().unwrap()),
            edges,
            0xab,
        );
        told
    }

    #[test]
    fn a_stranger_is_told_as_seen_whatever_it_says() {
        let told = told(
            &[],
            &[
                ("x-forwarded-for", "1.2.3.4"),
                ("x-forwarded-proto", "https"),
                ("x-forwarded-host", "evil"),
                ("x-real-ip", "1.2.3.4"),
                ("forwarded", "for=1.2.3.4"),
            ],
        );
        assert_eq!(told["x-forwarded-for"], "10.0.0.9");
        assert_eq!(told["x-forwarded-proto"], "http");
        assert_eq!(told.len(), 3, "{told:?}");
    }

    #[test]
    fn a_trusted_edge_is_believed() {
        let edges = ["10.0.0.0/8".parse().unwrap()];
        let told = told(
            &edges,
            &[
                ("x-forwarded-for", "1.2.3.4"),
                ("x-forwarded-proto", "https"),
            ],
        );
        assert_eq!(told["x-forwarded-for"], "1.2.3.4");
        assert_eq!(told["x-forwarded-proto"], "https");
    }

    #[test]
    fn a_request_comes_from_where_a_trusted_edge_saw_it() {
        let client = Client::new("10.0.0.9:1234".parse().unwrap());
        let edges = ["10.0.0.0/8".parse().unwrap()];
        let from = |told: &'static str, edges: &[IpNet]| {
            let mut fields = HeaderMap::new();
            fields.insert(FORWARDED_FOR, HeaderValue::from_static(told));
            source(&fields, &client, edges).to_string()
        };
        assert_eq!(from("6.6.6.6, 1.2.3.4", &edges), "1.2.3.4");
        assert_eq!(from("6.6.6.6, nonsense", &edges), "10.0.0.9");
        assert_eq!(from("1.2.3.4", &[]), "10.0.0.9");
    }

    #[test]
    fn a_request_id_is_kept_when_it_is_one_and_made_otherwise() {
        assert_eq!(
            told(&[], &[("x-request-id", "abc-1")])["x-request-id"],
            "abc-1"
        );
        for wrong in ["", "with space"] {
            let told = told(&[], &[("x-request-id", wrong)]);
            assert_eq!(
                told["x-request-id"],
                format!("ba{}", "0".repeat(30)).as_str()
            );
        }
    }
}
