use super::*;

const AUTHORITY: &str = "/etc/ca.pem";
const TOKENS: &str = "/etc/headers";

/// As with those variables, and files that are what they should be.
fn of(asked: Asked, variables: &[(&str, &str)]) -> Result<Option<Tracing>, Failure> {
    let variable = |name: &str| {
        let found = variables.iter().find(|(key, _)| *key == name);
        found.map(|(_, value)| (*value).to_owned())
    };
    let key = rcgen::KeyPair::generate().unwrap();
    let mut authority = rcgen::CertificateParams::default();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let pem = authority.self_signed(&key).unwrap().pem();
    Tracing::of(asked, variable, |file| match file.to_str().unwrap() {
        AUTHORITY => Ok(pem.clone()),
        TOKENS => Ok("# ours\nAuthorization: Bearer planted\n\nx-team: a=b\n".to_owned()),
        "/etc/empty" => Ok(String::new()),
        "/etc/broken" => Ok(pem.replace("MI", "??")),
        "/etc/nonsense" => Ok("planted\n".to_owned()),
        _ => Err(io::ErrorKind::NotFound.into()),
    })
}

fn at(endpoint: &str) -> Asked {
    Asked {
        endpoint: Some(endpoint.to_owned()),
        ..Asked::default()
    }
}

fn url(asked: Asked, variables: &[(&str, &str)]) -> Option<String> {
    of(asked, variables).unwrap().map(|tracing| tracing.url())
}

#[test]
fn a_collector_is_named_by_our_setting_or_by_the_standard_variable() {
    let standard = [(STANDARD, "http://collector:14317/")];
    assert_eq!(url(Asked::default(), &[]), None);
    let found = url(Asked::default(), &standard).unwrap();
    assert_eq!(found, "http://collector:14317");
    let table = [
        ("127.0.0.1:1", "http://127.0.0.1:1"),
        ("http://collector", "http://collector:4317"),
        ("http://[::1]:5", "http://[::1]:5"),
        ("https://collector", "https://collector:4317"),
        ("https://[::1]:443/", "https://[::1]:443"),
    ];
    for (given, read) in table {
        assert_eq!(url(at(given), &standard).unwrap(), read, "{given}");
    }
    let http = [
        (STANDARD, "http://collector:4318"),
        (PROTOCOL, "http/protobuf"),
    ];
    assert_eq!(url(Asked::default(), &http), None);
    assert_eq!(url(Asked::default(), &[(STANDARD, "")]), None);
}

#[test]
fn what_is_no_address_is_refused_under_its_name() {
    for wrong in [
        "",
        "http://",
        "http://c:x",
        "http://a b:1",
        "[::g]:1",
        "grpcs://c",
    ] {
        let refused = of(at(wrong), &[]).unwrap_err();
        assert!(refused.to_string().contains("--otlp-endpoint"), "{refused}");
    }
    let refused = of(Asked::default(), &[(STANDARD, "grpc://c")]).unwrap_err();
    assert!(refused.to_string().contains(STANDARD), "{refused}");
}

#[test]
fn tls_trusts_the_file_that_was_given_or_the_system() {
    let tls = "https://collector:4317";
    let trusted = |asked: Asked, variables: &[(&str, &str)]| {
        let trust = of(asked, variables).unwrap().unwrap().trust;
        match trust.unwrap() {
            Trust::System => None,
            Trust::Authorities { file, .. } => Some(file),
        }
    };
    let standard = [(STANDARD, tls), (CERTIFICATE, AUTHORITY)];
    assert_eq!(
        trusted(Asked::default(), &standard).unwrap(),
        Path::new(AUTHORITY)
    );
    // What is meant for another collector says nothing about this one.
    assert_eq!(trusted(at(tls), &standard), None);
    let mut given = at(tls);
    given.authorities = Some(AUTHORITY.into());
    assert_eq!(trusted(given, &[]).unwrap(), Path::new(AUTHORITY));
    for (file, why) in [
        ("/etc/none", "can't be read"),
        ("/etc/empty", "no certificate"),
        ("/etc/broken", "is no"),
        ("/etc/nonsense", "no certificate"),
    ] {
        let mut given = at(tls);
        given.authorities = Some(file.into());
        let refused = of(given, &[]).unwrap_err().to_string();
        assert!(
            refused.contains(&format!("`--otlp-ca {file}`")),
            "{refused}"
        );
        assert!(refused.contains(why), "{refused}");
        let refused = of(Asked::default(), &[(STANDARD, tls), (CERTIFICATE, file)]).unwrap_err();
        assert!(refused.to_string().contains(CERTIFICATE), "{refused}");
    }
}

#[test]
fn headers_come_from_a_file_or_the_standard_variable_and_are_shown_to_nobody() {
    let with = |file: &str| Asked {
        headers: Some(file.into()),
        ..at("https://collector")
    };
    let shown = |tracing: &Tracing| -> Vec<(String, String)> {
        let headers = tracing.headers.iter();
        headers
            .map(|header| (header.name.clone(), header.value.expose().to_owned()))
            .collect()
    };
    let tracing = of(with(TOKENS), &[]).unwrap().unwrap();
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let wanted = [
        pair("authorization", "Bearer planted"),
        pair("x-team", "a=b"),
    ];
    assert_eq!(shown(&tracing), wanted);
    assert!(!format!("{tracing:?}").contains("planted"), "{tracing:?}");
    let standard = [
        (STANDARD, "https://collector"),
        (HEADERS, "Authorization=Basic%20cGxhbnRlZA==, x-team=b"),
    ];
    let tracing = of(Asked::default(), &standard).unwrap().unwrap();
    let wanted = [
        pair("authorization", "Basic cGxhbnRlZA=="),
        pair("x-team", "b"),
    ];
    assert_eq!(shown(&tracing), wanted);
    // Meant for another collector.
    let tracing = of(at("https://collector"), &standard).unwrap().unwrap();
    assert!(tracing.headers.is_empty(), "{tracing:?}");
    for file in ["/etc/none", "/etc/nonsense"] {
        let refused = of(with(file), &[]).unwrap_err().to_string();
        assert!(
            refused.contains(&format!("`--otlp-headers {file}`")),
            "{refused}"
        );
        assert!(!refused.contains("planted"), "{refused}");
    }
    let wrong = [(STANDARD, "https://collector"), (HEADERS, "planted")];
    let refused = of(Asked::default(), &wrong).unwrap_err().to_string();
    assert!(
        refused.contains(HEADERS) && !refused.contains("planted"),
        "{refused}"
    );
}

#[test]
fn without_tls_nobody_is_verified_and_no_secret_is_sent() {
    for asked in [
        Asked {
            headers: Some(TOKENS.into()),
            ..at("collector:4317")
        },
        Asked {
            authorities: Some(AUTHORITY.into()),
            ..at("http://collector")
        },
    ] {
        let refused = of(asked, &[]).unwrap_err().to_string();
        assert!(
            refused.contains("--otlp-") && refused.contains("https://"),
            "{refused}"
        );
    }
    let standard = [
        (STANDARD, "http://collector"),
        (HEADERS, "authorization=planted"),
    ];
    let tracing = of(Asked::default(), &standard).unwrap().unwrap();
    assert!(tracing.headers.is_empty(), "{tracing:?}");
}
