use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::key::Revision;
use crate::record::{Record, Replica, ReplicaState};

const HELLO: &str = r#"
name = "hello"
command = ["python3", "-m", "http.server", "$PORT"]
auth = "public"
"#;

fn hello() -> Manifest {
    Manifest::from_toml(HELLO).unwrap()
}

fn with(lines: &str) -> Result<Manifest, ManifestError> {
    Manifest::from_toml(&format!("{HELLO}{lines}\n"))
}

fn error(lines: &str) -> String {
    with(lines).unwrap_err().to_string()
}

#[test]
fn the_smallest_manifest_gets_every_default() {
    let server = hello().server(None, 7);
    assert_eq!(&*server.name, "hello");
    assert_eq!(server.target.generation, 1);
    assert_eq!(server.target.startup_timeout, Duration::from_secs(30));
    assert_eq!(server.target.exit_grace, Duration::from_secs(10));
    assert_eq!(server.scaling.target_concurrency, None);
    assert_eq!(
        (server.scaling.min_replicas, server.scaling.max_replicas),
        (0, 4)
    );
    assert_eq!(server.scaling.scaledown_window, Duration::from_secs(60));
    assert_eq!(server.request_timeout, None);
    assert_eq!(server.hold, Duration::ZERO);
    assert_eq!(
        (&*server.routing_region, &*server.compute_region),
        ("local", "local")
    );
    assert_eq!(server.deployed_unix_ms, 7);
    assert!(!server.proven);
    assert_eq!(server.fallback, None);
}

#[test]
fn every_key_reaches_the_server() {
    let manifest = Manifest::from_toml(
        r#"
name = "llm"
command = ["serve", "--port=$PORT"]
h2 = true
auth = "public"
target_concurrency = 0.5
min_replicas = 1
max_replicas = 3
buffer_replicas = 1
scaleup_window = "500ms"
scaledown_window = "2m"
startup_timeout = "10m"
exit_grace_period = "0s"
hold = "30s"
request_timeout = "1m 30s"
domains = ["llm.example.com"]
env = { MODEL = "small" }
working_dir = "/srv/llm"
routing_region = "us-west"
compute_region = "us-west-2a"
egress = "pool-1"
"#,
    )
    .unwrap();
    let server = manifest.server(None, 0);
    assert!(server.target.h2);
    assert_eq!(server.target.command, ["serve", "--port=$PORT"]);
    assert_eq!(server.target.env["MODEL"], "small");
    assert_eq!(server.target.working_dir, "/srv/llm");
    assert_eq!(server.target.startup_timeout, Duration::from_secs(600));
    assert_eq!(server.target.exit_grace, Duration::ZERO);
    assert_eq!(server.scaling.target_concurrency, Some(0.5));
    assert_eq!(server.scaling.buffer_replicas, 1);
    assert_eq!(server.scaling.scaleup_window, Duration::from_millis(500));
    assert_eq!(server.scaling.scaledown_window, Duration::from_secs(120));
    assert_eq!(server.hold, Duration::from_secs(30));
    assert_eq!(server.request_timeout, Some(Duration::from_secs(90)));
    assert_eq!(server.routing_region, "us-west");
    assert_eq!(server.compute_region, "us-west-2a");
    assert_eq!(server.egress, "pool-1");
    assert_eq!(
        manifest.domains(),
        [Domain {
            host: "llm.example.com".into(),
            server: "llm".into()
        }]
    );
}

#[test]
fn an_unknown_key_is_named_with_its_line_and_the_nearest_valid_one() {
    assert_eq!(
        error("max_replica = 3"),
        "line 5: unknown key `max_replica`; the nearest valid key is `max_replicas`"
    );
    assert_eq!(
        error("\n\ncomand = []"),
        "line 7: unknown key `comand`; the nearest valid key is `command`"
    );
    assert!(error("[scaling]\nmin = 1").contains("unknown key `scaling`"));
}

#[test]
fn a_wrong_value_is_named_with_its_line() {
    for (lines, start) in [
        (
            "min_replicas = 9",
            "line 5: `min_replicas` is 9, above `max_replicas`, which is 4",
        ),
        (
            "max_replicas = 0",
            "line 5: `max_replicas` is 0: must be 1 to",
        ),
        ("max_replicas = -1", "line 5: invalid value: integer `-1`"),
        (
            "target_concurrency = 0",
            "line 5: `target_concurrency` is 0: must be",
        ),
        (
            "target_concurrency = nan",
            "line 5: `target_concurrency` is NaN: must be",
        ),
        (
            "target_concurrency = inf",
            "line 5: `target_concurrency` is inf: must be",
        ),
        (
            "scaledown_rate_limit = 0",
            "line 5: `scaledown_rate_limit` is 0: must be",
        ),
        ("hold = \"5\"", "line 5: `hold` is `5`: "),
        ("hold = 5", "line 5: invalid type: integer `5`"),
        ("hold = \"1us\"", "line 5: `hold` is `1us`: nothing finer"),
        ("hold = \"1h\"", "line 5: `hold` is 1h: the limit is 15m"),
        ("hold = \"none\"", "line 5: `hold` is `none`: "),
        (
            "request_timeout = \"0s\"",
            "line 5: `request_timeout` must be above zero",
        ),
        (
            "startup_timeout = \"2days\"",
            "line 5: `startup_timeout` is 2days: the limit is 1day",
        ),
        (
            "image = \"x\"",
            "line 5: `image` and `command` exclude each other",
        ),
        (
            "env = { PORT = \"1\" }",
            "line 5: `env` sets `PORT`, which the relay",
        ),
        ("env = { \"A=B\" = \"1\" }", "line 5: `env` has a variable"),
        (
            "domains = [\"Bad_Host\"]",
            "line 5: `domains` is `Bad_Host`: ",
        ),
        (
            "domains = [\"a.b\", \"a.b\"]",
            "line 5: `domains` has `a.b` twice",
        ),
        ("egress = \"Not a label\"", "line 5: `egress` is"),
        ("routing_region = \"\"", "line 5: `routing_region` is"),
        ("name = \"again\"", "line 5: duplicate key"),
        ("hold = ", "line 5: "),
    ] {
        let error = error(lines);
        assert!(error.starts_with(start), "{lines}: {error}");
    }
}

#[test]
fn a_missing_key_is_named() {
    let missing = |text| Manifest::from_toml(text).unwrap_err().to_string();
    assert_eq!(
        missing("command = ['x']\nauth = 'public'"),
        "`name` is missing"
    );
    assert!(missing("name = 'x'\nauth = 'public'").starts_with("`command` is missing"));
    assert!(missing("name = 'X'\ncommand = ['x']\nauth = 'public'").contains("line 1: `name`"));
}

#[test]
fn callers_are_checked_unless_the_manifest_says_that_they_are_not() {
    let auth = |text: &str| Manifest::from_toml(text).unwrap().server(None, 0).auth;
    assert_eq!(auth(HELLO), Auth::Public);
    assert_eq!(auth(&HELLO.replace("public", "required")), Auth::Required);
    assert_eq!(
        auth(&HELLO.replace("auth = \"public\"", "")),
        Auth::Required
    );
    let odd = HELLO.replace("public", "open");
    let error = Manifest::from_toml(&odd).unwrap_err().to_string();
    assert!(error.contains("must be `public` or `required`"), "{error}");
}

#[test]
fn what_is_said_of_callers_reaches_the_server() {
    let manifest = with(
        "tenant = \"acme\"\nauth_websocket = [\"query\", \"subprotocol\"]\n[cors]\n\
         allow_origins = [\"https://a.example\"]\nallow_headers = [\"authorization\"]",
    )
    .unwrap();
    let json = serde_json::to_value(&manifest).unwrap();
    assert_eq!(serde_json::from_value::<Manifest>(json).unwrap(), manifest);
    let server = manifest.server(None, 0);
    assert_eq!(server.tenant(), "acme");
    let ways = [WebSocketAuth::Query, WebSocketAuth::Subprotocol];
    assert_eq!(server.websocket_auth, ways);
    let cors = server.cors.unwrap();
    assert_eq!(cors.allow_origins, ["https://a.example"]);
    assert_eq!(cors.max_age, Duration::from_secs(600));
    assert_eq!(hello().server(None, 0).tenant(), "default");
    for (lines, start) in [
        (
            "auth_websocket = [\"cookie\"]",
            "line 5: `auth_websocket` has `cookie`",
        ),
        (
            "auth_websocket = [\"query\", \"query\"]",
            "line 5: `auth_websocket` names",
        ),
        ("[cors]", "line 5: `cors` has no `allow_origins`"),
        (
            "[cors]\nallow_origin = []",
            "line 6: unknown field `allow_origin`",
        ),
        ("tenant = \"A\"", "line 5: `tenant` is"),
    ] {
        let error = error(lines);
        assert!(error.starts_with(start), "{lines}: {error}");
    }
}

#[test]
fn hosts_under_the_zone_are_refused() {
    let manifest = with("domains = [\"other.region.localhost\", \"a.example.com\"]").unwrap();
    let error = manifest
        .check_zone("region.localhost")
        .unwrap_err()
        .to_string();
    assert!(error.contains("`other.region.localhost`"), "{error}");
    assert_eq!(manifest.check_zone("example.org"), Ok(()));
    assert_eq!(
        manifest.check_zone("e.com"),
        Ok(()),
        "a suffix is not a parent"
    );
    assert!(manifest.check_zone("a.example.com").is_err());
}

#[test]
fn the_json_form_says_the_same() {
    let manifest = with(
        "request_timeout = \"90s\"\nhold = \"1500ms\"\ntarget_concurrency = 2.5\n\
         domains = [\"a.b\"]\nworking_dir = \"/x\"",
    )
    .unwrap();
    let json = serde_json::to_value(&manifest).unwrap();
    assert_eq!(json["hold"], "1s 500ms");
    assert_eq!(serde_json::from_value::<Manifest>(json).unwrap(), manifest);
    let bad = serde_json::json!({ "name": "x", "command": ["x"], "auth": "public", "hold": "9h" });
    let error = serde_json::from_value::<Manifest>(bad)
        .unwrap_err()
        .to_string();
    assert!(error.contains("`hold`"), "{error}");
    let odd = serde_json::json!({ "name": "x", "command": ["x"], "auth": "public", "holdd": "1s" });
    assert!(serde_json::from_value::<Manifest>(odd).is_err());
}

#[test]
fn the_list_of_keys_is_the_manifests() {
    let image = r#"{"name":"x","image":"i","auth":"public","target_concurrency":1,"working_dir":"/",
            "scaleup_rate_limit":9,"scaledown_rate_limit":3,"tenant":"t",
            "auth_websocket":["query"],"cors":{"allow_origins":["*"]}}"#;
    let manifest: Manifest = serde_json::from_str(image).unwrap();
    let json = serde_json::to_value(&manifest).unwrap();
    let mut written: Vec<&str> = json
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let mut known = raw::KEYS.to_vec();
    written.sort_unstable();
    known.sort_unstable();
    assert_eq!(written, known);
}

#[test]
fn a_command_runs_in_its_manifests_directory() {
    let dir = Path::new("/home/me/hello");
    let at = |manifest: Manifest| manifest.in_directory(dir).unwrap().working_dir().to_owned();
    assert_eq!(at(hello()), "/home/me/hello");
    assert_eq!(
        at(with("working_dir = \"src\"").unwrap()),
        "/home/me/hello/src"
    );
    assert_eq!(at(with("working_dir = \"/srv\"").unwrap()), "/srv");
    let image = Manifest::from_toml("name = 'x'\nimage = 'i'\nauth = 'public'").unwrap();
    assert_eq!(at(image), "");
}

#[test]
fn a_deploy_of_another_program_is_the_next_generation_and_falls_back_to_the_last_proven() {
    let first = hello().server(None, 1);
    let proven = Server {
        proven: true,
        ..first.clone()
    };
    let second = with("h2 = true").unwrap().server(Some(&proven), 2);
    assert_eq!(second.target.generation, 2);
    assert!(!second.proven);
    assert_eq!(second.fallback, Some(Arc::clone(&first.target)));

    let third = with("env = { A = \"1\" }")
        .unwrap()
        .server(Some(&second), 3);
    assert_eq!(third.target.generation, 3);
    assert_eq!(third.fallback, Some(Arc::clone(&first.target)));

    let unproven = with("h2 = true").unwrap().server(Some(&first), 2);
    assert_eq!(unproven.fallback, None, "what never served is no fallback");
    for server in [first, second, third, unproven] {
        assert_eq!(Record::Server(server).check(), Ok(()));
    }
}

#[test]
fn a_deploy_of_the_same_program_is_a_new_version_with_the_last_as_fallback() {
    let first = Server {
        proven: true,
        tenant: "acme".into(),
        ..hello().server(None, 1)
    };
    let next = with("max_replicas = 9\nhold = \"1s\"")
        .unwrap()
        .server(Some(&first), 2);
    assert_eq!(next.target.generation, 2);
    assert_eq!(next.target.command, first.target.command);
    assert!(!next.proven);
    assert_eq!(next.fallback, Some(Arc::clone(&first.target)));
    assert_eq!(next.scaling.max_replicas, 9);
    assert_eq!(next.hold, Duration::from_secs(1));
    assert_eq!(next.deployed_unix_ms, 2);
    assert_eq!(next.tenant, "acme");
}

#[test]
fn replicas_of_a_deleted_server_never_pass_for_the_new_ones() {
    let replica = Replica {
        id: "r1".into(),
        server: "hello".into(),
        generation: 4,
        state: ReplicaState::Ready,
        worker: None,
        address: None,
        since_unix_ms: 0,
        reason: String::new(),
        startup_ms: 0,
        weight: 1,
        egress: "".into(),
    };
    let mut view = ServerView::default();
    view.put(Arc::new(replica), Revision(1));
    assert_eq!(hello().server_in(Some(&view), 0).target.generation, 5);
    assert_eq!(hello().server_in(None, 0).target.generation, 1);
}

proptest! {
    #[test]
    fn any_text_is_a_checked_manifest_or_an_error_with_a_line_in_it(
        key in prop::sample::select(raw::KEYS.to_vec()),
        value in prop_oneof![
            "\\PC{0,20}",
            "\"\\PC{0,20}\"",
            "-?[0-9]{1,20}(\\.[0-9]{1,5})?",
            "\\[(\"[a-z.]{0,9}\",?){0,3}\\]",
            "\"[0-9]{1,6}(ns|ms|s|m|h|d|y)\"",
        ],
    ) {
        let text = format!("{}{key} = {value}\n", HELLO.replace(&format!("\n{key} ="), "\n# "));
        match Manifest::from_toml(&text) {
            Ok(manifest) => {
                let server = manifest.server(None, 0);
                prop_assert_eq!(Record::Server(server).check(), Ok(()));
                let json = serde_json::to_string(&manifest).unwrap();
                prop_assert_eq!(serde_json::from_str::<Manifest>(&json).unwrap(), manifest);
            }
            Err(error) => {
                let lines = text.lines().count();
                prop_assert!(error.line.is_none_or(|line| (1..=lines + 1).contains(&line)));
                prop_assert!(!error.message.is_empty());
            }
        }
    }
}

#[test]
fn a_deploy_goes_on_with_what_somebody_paused_and_leaves_it_so() {
    let mut paused = hello().server(None, 1);
    paused.scaling.paused = true;
    assert!(hello().server(Some(&paused), 2).scaling.paused);
}
