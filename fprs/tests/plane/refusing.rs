//! Wrong input of every kind: one line that says what and what to do, and exit code 1 or 64.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fprs_testkit::plane::Ran;
use fprs_testkit::{Cli, Plane, TempDir, program};

use crate::FPRS;

/// A directory to be wrong in.
struct Place {
    dir: TempDir,
}

impl Place {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        Self { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// Runs a command in here, which has no plane.
    async fn run(&self, args: &[&str]) -> Ran {
        Cli::new(FPRS).dir(self.dir.path()).run(args).await
    }
}

/// Refused with that code, and the line has all of these words.
#[track_caller]
fn assert_says(ran: Ran, code: i32, words: &[&str]) {
    let refused = ran.refused(code);
    let line = refused.stderr.trim_end();
    assert!(line.starts_with("fprs: "), "{line}");
    assert!(line.len() < 400, "too long for a line: {line}");
    for word in words {
        assert!(line.contains(word), "no {word:?} in: {line}");
    }
    assert_eq!(refused.stdout, "");
}

#[tokio::test]
async fn a_wrong_manifest_is_refused_by_deploy_and_by_up() {
    let place = Place::new();
    let rest = "auth = \"public\"\ncommand = [\"x\"]\n";
    let manifests = [
        (
            format!("name = \"a\"\ntarget_concurency = 1\n{rest}"),
            vec!["line 2", "`target_concurency`", "`target_concurrency`"],
        ),
        (format!("name = \"a\"\n[env\n{rest}"), vec!["line 2"]),
        ("name = \u{1}".to_owned(), vec!["line 1"]),
        (
            "name = \"a\"\nauth = \"public\"\n".to_owned(),
            vec!["`command`"],
        ),
        (rest.to_owned(), vec!["`name`", "missing"]),
        (
            format!("name = \"Hello World\"\n{rest}"),
            vec!["line 1", "Hello World"],
        ),
        (
            format!("name = \"a\"\nmin_replicas = \"two\"\n{rest}"),
            vec!["line 2"],
        ),
        (
            format!("name = \"a\"\nhold = \"soon\"\n{rest}"),
            vec!["line 2", "`hold`", "`10s`"],
        ),
        (
            format!("name = \"a\"\nmin_replicas = 5\nmax_replicas = 2\n{rest}"),
            vec!["min_replicas"],
        ),
        (
            "name = \"a\"\ncommand = [\"x\"]\nauth = \"open\"\n".to_owned(),
            vec!["line 3", "`auth`", "`public`", "`required`"],
        ),
    ];
    for (text, words) in manifests {
        let path = place.file("fprs.toml", &text);
        let mut words = words;
        words.push("fprs.toml");
        assert_says(place.run(&["deploy", &path]).await, 1, &words);
        let any = [
            "up",
            &path,
            "--listen",
            "127.0.0.1:0",
            "--admin",
            "127.0.0.1:0",
        ];
        assert_says(place.run(&any).await, 1, &words);
        assert!(!place.path(".fprs").exists(), "it touched the data dir");
    }
    let missing = place.run(&["deploy", "nowhere.toml"]).await;
    assert_says(missing, 1, &["nowhere.toml", "No such file"]);
    std::fs::write(place.path("binary.toml"), [0xff, 0xfe, 0]).unwrap();
    assert_says(
        place.run(&["deploy", "binary.toml"]).await,
        1,
        &["binary.toml"],
    );
    assert_says(place.run(&["deploy", "."]).await, 1, &["`.`"]);
}

#[tokio::test]
async fn a_command_called_wrongly_is_bad_usage() {
    let place = Place::new();
    let calls: &[(&[&str], &[&str])] = &[
        (&["up", "--lisen", "127.0.0.1:0"], &["--lisen", "--listen"]),
        (&["depoy", "x"], &["depoy", "deploy"]),
        (&["deploy"], &["MANIFEST"]),
        (&["server"], &["NAME"]),
        (&["servers", "surplus"], &["surplus"]),
        (&["logs", "web", "-n", "many"], &["many", "--lines"]),
        (&["up", "--log-format", "xml"], &["xml", "json"]),
        (&["up", "--cores", "two"], &["two", "--cores"]),
        (&["up", "--cores", "0"], &["--cores"]),
        (&["up", "--listen", "8080"], &["--listen", "8080"]),
        (&["up", "--admin", "localhost"], &["--admin", "localhost"]),
        (&["up", "--zone", "Bad_Zone."], &["--zone", "Bad_Zone."]),
        (&["up", "--zone", ""], &["--zone"]),
        (
            &["up", "--drain-timeout", "soon"],
            &["--drain-timeout", "soon"],
        ),
        (&["proxy"], &["proxy", "--control"]),
        (&["autoscaler"], &["autoscaler", "--control"]),
        (&["relay"], &["relay", "--control"]),
    ];
    for (args, words) in calls {
        assert_says(place.run(args).await, 64, words);
    }
    let bare = place.run(&[]).await;
    assert_eq!(bare.code, Some(64), "{bare:?}");
}

#[tokio::test]
async fn wrong_settings_are_refused_before_anything_starts() {
    let place = Place::new();
    let broken = place.file("broken.toml", "listen = \n");
    let unknown = place.file("unknown.toml", "lisen = \"127.0.0.1:0\"\n");
    let value = place.file("value.toml", "capacity = \"many\"\n");
    let calls: &[(&str, &[&str])] = &[
        (&broken, &["broken.toml", "line 1"]),
        (&unknown, &["unknown.toml", "`lisen`", "`listen`"]),
        (&value, &["value.toml", "line 1", "many"]),
        ("nowhere.toml", &["nowhere.toml", "No such file"]),
    ];
    for (path, words) in calls {
        let ran = place.run(&["up", "--config", path]).await;
        assert_says(ran, 1, words);
    }
    let below_a_file = place.path("value.toml/data");
    let below_a_file = below_a_file.to_str().unwrap();
    let any = ["up", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    for role in ["up", "control"] {
        let mut args = any;
        args[0] = role;
        let ran = Cli::new(FPRS)
            .arg("--data-dir", below_a_file)
            .run(&args)
            .await;
        assert_says(ran, 1, &["value.toml/data", "--data-dir"]);
    }
}

#[tokio::test]
async fn a_taken_port_is_named_with_what_to_do() {
    let place = Place::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let free = "127.0.0.1:0";
    let listen = place
        .run(&["up", "--listen", &taken, "--admin", free])
        .await;
    assert_says(listen, 1, &[&taken, "--listen", "in use"]);
    let admin = place
        .run(&["up", "--listen", free, "--admin", &taken])
        .await;
    assert_says(admin, 1, &[&taken, "--admin", "in use"]);
    let control = place.run(&["control", "--admin", &taken]).await;
    assert_says(control, 1, &[&taken, "--admin", "in use"]);
}

#[tokio::test]
async fn a_second_plane_on_the_same_data_is_refused_and_the_first_goes_on() {
    let plane = Plane::start(FPRS).await;
    plane
        .deploy(&program::manifest("web", "hold = \"10s\"", &[]))
        .await;
    let data = plane.data_dir();
    let any = ["up", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    for role in ["up", "control"] {
        let mut args = any;
        args[0] = role;
        let second = Cli::new(FPRS).arg("--data-dir", &data).run(&args).await;
        assert_says(second, 1, &[data.to_str().unwrap()]);
    }
    plane.run(&["servers"]).await.succeeded();
    let answer = plane.h1().await.get(&plane.host("web"), "/").await;
    assert_eq!(answer.unwrap().status, 200);
}

#[tokio::test]
async fn what_a_plane_does_not_have_is_named() {
    let plane = Plane::start(FPRS).await;
    for command in ["server", "replicas", "logs", "delete"] {
        for name in ["nobody", "no such/name?"] {
            let ran = plane.run(&[command, name]).await;
            assert_says(ran, 1, &[name]);
        }
    }
    let more = "domains = [\"www.example.com\"]";
    plane.deploy(&program::manifest("web", more, &[])).await;
    let stolen = plane
        .try_deploy(&program::manifest("other", more, &[]))
        .await;
    assert_says(stolen, 1, &["www.example.com", "`web`"]);
    let inside = "domains = [\"www.region.localhost\"]";
    let inside = plane
        .try_deploy(&program::manifest("in", inside, &[]))
        .await;
    assert_says(inside, 1, &["www.region.localhost"]);
    let image = "name = \"i\"\nimage = \"nginx\"\nauth = \"public\"\n";
    assert_says(plane.try_deploy(image).await, 1, &["`image`"]);
    let replica = plane.run(&["logs", "web", "--replica", "web-1-none"]).await;
    assert_says(replica, 1, &["web-1-none"]);
    let admin = plane.admin().to_string();
    let wrong = ["servers", "--admin", &admin, "--admin-token", "wrong"];
    assert_says(plane.run(&wrong).await, 1, &["token"]);
}

#[tokio::test]
async fn without_a_plane_every_command_says_how_to_get_one() {
    let mut plane = Plane::start(FPRS).await;
    let place = Place::new();
    let manifest = place.file("fprs.toml", &program::manifest("web", "", &[]));
    let asked: [&[&str]; 6] = [
        &["deploy", &manifest],
        &["servers"],
        &["server", "web"],
        &["replicas", "web"],
        &["logs", "web"],
        &["delete", "web"],
    ];
    for args in asked {
        assert_says(place.run(args).await, 1, &["no plane runs", "fprs up"]);
    }
    // One that was killed left word of where it was.
    plane.kill9();
    for args in asked {
        assert_says(plane.run(args).await, 1, &["is the plane running?"]);
    }
    plane.restart().await;
    plane.terminate(Duration::from_secs(10)).await;
    assert_says(plane.run(&["servers"]).await, 1, &["no plane runs"]);
    let data: &Path = &plane.data_dir();
    std::fs::write(data.join("running.json"), "{").unwrap();
    assert_says(plane.run(&["servers"]).await, 1, &["running.json"]);
}
