//! The address API of EC2: where elastic IPs are, and putting them elsewhere. What passes by itself,
//! throttling above all, is asked again with growing patience; the rest is told.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Method, Request, StatusCode};
use http_body_util::Full;
use tokio_rustls::rustls::ClientConfig;

use super::sign::{Signed, escaped, moment};
use super::{CloudError, Imds, Place, Provider, http as once};
use crate::tls::{self, TlsError};

/// How EC2 is reached.
#[derive(Clone, Debug)]
pub struct Ec2Settings {
    /// Where this instance's role and region come from.
    pub imds: Imds,
    /// `host:port` of the API; `None`: the region's.
    pub endpoint: Option<String>,
    /// Authorities that sign its certificate, in PEM; `None`: it speaks plain HTTP, as tests do.
    pub authorities: Option<PathBuf>,
}

/// The API.
#[derive(Debug)]
pub struct Ec2 {
    settings: Ec2Settings,
    tls: Option<Arc<ClientConfig>>,
}

/// An elastic IP as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Elastic {
    allocation: String,
    interface: Option<String>,
    local: Option<Ipv4Addr>,
}

/// Longest wait for one answer.
const DEADLINE: Duration = Duration::from_secs(5);
/// The first wait before asking again, and how often.
const PATIENCE: Duration = Duration::from_millis(100);
const AGAIN: u32 = 6;
const VERSION: &str = "2016-11-15";
const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";

impl Ec2 {
    /// Reads the authorities.
    ///
    /// # Errors
    /// They are not there.
    pub fn new(settings: Ec2Settings) -> Result<Self, TlsError> {
        let tls = settings.authorities.as_deref().map(tls::client);
        Ok(Self {
            tls: tls.transpose()?,
            settings,
        })
    }

    /// Where those elastic IPs are.
    async fn addresses(
        &self,
        wanted: &BTreeMap<Ipv4Addr, Place>,
    ) -> Result<BTreeMap<Ipv4Addr, Elastic>, CloudError> {
        let mut parameters = BTreeMap::new();
        for (n, ip) in (1..).zip(wanted.keys()) {
            parameters.insert(format!("PublicIp.{n}"), ip.to_string());
        }
        let answer = self.patiently("DescribeAddresses", &parameters).await?;
        Ok(items(&answer))
    }

    async fn associate(&self, elastic: &Elastic, place: &Place) -> Result<(), CloudError> {
        let parameters = [
            ("AllocationId", elastic.allocation.clone()),
            ("AllowReassociation", "true".into()),
            ("NetworkInterfaceId", place.interface.clone()),
            ("PrivateIpAddress", place.local.to_string()),
        ];
        let parameters = parameters.map(|(name, value)| (name.to_owned(), value));
        self.patiently("AssociateAddress", &parameters.into())
            .await
            .map(|_| ())
    }

    async fn patiently(
        &self,
        action: &str,
        parameters: &BTreeMap<String, String>,
    ) -> Result<String, CloudError> {
        let mut patience = PATIENCE;
        let mut again = AGAIN;
        loop {
            match self.ask(action, parameters).await {
                Err(error) if error.passes() && again > 0 => {
                    tracing::debug!(%error, "asking again");
                    // Others that were told the same must not all come back at once.
                    tokio::time::sleep(patience.mul_f64(0.5 + fastrand::f64())).await;
                    (patience, again) = (patience * 2, again - 1);
                }
                done => return done,
            }
        }
    }

    async fn ask(
        &self,
        action: &str,
        parameters: &BTreeMap<String, String>,
    ) -> Result<String, CloudError> {
        let credentials = self.settings.imds.credentials().await?;
        let region = self.settings.imds.region().await?;
        let address = match &self.settings.endpoint {
            Some(endpoint) => endpoint.clone(),
            None => format!("ec2.{region}.amazonaws.com:443"),
        };
        let host = address.strip_suffix(":443").unwrap_or(&address);
        let mut body = format!("Action={action}&Version={VERSION}");
        for (name, value) in parameters {
            body.push_str(&format!("&{}={}", escaped(name), escaped(value)));
        }
        let moment = moment(SystemTime::now());
        let signed = Signed {
            method: "POST",
            query: "",
            host,
            content_type: FORM,
            body: &body,
            region: &region,
            service: "ec2",
        };
        let mut request = Request::builder()
            .method(Method::POST)
            .uri("/")
            .header("host", host)
            .header("content-type", FORM)
            .header("x-amz-date", &moment)
            .header("authorization", signed.authorization(&credentials, &moment));
        if let Some(token) = &credentials.token {
            request = request.header("x-amz-security-token", token);
        }
        let asked = format!("EC2's {action}");
        let request = request.body(Full::new(Bytes::from(body)));
        let request = request.map_err(|error| CloudError::Strange {
            asked: asked.clone(),
            why: error.to_string(),
        })?;
        let answer = once::send(&asked, &address, self.tls.as_ref(), request, DEADLINE).await?;
        read(asked, answer)
    }
}

impl Provider for Ec2 {
    fn put<'a>(
        &'a self,
        wanted: &'a BTreeMap<Ipv4Addr, Place>,
    ) -> BoxFuture<'a, Result<(), CloudError>> {
        Box::pin(async move {
            if wanted.is_empty() {
                return Ok(());
            }
            let known = self.addresses(wanted).await?;
            let moves = wanted.iter().filter_map(|(ip, place)| {
                let elastic = known.get(ip)?;
                let there = elastic.local == Some(place.local)
                    && elastic.interface.as_ref() == Some(&place.interface);
                (!there).then_some(async move {
                    self.associate(elastic, place).await?;
                    tracing::info!(%ip, interface = place.interface, local = %place.local, "an elastic IP moved");
                    Ok(())
                })
            });
            // One that fails must not hold up the others.
            let done = futures_util::future::join_all(moves).await;
            done.into_iter().collect::<Result<(), CloudError>>()?;
            match wanted.keys().find(|ip| !known.contains_key(ip)) {
                Some(ip) => Err(CloudError::Refused {
                    asked: "EC2's DescribeAddresses".into(),
                    code: "no such address".into(),
                    message: format!("{ip} is no elastic IP of this account and region"),
                }),
                None => Ok(()),
            }
        })
    }
}

fn read(asked: String, (status, text): (StatusCode, String)) -> Result<String, CloudError> {
    if status.is_success() {
        return Ok(text);
    }
    let code = between(&text, "Code").unwrap_or(status.as_str()).to_owned();
    let patience = [
        "RequestLimitExceeded",
        "Throttling",
        "ThrottlingException",
        "Unavailable",
        "InternalError",
        "ServiceUnavailable",
    ];
    if status.is_server_error() || patience.contains(&code.as_str()) {
        return Err(CloudError::Throttled { asked, code });
    }
    let message = between(&text, "Message").unwrap_or(&text);
    Err(CloudError::Refused {
        asked,
        code,
        message: message.chars().take(200).collect(),
    })
}

/// The addresses that an answer tells of.
fn items(answer: &str) -> BTreeMap<Ipv4Addr, Elastic> {
    let set = between(answer, "addressesSet").unwrap_or_default();
    let all = set.split("<item>").filter_map(|item| {
        let ip = between(item, "publicIp")?.parse().ok()?;
        let local = between(item, "privateIpAddress").and_then(|text| text.parse().ok());
        Some((
            ip,
            Elastic {
                allocation: between(item, "allocationId")?.to_owned(),
                interface: between(item, "networkInterfaceId").map(str::to_owned),
                local,
            },
        ))
    });
    all.collect()
}

/// What stands in the first element of that name, which has no element of the same name in it. Names,
/// addresses and codes are written without escapes.
fn between<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    let (inner, _) = rest.split_once(&format!("</{name}>"))?;
    Some(inner)
}

#[cfg(test)]
mod tests;
