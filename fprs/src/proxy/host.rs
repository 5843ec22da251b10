//! PURE. What a request's authority means in a zone.

use std::net::Ipv4Addr;

/// What a host name is, before any table is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host<'a> {
    /// `<server>.<zone>`.
    Server(&'a str),
    /// Some other name; it may be a custom domain.
    Other(&'a str),
    /// `fprs.internal`: the proxy itself, for health checks.
    Internal,
}

/// The authority of health checks; never routed to a server.
pub const INTERNAL: &str = "fprs.internal";

/// Takes an authority apart: port and trailing dot fall away. Lower case is the caller's business.
pub fn read<'a>(authority: &'a str, zone: &str) -> Host<'a> {
    let host = without_port(authority);
    let host = host.strip_suffix('.').unwrap_or(host);
    if host == INTERNAL {
        return Host::Internal;
    }
    match host
        .strip_suffix(zone)
        .and_then(|rest| rest.strip_suffix('.'))
    {
        // Bytes are faster looked through than characters.
        Some(server) if !server.is_empty() && !server.as_bytes().contains(&b'.') => {
            Host::Server(server)
        }
        _ => Host::Other(host),
    }
}

/// A custom domain could have that name: it has a dot, is outside the zone and no IP address.
pub fn may_be_custom(host: &str, zone: &str) -> bool {
    let inside = host
        .strip_suffix(zone)
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    let is_address = host.starts_with('[') || host.parse::<Ipv4Addr>().is_ok();
    host.contains('.') && !inside && !is_address
}

fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        // An IPv6 literal has colons of its own and ends with a bracket.
        Some((host, port)) if !port.ends_with(']') => host,
        _ => authority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_server_of_the_zone_a_custom_domain_or_the_proxy_itself() {
        let table = [
            ("hello.region.localhost", Host::Server("hello")),
            ("hello.region.localhost:8080", Host::Server("hello")),
            ("hello.region.localhost.", Host::Server("hello")),
            (
                "a.hello.region.localhost",
                Host::Other("a.hello.region.localhost"),
            ),
            (".region.localhost", Host::Other(".region.localhost")),
            ("region.localhost", Host::Other("region.localhost")),
            (
                "helloregion.localhost",
                Host::Other("helloregion.localhost"),
            ),
            ("www.example.com:443", Host::Other("www.example.com")),
            ("[::1]:8080", Host::Other("[::1]")),
            ("[::1]", Host::Other("[::1]")),
            ("fprs.internal", Host::Internal),
            ("fprs.internal:80", Host::Internal),
        ];
        for (authority, host) in table {
            assert_eq!(read(authority, "region.localhost"), host, "{authority}");
        }
    }

    #[test]
    fn a_custom_domain_is_a_name_with_a_dot_outside_the_zone() {
        for (host, may) in [
            ("www.example.com", true),
            ("region.localhost.example", true),
            ("x.localhost", true),
            ("localhost", false),
            ("region.localhost", false),
            ("a.b.region.localhost", false),
            ("127.0.0.1", false),
            ("[::1]", false),
            ("", false),
        ] {
            assert_eq!(may_be_custom(host, "region.localhost"), may, "{host}");
        }
    }
}
