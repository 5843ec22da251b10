use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::samples;
use crate::testing::{
    domain, egress_pool, issuer, lease, mirror, replica, rollout, server, tenant, token, worker,
};

fn all() -> Vec<Record> {
    vec![
        domain("a.example.com", "a"),
        egress_pool("payments"),
        issuer("idp"),
        lease("autoscaler"),
        mirror("m1", "a"),
        Record::Mirror(Mirror::split("s1", "a", "b")),
        replica("r1", "a", ReplicaState::Ready),
        Record::Rollout(rollout("server/a", &["eu"])),
        server("a"),
        tenant("acme"),
        token("t1"),
        worker("w1"),
    ]
}

fn reason(edit: impl FnOnce(&mut Server)) -> String {
    let Record::Server(mut server) = server("a") else {
        panic!("a server is a server");
    };
    edit(&mut server);
    refused(Record::Server(server))
}

fn replica_reason(edit: impl FnOnce(&mut Replica)) -> String {
    let Record::Replica(mut replica) = replica("r1", "a", ReplicaState::Ready) else {
        panic!("a replica is a replica");
    };
    edit(&mut replica);
    refused(Record::Replica(replica))
}

/// What `check` says, which is also what decoding says.
fn refused(record: Record) -> String {
    let reason = record.check().unwrap_err().to_string();
    let change = record.change();
    assert_eq!(
        Record::decode(&change.key, &change.value.unwrap()).unwrap_err(),
        reason
    );
    reason
}

#[test]
fn every_kind_survives_its_encoding() {
    for record in all() {
        assert_eq!(record.check(), Ok(()));
        let change = record.change();
        assert_eq!(
            Record::decode(&change.key, &change.value.unwrap()),
            Ok(record)
        );
    }
}

#[test]
fn an_empty_value_of_any_kind_is_refused() {
    for record in all() {
        assert!(Record::decode(&record.key(), &Bytes::new()).is_err());
    }
}

#[test]
fn every_blank_field_of_every_kind_is_refused_or_has_a_meaning() {
    // Blanks one field at a time, on the wire, as a careless writer would.
    for record in all() {
        let change = record.change();
        let bytes = change.value.unwrap();
        for field in 1..=15_u64 {
            let blanked = without_field(&bytes, field);
            if let Ok(decoded) = Record::decode(&change.key, &blanked) {
                assert_eq!(decoded.check(), Ok(()), "{record:?} without field {field}");
            }
        }
    }
}

#[test]
fn a_server_is_refused_by_the_field_that_is_wrong() {
    for (reason, field) in [
        (reason(|server| server.name = "A".into()), "`name`"),
        (reason(|server| server.tenant = "a b".into()), "`tenant`"),
        (
            reason(|server| server.scaling.max_replicas = 0),
            "`max_replicas`",
        ),
        (
            reason(|server| server.scaling.max_replicas = 1_000_000),
            "`max_replicas`",
        ),
        (
            reason(|server| server.scaling.min_replicas = 5),
            "`min_replicas`",
        ),
        (
            reason(|server| server.scaling.target_concurrency = Some(f64::NAN)),
            "`target_concurrency`",
        ),
        (
            reason(|server| server.scaling.target_concurrency = Some(-1.0)),
            "`target_concurrency`",
        ),
        (
            reason(|server| server.scaling.scaledown_window = Duration::from_secs(1_000_000)),
            "`scaledown_window`",
        ),
        (
            reason(|server| server.hold = Duration::from_secs(1_000_000)),
            "`hold`",
        ),
        (
            reason(|server| server.request_timeout = Some(Duration::ZERO)),
            "`request_timeout`",
        ),
        (
            reason(|server| server.compute_region.clear()),
            "`compute_region`",
        ),
        (
            reason(|server| server.fallback = Some(Arc::clone(&server.target))),
            "`fallback`",
        ),
    ] {
        assert!(reason.starts_with(field), "{field}: {reason}");
    }
}

#[test]
fn a_version_is_refused_by_the_field_that_is_wrong() {
    let target =
        |edit: fn(&mut Version)| move |server: &mut Server| edit(Arc::make_mut(&mut server.target));
    for (reason, field) in [
        (
            reason(target(|version| version.generation = 0)),
            "`generation`",
        ),
        (
            reason(target(|version| version.command.clear())),
            "`command`",
        ),
        (
            reason(target(|version| version.command.push("\0".into()))),
            "`command`",
        ),
        (
            reason(target(|version| version.command = vec!["x".into(); 1000])),
            "`command`",
        ),
        (
            reason(target(|version| version.command.push("x".repeat(100_000)))),
            "`command`",
        ),
        (
            reason(target(|version| version.image = "i".into())),
            "`image`",
        ),
        (
            reason(target(|version| {
                version.env.insert("A".into(), "x".repeat(100_000));
            })),
            "`env`",
        ),
        (
            reason(target(|version| {
                version.env = (0..1000)
                    .map(|n| (format!("V{n}"), String::new()))
                    .collect();
            })),
            "`env`",
        ),
        (
            reason(target(|version| version.startup_timeout = Duration::ZERO)),
            "`startup_timeout`",
        ),
        (
            reason(target(|version| {
                version.exit_grace = Duration::from_secs(1_000_000)
            })),
            "`exit_grace_period`",
        ),
    ] {
        assert!(reason.starts_with(field), "{field}: {reason}");
    }
}

#[test]
fn a_replica_is_refused_by_the_field_that_is_wrong() {
    for (reason, field) in [
        (replica_reason(|replica| replica.id = "".into()), "`id`"),
        (
            replica_reason(|replica| replica.server = "A".into()),
            "`server`",
        ),
        (
            replica_reason(|replica| replica.address = None),
            "`address`",
        ),
        (
            replica_reason(|replica| replica.generation = 0),
            "`generation`",
        ),
        (
            replica_reason(|replica| replica.weight = 100_000),
            "`weight`",
        ),
        (
            replica_reason(|replica| replica.reason = "x".repeat(10_000)),
            "`reason`",
        ),
    ] {
        assert!(reason.starts_with(field), "{field}: {reason}");
    }
}

fn token_reason(edit: impl FnOnce(&mut Token)) -> String {
    let Record::Token(mut token) = token("t1") else {
        panic!("a token is a token");
    };
    edit(&mut token);
    refused(Record::Token(token))
}

fn issuer_reason(edit: impl FnOnce(&mut Issuer)) -> String {
    let Record::Issuer(mut issuer) = issuer("idp") else {
        panic!("an issuer is an issuer");
    };
    edit(&mut issuer);
    refused(Record::Issuer(issuer))
}

fn mirror_reason(edit: impl FnOnce(&mut Mirror)) -> String {
    let Record::Mirror(mut mirror) = mirror("m1", "a") else {
        panic!("a mirror is a mirror");
    };
    edit(&mut mirror);
    refused(Record::Mirror(mirror))
}

#[test]
fn a_mirror_is_refused_by_the_field_that_is_wrong() {
    fn compare(mirror: &mut Mirror) -> &mut Compare {
        mirror.compare.as_mut().unwrap()
    }
    fn capture(mirror: &mut Mirror) -> &mut Capture {
        mirror.capture.as_mut().unwrap()
    }
    for (reason, field) in [
        (
            mirror_reason(|mirror| {
                mirror.shadow = "a".into();
                mirror.compare = None;
            }),
            "`shadow`",
        ),
        (mirror_reason(|mirror| mirror.serves = true), "`serves`"),
        (
            mirror_reason(|mirror| mirror.shadow = "".into()),
            "`shadow`",
        ),
        (mirror_reason(|mirror| mirror.basis_points = 0), "`percent`"),
        (
            mirror_reason(|mirror| mirror.basis_points = 10_001),
            "`percent`",
        ),
        (
            mirror_reason(|mirror| mirror.key = MirrorKey::Header("X-User".into())),
            "`key`",
        ),
        (
            mirror_reason(|mirror| mirror.key = MirrorKey::Cookie("a b".into())),
            "`key`",
        ),
        (
            mirror_reason(|mirror| mirror.salt = "x".repeat(65)),
            "`salt`",
        ),
        (
            mirror_reason(|mirror| mirror.exchange_bytes = 0),
            "`exchange_bytes`",
        ),
        (mirror_reason(|mirror| mirror.copies = 10_001), "`copies`"),
        (
            mirror_reason(|mirror| mirror.deadline = Duration::ZERO),
            "`deadline`",
        ),
        (
            mirror_reason(|mirror| compare(mirror).headers.push("X-A".into())),
            "`headers`",
        ),
        (
            mirror_reason(|mirror| compare(mirror).ignore = vec!["/a".into(); 65]),
            "`ignore`",
        ),
        (
            mirror_reason(|mirror| compare(mirror).ignore.push("id".into())),
            "`ignore`",
        ),
        (
            mirror_reason(|mirror| capture(mirror).headers.push("set-cookie".into())),
            "`capture_headers`",
        ),
        (
            mirror_reason(|mirror| capture(mirror).redact.push("id".into())),
            "`redact`",
        ),
    ] {
        assert!(reason.starts_with(field), "{reason}");
    }
}

fn tenant_reason(edit: impl FnOnce(&mut Tenant)) -> String {
    let Record::Tenant(mut tenant) = tenant("acme") else {
        panic!("a tenant is a tenant");
    };
    edit(&mut tenant);
    refused(Record::Tenant(tenant))
}

#[test]
fn a_token_is_refused_by_the_field_that_is_wrong() {
    let hash = SecretHash([1; 32]);
    for (reason, field) in [
        (token_reason(|token| token.id = "a.b".into()), "`id`"),
        (token_reason(|token| token.tenant.clear()), "`tenant`"),
        (
            token_reason(|token| token.role = TokenRole::Admin),
            "`tenant`",
        ),
        (
            token_reason(|token| token.role = TokenRole::Worker),
            "`tenant`",
        ),
        (
            token_reason(|token| {
                token.role = TokenRole::Deployer;
                token.server = "a".into();
            }),
            "`server`",
        ),
        (token_reason(|token| token.secrets.clear()), "`secrets`"),
        (
            token_reason(|token| token.secrets = vec![hash; 3]),
            "`secrets`",
        ),
        (
            token_reason(|token| token.expires_unix_ms = Some(1)),
            "`expires`",
        ),
        (
            token_reason(|token| token.role = TokenRole::Ticket),
            "`expires`",
        ),
        (
            token_reason(|token| {
                token.role = TokenRole::Ticket;
                token.expires_unix_ms = Some(300_002);
            }),
            "`expires`",
        ),
    ] {
        assert!(reason.starts_with(field), "{field}: {reason}");
    }
    let mut wire = samples::token("t1", "acme").to_wire();
    wire.secrets = vec![vec![1; 31]];
    assert!(Token::try_from_wire(wire).unwrap_err().contains("SHA-256"));
}

#[test]
fn an_issuer_or_a_tenant_is_refused_by_the_field_that_is_wrong() {
    for (reason, field) in [
        (issuer_reason(|issuer| issuer.tenant.clear()), "`tenant`"),
        (issuer_reason(|issuer| issuer.iss.clear()), "`iss`"),
        (issuer_reason(|issuer| issuer.aud.clear()), "`aud`"),
        (issuer_reason(|issuer| issuer.algorithms.clear()), "`jwks`"),
        (
            issuer_reason(|issuer| issuer.algorithms = vec![Algorithm::Rs256]),
            "`jwks`",
        ),
        (
            issuer_reason(|issuer| issuer.algorithms = vec![Algorithm::EdDsa; 2]),
            "`algorithms`",
        ),
        (tenant_reason(|tenant| tenant.weight = 1_001), "`weight`"),
        (
            tenant_reason(|tenant| tenant.limits.dials = Some(0)),
            "`dials`",
        ),
        (
            tenant_reason(|tenant| tenant.limits.requests_per_second = None),
            "`burst`",
        ),
    ] {
        assert!(reason.starts_with(field), "{field}: {reason}");
    }
}

#[test]
fn a_secrets_hash_is_never_printed() {
    let printed = format!("{:?}", samples::token("t1", "acme"));
    assert!(
        printed.contains("SecretHash(…)") && !printed.contains('7'),
        "{printed}"
    );
}

#[test]
fn a_value_under_another_name_is_refused() {
    let value = server("a").change().value.unwrap();
    let error = Record::decode(&Key::new(Kind::Server, "b"), &value).unwrap_err();
    assert_eq!(error, "the value is of `a`, the key says `b`");
}

#[test]
fn an_unknown_state_or_auth_is_refused() {
    for (record, field, tag) in [
        (replica("r1", "a", ReplicaState::Ready), 4_u8, "`state`"),
        (server("a"), 7, "`auth`"),
        (server("a"), 15, "`auth_websocket`"),
        (token("t1"), 4, "`role`"),
        (issuer("idp"), 5, "`algorithms`"),
        (mirror("m1", "a"), 5, "`key`"),
    ] {
        let mut bytes = record.change().value.unwrap().to_vec();
        // The last value of a scalar field wins.
        bytes.extend([field << 3, 99]);
        let error = Record::decode(&record.key(), &bytes.into()).unwrap_err();
        assert!(error.starts_with(tag), "{error}");
    }
}

#[test]
fn a_field_of_a_later_build_is_ignored() {
    for record in all() {
        let mut bytes = record.change().value.unwrap().to_vec();
        bytes.extend([0xfa, 0x01, 0x03, b'n', b'e', b'w']); // field 31, a string
        assert_eq!(Record::decode(&record.key(), &bytes.into()), Ok(record));
    }
}

proptest! {
    #[test]
    fn any_bytes_decode_to_a_checked_record_or_a_reason(
        bytes in prop::collection::vec(any::<u8>(), 0..64),
        at in any::<prop::sample::Index>(),
        of in any::<prop::sample::Index>(),
    ) {
        let record = of.get(&all()).clone();
        let change = record.change();
        let mut value = change.value.unwrap().to_vec();
        let from = at.index(value.len());
        let to = (from + bytes.len()).min(value.len());
        value.splice(from..to, bytes);
        if let Ok(decoded) = Record::decode(&change.key, &value.into()) {
            prop_assert_eq!(decoded.check(), Ok(()));
            prop_assert_eq!(decoded.key(), change.key);
        }
    }
}

/// The message without one top-level field.
fn without_field(bytes: &Bytes, field: u64) -> Bytes {
    let mut rest = bytes.clone();
    let mut kept = Vec::new();
    while !rest.is_empty() {
        let before = rest.clone();
        let tag = prost::encoding::decode_varint(&mut rest).unwrap();
        match tag & 7 {
            0 => drop(prost::encoding::decode_varint(&mut rest).unwrap()),
            1 => drop(rest.split_to(8)),
            2 => {
                let length = prost::encoding::decode_varint(&mut rest).unwrap();
                drop(rest.split_to(usize::try_from(length).unwrap()));
            }
            other => panic!("wire type {other}"),
        }
        if tag >> 3 != field {
            kept.extend_from_slice(&before[..before.len() - rest.len()]);
        }
    }
    kept.into()
}
