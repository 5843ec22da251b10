use super::*;

fn used(exchanges: u64, sent_bytes: u64) -> Used {
    Used {
        exchanges,
        sent_bytes,
        ..Used::default()
    }
}

fn of(server: &str, used: Used) -> OfServer {
    OfServer {
        tenant: "acme".into(),
        server: server.into(),
        used,
    }
}

fn at(text: &str) -> SystemTime {
    humantime::parse_rfc3339(text).unwrap()
}

fn read(files: &Files, month: &str) -> Vec<OfServer> {
    files.read(&Month::parse(month).unwrap()).unwrap()
}

#[test]
fn a_month_is_the_sum_of_what_all_processes_used_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let files = |began: &str| Files::new(dir.path().to_owned(), at(began));
    let mut first = files("2026-11-01T00:00:00Z");
    first
        .save(&[of("web", used(3, 30))], at("2026-11-30T23:59:50Z"))
        .unwrap();
    // Half of what comes now was used in December.
    first
        .save(&[of("web", used(5, 50))], at("2026-12-01T00:00:00Z"))
        .unwrap();
    let mut second = files("2026-11-02T00:00:00Z");
    let both = [of("api", used(1, 1)), of("web", used(10, 0))];
    second.save(&both, at("2026-11-03T00:00:00Z")).unwrap();
    let november = [of("api", used(1, 1)), of("web", used(13, 30))];
    assert_eq!(read(&first, "2026-11"), november);
    assert_eq!(read(&second, "2026-12"), [of("web", used(2, 20))]);
    assert_eq!(read(&second, "2027-01"), []);
    first
        .save(&[of("web", used(6, 50))], at("2027-01-01T00:00:00Z"))
        .unwrap();
    assert_eq!(read(&second, "2027-01"), [of("web", used(1, 0))]);
    assert_eq!(read(&second, "2026-11"), november);
}

#[test]
fn what_was_counted_outlives_its_process_and_what_is_broken_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let count = |exchanges: u64| {
        let usage = Usage::kept_in(dir.path().to_owned());
        let counts = usage.of("acme", &"web".into());
        for _ in 0..exchanges {
            counts.exchange(1, 2);
        }
        counts.replicas(Duration::from_millis(1_500));
        usage
    };
    count(2).save().unwrap();
    let (month, used) = count(3).of_month(None).unwrap();
    let expected = Used {
        exchanges: 5,
        received_bytes: 5,
        sent_bytes: 10,
        replica_ms: 3_000,
    };
    assert_eq!(used, [of("web", expected)]);
    assert!(count(0).of_month(Some("yesterday")).is_err());
    let broken = dir.path().join(month).join("1-1.json");
    std::fs::write(&broken, "{").unwrap();
    let error = count(1).of_month(None).unwrap_err().to_string();
    assert!(error.contains(broken.to_str().unwrap()), "{error}");
}

#[test]
fn a_server_has_the_same_counts_as_long_as_it_is_the_same_tenants() {
    let usage = Usage::default();
    let web: Arc<str> = "web".into();
    usage.of("acme", &web).exchange(0, 0);
    usage.of("acme", &web).exchange(0, 0);
    usage.of("other", &web).exchange(0, 0);
    let exchanges: Vec<u64> = usage
        .since_start()
        .iter()
        .map(|of| of.used.exchanges)
        .collect();
    assert_eq!(exchanges, [2, 1]);
}

#[test]
fn months_are_months() {
    for (text, is_one) in [
        ("2026-11", true),
        ("2026-13", false),
        ("2026-1", false),
        ("../x-1", false),
        ("2026-+1", false),
        ("26-01", false),
    ] {
        assert_eq!(Month::parse(text).is_some(), is_one, "{text}");
    }
    assert_eq!(Month::of(at("2026-02-28T23:59:59Z")).to_string(), "2026-02");
}
