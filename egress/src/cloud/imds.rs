//! What an EC2 instance is told about itself, by version 2 of its metadata service: all of its network
//! interfaces with their addresses, its region, and its role's credentials.

use std::net::Ipv4Addr;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::Full;
use serde::Deserialize;

use super::{CloudError, http as once};

/// The metadata service.
#[derive(Clone, Debug)]
pub struct Imds {
    address: String,
}

/// Who asks AWS. Never shows its secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The key's id.
    pub id: String,
    /// The key.
    pub secret: String,
    /// The session that the key is of.
    pub token: Option<String>,
}

/// A network interface of this instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its name in the cloud, like `eni-…`.
    pub id: String,
    /// Its hardware address.
    pub mac: String,
    /// Its own addresses.
    pub local: Vec<Ipv4Addr>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Role {
    access_key_id: String,
    secret_access_key: String,
    token: Option<String>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Credentials({})", self.id)
    }
}

impl Default for Imds {
    fn default() -> Self {
        Self::at("169.254.169.254:80")
    }
}

/// Longest wait for one answer: it comes from this machine's own host.
const DEADLINE: Duration = Duration::from_secs(2);
/// How long a session with the service lasts, seconds.
const SESSION: &str = "60";

impl Imds {
    /// The service at `host:port`.
    pub fn at(address: &str) -> Self {
        Self {
            address: address.to_owned(),
        }
    }

    /// Every network interface, and its addresses.
    ///
    /// # Errors
    /// See [`CloudError`].
    pub async fn interfaces(&self) -> Result<Vec<Interface>, CloudError> {
        let session = self.session().await?;
        let macs = self.get(&session, "network/interfaces/macs/").await?;
        let mut all = Vec::new();
        for mac in macs.unwrap_or_default().lines() {
            let mac = mac.trim_end_matches('/');
            let of = |what: &str| format!("network/interfaces/macs/{mac}/{what}");
            let Some(id) = self.get(&session, &of("interface-id")).await? else {
                // Detached meanwhile.
                continue;
            };
            let local = self.get(&session, &of("local-ipv4s")).await?;
            let local = local.unwrap_or_default();
            let local = local.lines().map(|line| {
                line.trim().parse().map_err(|_| CloudError::Strange {
                    asked: of("local-ipv4s"),
                    why: format!("`{line}` is no address"),
                })
            });
            all.push(Interface {
                id: id.trim().to_owned(),
                mac: mac.to_owned(),
                local: local.collect::<Result<_, _>>()?,
            });
        }
        Ok(all)
    }

    /// The region that this instance is in.
    ///
    /// # Errors
    /// See [`CloudError`].
    pub async fn region(&self) -> Result<String, CloudError> {
        let session = self.session().await?;
        let region = self.required(&session, "placement/region").await?;
        Ok(region.trim().to_owned())
    }

    /// The credentials of this instance's role, as they are now: they change every few hours.
    ///
    /// # Errors
    /// See [`CloudError`].
    pub async fn credentials(&self) -> Result<Credentials, CloudError> {
        const ROLES: &str = "iam/security-credentials/";
        let session = self.session().await?;
        let role = self.required(&session, ROLES).await?;
        let path = format!("{ROLES}{}", role.lines().next().unwrap_or_default());
        let text = self.required(&session, &path).await?;
        let role: Role = serde_json::from_str(&text).map_err(|error| CloudError::Strange {
            asked: path,
            why: error.to_string(),
        })?;
        Ok(Credentials {
            id: role.access_key_id,
            secret: role.secret_access_key,
            token: role.token,
        })
    }

    /// Without one the service answers nothing: whoever can only make this machine fetch a page gets none.
    async fn session(&self) -> Result<String, CloudError> {
        let request = Request::builder()
            .method(Method::PUT)
            .uri("/latest/api/token")
            .header("x-aws-ec2-metadata-token-ttl-seconds", SESSION);
        let session = self.ask("the metadata service's session", request).await?;
        session.ok_or_else(|| CloudError::Strange {
            asked: "the metadata service".into(),
            why: "it has no sessions; version 2 is needed".into(),
        })
    }

    async fn required(&self, session: &str, path: &str) -> Result<String, CloudError> {
        let found = self.get(session, path).await?;
        found.ok_or_else(|| CloudError::Refused {
            asked: format!("the metadata service's {path}"),
            code: "404".into(),
            message: "this instance has none; does it have a role?".into(),
        })
    }

    /// Nothing, if there is nothing.
    async fn get(&self, session: &str, path: &str) -> Result<Option<String>, CloudError> {
        let request = Request::builder()
            .uri(format!("/latest/meta-data/{path}"))
            .header("x-aws-ec2-metadata-token", session);
        self.ask(&format!("the metadata service's {path}"), request)
            .await
    }

    async fn ask(
        &self,
        asked: &str,
        request: http::request::Builder,
    ) -> Result<Option<String>, CloudError> {
        let request = request
            .header("host", &self.address)
            .body(Full::new(Bytes::new()));
        let request = request.map_err(|error| CloudError::Strange {
            asked: asked.to_owned(),
            why: error.to_string(),
        })?;
        let (status, text) = once::send(asked, &self.address, None, request, DEADLINE).await?;
        match status {
            StatusCode::OK => Ok(Some(text)),
            StatusCode::NOT_FOUND => Ok(None),
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                Err(CloudError::Throttled {
                    asked: asked.to_owned(),
                    code: status.to_string(),
                })
            }
            _ => Err(CloudError::Refused {
                asked: asked.to_owned(),
                code: status.to_string(),
                message: text.chars().take(200).collect(),
            }),
        }
    }
}
