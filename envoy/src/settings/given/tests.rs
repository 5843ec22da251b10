use super::*;

fn read(text: &str) -> Result<Settings, String> {
    let json: Given = serde_json::from_str(text).map_err(|error| error.to_string())?;
    Settings::try_from(json).map_err(|wrong| wrong.to_string())
}

fn with(more: &str) -> Result<Settings, String> {
    read(&format!(
        r#"{{"zone": "zone.example", "https": "0.0.0.0:8443", "wildcard": {{"watched": "/tls/wildcard.yaml"}},
            "fleet": {{"dns": "fprs.prod", "port": 8080}}{more}}}"#
    ))
}

#[test]
fn what_is_not_said_has_its_default() {
    let settings = with("").unwrap();
    assert_eq!(settings.admin, Admin::Loopback(9901));
    assert_eq!(settings.access_log, AccessLog::Stdout);
    assert_eq!(settings.connections, limits::CONNECTIONS);
    assert!(!settings.http3 && !settings.hsts);
    assert_eq!(settings.tracing, None);
    let traced = with(r#", "tracing": {"host": "collector"}"#).unwrap();
    let traced = traced.tracing.unwrap();
    assert_eq!((traced.port, traced.sample), (4317, 0.01));
    assert_eq!(traced.authorities, None);
    let traced = with(r#", "tracing": {"host": "collector", "tls": true}"#).unwrap();
    let authorities = traced.tracing.unwrap().authorities.unwrap();
    assert_eq!(authorities, Path::new(SYSTEM_AUTHORITIES));
}

#[test]
fn what_is_wrong_is_named() {
    let custom = |domain: &str| {
        format!(
            r#", "custom": [{{"domains": ["{domain}"], "certificate": {{"watched": "/tls/c.yaml"}}}}]"#
        )
    };
    let long = format!(r#", "admin": "/{}""#, "x".repeat(107));
    let table = [
        (r#", "admin": "0.0.0.0:9901""#, "`admin = \"0.0.0.0:9901\"`"),
        (r#", "admin": "edge.sock""#, "`admin = \"edge.sock\"`"),
        (&long, "107 bytes"),
        (
            r#", "probe": "0.0.0.0:8443""#,
            "`0.0.0.0:8443` occurs twice",
        ),
        (
            r#", "access-log": "log.json""#,
            "`log.json`: must be an absolute path",
        ),
        (r#", "htps": "0.0.0.0:443""#, "unknown field `htps`"),
        (
            &custom("www.zone.example"),
            "`domains = [\"www.zone.example\"]`",
        ),
        (
            r#", "tracing": {"host": "http://collector"}"#,
            "`tracing`: `http://collector`",
        ),
        (
            r#", "tracing": {"host": "collector", "sample": 5}"#,
            "`tracing`: `5`",
        ),
        (
            r#", "tracing": {"host": "collector", "ca": "/etc/ca.pem"}"#,
            "`ca` needs `tls = true`",
        ),
        (
            r#", "tracing": {"host": "collector", "headers": "/etc/headers"}"#,
            "`headers` needs `tls = true`",
        ),
        (
            r#", "tracing": {"host": "collector", "tls": true, "ca": "ca.pem"}"#,
            "`ca.pem`: must be an absolute path",
        ),
        (&custom("*.example.com"), "`domains = [\"*.example.com\"]`"),
    ];
    for (more, named) in table {
        let wrong = with(more).unwrap_err();
        assert!(wrong.contains(named), "{more}: {wrong}");
    }
    assert!(with(&custom("shop.example.com")).is_ok());
}

#[test]
fn an_edge_needs_a_listener_a_certificate_and_a_fleet() {
    let table = [
        (
            r#""wildcard": {"watched": "/w"}, "fleet": {"fixed": ["10.0.0.1:8080"]}"#,
            "nobody could reach",
        ),
        (
            r#""https": "0.0.0.0:443", "wildcard": {"chain": "/c"}, "fleet": {"fixed": ["10.0.0.1:8080"]}"#,
            "`wildcard`",
        ),
        (
            r#""https": "0.0.0.0:443", "wildcard": {"watched": "/w"}, "fleet": {"fixed": []}"#,
            "`fleet`",
        ),
        (
            r#""https": "0.0.0.0:443", "wildcard": {"watched": "/w"}, "fleet": {"dns": "fprs"}"#,
            "`fleet`",
        ),
        (
            r#""http3": true, "proxied": "0.0.0.0:443", "wildcard": {"watched": "/w"},
               "fleet": {"watched": "/f"}"#,
            "`http3 = true`",
        ),
    ];
    for (more, named) in table {
        let wrong = read(&format!(r#"{{"zone": "zone.example", {more}}}"#)).unwrap_err();
        assert!(wrong.contains(named), "{more}: {wrong}");
    }
    let wrong = read(
        r#"{"zone": "Zone.", "https": "0.0.0.0:443", "wildcard": {"watched": "/w"}, "fleet": {"watched": "/f"}}"#,
    );
    assert!(wrong.unwrap_err().contains("`zone = \"Zone.\"`"));
}
