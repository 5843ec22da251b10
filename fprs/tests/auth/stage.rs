//! A plane with one protected server, `web`, whose program notes what it is sent.

use std::path::PathBuf;

use fprs_testkit::client::{H1, Response};
use fprs_testkit::plane::Settings;
use fprs_testkit::signer::{Signer, jwks};
use fprs_testkit::{Cli, Plane, program, until};
use serde_json::{Value, json};

use crate::{FPRS, SOON};

/// The server's host name.
pub(crate) const HOST: &str = "web.region.localhost";

/// A plane and its program's record.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) plane: Plane,
    /// The commands, with the admin token.
    pub(crate) cli: Cli,
    record: PathBuf,
}

impl Stage {
    /// With one replica that is ready; `more` is of the manifest.
    pub(crate) async fn set(more: &str) -> Self {
        Self::set_with(Settings::new(FPRS), None, more).await
    }

    /// With settings, and the admin token that is in them.
    pub(crate) async fn set_with(settings: Settings, admin: Option<&str>, more: &str) -> Self {
        let plane = settings.start().await;
        let cli = match admin {
            Some(token) => plane.cli().env("FPRS_ADMIN_TOKEN", token),
            None => plane.cli(),
        };
        let stage = Self {
            cli,
            record: plane.dir().join("record"),
            plane,
        };
        stage
            .deploy(
                "web",
                &format!("min_replicas = 1\nmax_replicas = 1\n{more}"),
            )
            .await;
        until("a replica is ready", SOON, async || {
            let replicas = stage.cli.replicas("web").await;
            let ready = |replica: &Value| replica["state"] == "ready";
            replicas.iter().any(ready).then_some(())
        })
        .await;
        stage
    }

    /// Deploys a protected server.
    pub(crate) async fn deploy(&self, name: &str, more: &str) {
        let record = self.record.to_str().unwrap();
        let manifest = program::protected(name, more, &[("RECORD", record)]);
        let ran = self.cli.deploy(&manifest, self.plane.dir()).await;
        ran.succeeded();
    }

    /// Makes a token with those arguments; its JSON.
    pub(crate) async fn token(&self, args: &[&str]) -> Value {
        let args = [&["token", "create", "--json"], args].concat();
        self.cli.run(&args).await.succeeded().json()
    }

    /// Makes a token for the default tenant: `<id>.<secret>`.
    pub(crate) async fn caller(&self) -> String {
        whole(&self.token(&[]).await)
    }

    /// Adds an issuer of that name for the default tenant.
    pub(crate) async fn issuer(&self, name: &str, signers: &[&Signer]) {
        let path = self.plane.dir().join(format!("{name}.json"));
        std::fs::write(&path, jwks(signers)).unwrap();
        let iss = format!("https://{name}");
        let path = path.to_str().unwrap();
        let args = [
            "issuer",
            "add",
            name,
            "--iss",
            &iss,
            "--aud",
            "fprs",
            "--jwks",
            path,
            "--algorithms",
            "EdDSA,ES256,RS256",
        ];
        self.cli.run(&args).await.succeeded();
    }

    /// A GET with those fields.
    pub(crate) async fn get(&self, host: &str, path: &str, fields: &[(&str, &str)]) -> Response {
        let mut client = self.plane.h1().await;
        get(&mut client, host, path, fields).await
    }

    /// Opens a WebSocket; `more` are whole field lines. Returns the status of the answer: the program
    /// speaks no WebSocket, and answers as to any request.
    pub(crate) async fn open_socket(&self, host: &str, path: &str, more: &str) -> u16 {
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             {more}\r\n"
        );
        let mut client = self.plane.h1().await;
        client.writer.send(request).await.unwrap();
        client.reader.head().await.unwrap().status
    }

    /// With that bearer credential, to the server.
    pub(crate) async fn call(&self, credential: &str) -> Response {
        let bearer = format!("Bearer {credential}");
        self.get(HOST, "/", &[("authorization", &bearer)]).await
    }

    /// Waits until a call with it has that status.
    pub(crate) async fn until_status(&self, credential: &str, status: u16) {
        until("the status is as expected", SOON, async || {
            (self.call(credential).await.status == status).then_some(())
        })
        .await;
    }

    /// The head of the request to that path as the program saw it, in small letters.
    pub(crate) async fn seen(&self, path: &str) -> String {
        until("the program has seen it", SOON, async || {
            let events = program::events(&self.record);
            let seen = events.iter().find(|event| event["target"] == path)?;
            Some(seen["head"].as_str()?.to_lowercase())
        })
        .await
    }

    /// Requests that programs have seen.
    pub(crate) fn requests(&self) -> usize {
        let events = program::events(&self.record).into_iter();
        events.filter(|event| event["event"] == "begin").count()
    }
}

/// A GET with those fields on a connection that is open.
pub(crate) async fn get(
    client: &mut H1,
    host: &str,
    path: &str,
    fields: &[(&str, &str)],
) -> Response {
    let mut request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n");
    for (name, value) in fields {
        request += &format!("{name}: {value}\r\n");
    }
    client.exchange(request + "\r\n").await.unwrap()
}

/// `<id>.<secret>` of a token as the command line shows it.
pub(crate) fn whole(token: &Value) -> String {
    let (id, secret) = (&token["id"], &token["secret"]);
    format!("{}.{}", id.as_str().unwrap(), secret.as_str().unwrap())
}

/// Claims of a JWT that an issuer of that name would sign, good for an hour.
pub(crate) fn claims(issuer: &str) -> Value {
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    json!({ "iss": format!("https://{issuer}"), "aud": "fprs", "sub": "alice", "exp": now + 3600 })
}

/// What a response says why.
pub(crate) fn reason(response: &Response) -> (u16, Option<String>) {
    let reason = response.header("x-fprs-reason").map(str::to_owned);
    (response.status, reason)
}
