//! The commands' side of the control API: finds the plane, asks it, and turns what it answers into
//! values or one line of failure.

use std::fmt;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use ureq::http::{Response, StatusCode};
use ureq::{Agent, Body};

use crate::cli::Target;
use crate::cli::rollouts::Stage;
use crate::data_dir;
use crate::failure::Failure;

/// A control API to ask.
pub struct Client {
    agent: Agent,
    admin: String,
    authorization: String,
    /// Follows the path of what writes.
    stage: String,
}

/// The largest answer that is read whole; ten thousand servers fit.
const ANSWER_BYTES: u64 = 64 * 1024 * 1024;

impl Client {
    /// The plane that is meant: the one given, else the one that runs in the data dir.
    ///
    /// # Errors
    /// There is no address or no token to be found.
    pub fn find(target: &Target) -> Result<Self, Failure> {
        let admin = match &target.admin {
            Some(admin) => admin.clone(),
            None => running(&target.data_dir)?,
        };
        let token = match &target.admin_token {
            Some(token) => token.expose().to_owned(),
            None => data_dir::token(&target.data_dir)?.ok_or_else(|| {
                Failure::new(format!(
                    "no admin token in `{}`; give --data-dir or FPRS_ADMIN_TOKEN",
                    target.data_dir.display()
                ))
            })?,
        };
        Ok(Self::at(&admin, &token))
    }

    /// The control API at that address.
    pub fn at(admin: &str, token: &str) -> Self {
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .build()
            .into();
        let admin = admin.strip_prefix("http://").unwrap_or(admin);
        Self {
            agent,
            admin: admin.trim_end_matches('/').to_owned(),
            authorization: format!("Bearer {token}"),
            stage: String::new(),
        }
    }

    /// The API of a process at that address, which is to answer within a time.
    pub fn within(admin: &str, token: &str, time: Duration) -> Self {
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(time))
            .build()
            .into();
        Self {
            agent,
            ..Self::at(admin, token)
        }
    }

    /// What it writes comes in force there first; such an answer has the status 202 and says so.
    #[must_use]
    pub fn staging(mut self, stage: &Stage) -> Self {
        self.stage = stage.query();
        self
    }

    /// The same plane's API at another address.
    pub fn elsewhere(&self, admin: &str) -> Self {
        Self {
            agent: self.agent.clone(),
            admin: admin.to_owned(),
            authorization: self.authorization.clone(),
            stage: self.stage.clone(),
        }
    }

    /// Asks for a JSON value.
    ///
    /// # Errors
    /// Nobody answers, or the answer is a problem.
    pub fn get(&self, path: &str) -> Result<Value, Failure> {
        let request = self
            .agent
            .get(self.url(path))
            .header("authorization", &self.authorization);
        self.json(request.call())
    }

    /// Puts a JSON value.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn put(&self, path: &str, value: &impl serde::Serialize) -> Result<Value, Failure> {
        let request = self
            .agent
            .put(self.url_to_write(path))
            .header("authorization", &self.authorization);
        self.json(request.send_json(value))
    }

    /// Changes what a JSON value names.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn patch(&self, path: &str, value: &impl serde::Serialize) -> Result<Value, Failure> {
        let request = self
            .agent
            .patch(self.url(path))
            .header("authorization", &self.authorization);
        self.json(request.send_json(value))
    }

    /// Posts a JSON value.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn post(&self, path: &str, value: &impl serde::Serialize) -> Result<Value, Failure> {
        let request = self
            .agent
            .post(self.url(path))
            .header("authorization", &self.authorization);
        self.json(request.send_json(value))
    }

    /// Deletes.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn delete(&self, path: &str) -> Result<Value, Failure> {
        let request = self
            .agent
            .delete(self.url_to_write(path))
            .header("authorization", &self.authorization);
        let mut response = self.checked(request.call())?;
        // Some have nothing to say.
        Ok(response.body_mut().read_json().unwrap_or_default())
    }

    /// Reads an endless text.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn stream(&self, path: &str) -> Result<impl Read + use<>, Failure> {
        let request = self
            .agent
            .get(self.url(path))
            .header("authorization", &self.authorization);
        Ok(self.checked(request.call())?.into_body().into_reader())
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.admin)
    }

    fn url_to_write(&self, path: &str) -> String {
        let url = self.url(path);
        match self.stage.as_str() {
            "" => url,
            stage => format!("{url}?{stage}"),
        }
    }

    fn json(&self, answered: Result<Response<Body>, ureq::Error>) -> Result<Value, Failure> {
        let mut response = self.checked(answered)?;
        response
            .body_mut()
            .with_config()
            .limit(ANSWER_BYTES)
            .read_json()
            .map_err(|error| {
                Failure::new(format!(
                    "{} answered something that is not JSON: {error}",
                    self.admin
                ))
            })
    }

    fn checked(
        &self,
        answered: Result<Response<Body>, ureq::Error>,
    ) -> Result<Response<Body>, Failure> {
        let mut response = answered.map_err(|error| {
            Failure::new(format!(
                "no answer from the control API at {}: {error}; is the plane running?",
                self.admin
            ))
        })?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let problem: Value = response.body_mut().read_json().unwrap_or_default();
        Err(explain(status, &problem))
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("admin", &self.admin)
            .finish_non_exhaustive()
    }
}

fn running(data_dir: &Path) -> Result<String, Failure> {
    data_dir::running(data_dir)?
        .map(|running| running.admin.to_string())
        .ok_or_else(|| {
            Failure::new(format!(
                "no plane runs in `{}`; start one with `fprs up`, or give --data-dir or --admin",
                data_dir.display()
            ))
        })
}

fn explain(status: StatusCode, problem: &Value) -> Failure {
    let text = |key: &str| problem.get(key).and_then(Value::as_str);
    match (text("detail"), text("remedy")) {
        (Some(detail), Some(remedy)) => Failure::new(format!("{detail}; {remedy}")),
        (Some(detail), None) => Failure::new(detail),
        (None, _) => Failure::new(format!("the control API answered {status}")),
    }
}
