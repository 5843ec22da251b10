//! PURE. What a request's authority means in a zone.

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
        Some(server) if !server.is_empty() && !server.contains('.') => Host::Server(server),
        _ => Host::Other(host),
    }
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
}
