//! When credentials stop being good: at their end, and with the edit of their record, whatever was
//! remembered of them.

use fprs_config::{Key, Kind};

use super::super::cache::GENERATION;
use super::*;

/// So many milliseconds later.
fn after(ms: u64) -> Now {
    let unix_ms = now().unix_ms + ms;
    Now { unix_ms, ..now() }
}

#[test]
fn a_token_ends_with_its_record_its_secret_and_its_time() {
    let mut world = World::new();
    let shown = bearer(&format!("t1.{SECRET}"));
    let other = bearer("t1.another-secret");
    world.put(Record::Token(Token {
        secrets: vec![
            SecretHash::of(b"another-secret"),
            SecretHash::of(SECRET.as_bytes()),
        ],
        expires_unix_ms: Some(after(1_000).unix_ms),
        ..token("t1")
    }));
    assert!(world.ask(&shown).is_ok() && world.ask(&other).is_ok());
    assert!(world.ask_at(&shown, after(999)).is_ok());
    assert!(world.ask_at(&shown, after(1_000)).is_err());
    world.put(Record::Token(Token {
        secrets: vec![SecretHash::of(b"another-secret")],
        ..token("t1")
    }));
    assert!(world.ask(&shown).is_err() && world.ask(&other).is_ok());
    world.commit(vec![Change::delete(Key::new(Kind::Token, "t1"))]);
    assert!(world.ask(&other).is_err());
}

#[test]
fn a_jwt_that_is_remembered_ends_at_its_time() {
    let signer = Signer::ed25519("a");
    let mut world = World::new();
    world.put(Record::Issuer(issuer(&[&signer])));
    let shown = bearer(&signer.jwt(&claims(&json!({}))));
    assert!(world.ask(&shown).is_ok());
    assert_eq!(world.core.remembered(), 1);
    assert!(world.ask_at(&shown, after(59_999)).is_ok());
    assert!(world.ask_at(&shown, after(60_000)).is_err());
    assert_eq!(world.core.remembered(), 0);
}

#[test]
fn a_jwt_that_is_remembered_ends_with_any_edit_of_its_issuer() {
    let (old, new) = (Signer::ed25519("old"), Signer::ed25519("new"));
    let mut world = World::new();
    let shown = bearer(&old.jwt(&claims(&json!({}))));
    world.put(Record::Issuer(issuer(&[&old])));
    assert!(world.ask(&shown).is_ok());
    world.put(Record::Issuer(issuer(&[&new, &old])));
    assert!(world.ask(&shown).is_ok(), "its key is still there");
    world.put(Record::Issuer(issuer(&[&new])));
    assert!(world.ask(&shown).is_err());
    assert!(world.bearer(&new.jwt(&claims(&json!({})))).is_ok());
    world.put(Record::Issuer(Issuer {
        aud: "elsewhere".to_owned(),
        ..issuer(&[&new])
    }));
    assert!(world.bearer(&new.jwt(&claims(&json!({})))).is_err());
    world.put(Record::Issuer(issuer(&[&old])));
    assert!(world.ask(&shown).is_ok());
    world.commit(vec![Change::delete(Key::new(Kind::Issuer, "idp"))]);
    assert!(world.ask(&shown).is_err());
}

#[test]
fn issuers_of_one_name_for_two_audiences_are_told_apart() {
    let (one, two) = (Signer::ed25519("k"), Signer::ed25519("k"));
    let mut world = World::new();
    let second = Issuer {
        name: "second".to_owned(),
        tenant: "other".to_owned(),
        aud: "second".to_owned(),
        ..issuer(&[&two])
    };
    world.put(Record::Issuer(issuer(&[&one])));
    world.put(Record::Issuer(second));
    let to_second = claims(&json!({ "aud": "second" }));
    assert_eq!(
        world.bearer(&two.jwt(&to_second)).unwrap().tenant_field(),
        "other"
    );
    assert!(world.bearer(&one.jwt(&to_second)).is_err());
    assert_eq!(
        world
            .bearer(&one.jwt(&claims(&json!({}))))
            .unwrap()
            .tenant_field(),
        "acme"
    );
    world.commit(vec![Change::delete(Key::new(Kind::Issuer, "idp"))]);
    assert!(world.bearer(&one.jwt(&claims(&json!({})))).is_err());
    assert!(world.bearer(&two.jwt(&to_second)).is_ok());
}

#[test]
fn a_new_snapshot_keeps_what_is_remembered_of_records_that_are_the_same() {
    let signer = Signer::ed25519("a");
    let mut world = World::new();
    world.put(Record::Token(token("gone")));
    world.put(Record::Issuer(issuer(&[&signer])));
    let shown = bearer(&signer.jwt(&claims(&json!({}))));
    assert!(world.ask(&shown).is_ok());
    let mut contents = world.snapshot.contents();
    contents.entries.retain(|entry| &*entry.key.kind != "token");
    let applied = fprs_config::apply::load(&contents);
    world.view.apply(&applied);
    assert!(world.bearer(&format!("gone.{SECRET}")).is_err());
    let forged = world.core.remembered();
    assert!(world.ask(&shown).is_ok());
    assert_eq!(world.core.remembered(), forged);
}

#[test]
fn any_number_of_jwts_takes_bounded_room() {
    let signer = Signer::ed25519("a");
    let mut world = World::new();
    world.put(Record::Issuer(issuer(&[&signer])));
    let jwt = |n: usize| bearer(&signer.jwt(&claims(&json!({ "sub": n.to_string() }))));
    let regular = jwt(usize::MAX);
    for n in 0..3 * GENERATION {
        assert!(world.ask(&jwt(n)).is_ok());
        if n % 1_000 == 0 {
            assert!(world.ask(&regular).is_ok());
        }
        assert!(world.core.remembered() <= 2 * GENERATION);
    }
    let remembered = world.core.remembered();
    assert!(world.ask(&regular).is_ok());
    assert_eq!(
        world.core.remembered(),
        remembered,
        "who comes again is remembered"
    );
}
