//! One look at a plane: what its process answers, and what it and its proxies count.

use std::collections::BTreeMap;
use std::io::Read;
use std::time::Instant;

use serde_json::Value;

use crate::client::Client;
use crate::failure::Failure;

/// Whom to ask.
#[derive(Debug)]
pub(super) struct Eyes {
    plane: Client,
    proxies: Vec<Client>,
}

/// What there was to see.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) at: Instant,
    /// `/v1/status`.
    pub(super) status: Value,
    /// `/v1/config`; null to whoever may not see it.
    pub(super) config: Value,
    /// `/v1/followers`, likewise.
    pub(super) followers: Value,
    pub(super) counted: Counted,
}

/// What proxies count, all together.
#[derive(Debug, Default)]
pub(super) struct Counted {
    /// Exchanges by server.
    pub(super) exchanges: BTreeMap<String, f64>,
    /// What they answered themselves, by reason.
    pub(super) refusals: BTreeMap<String, f64>,
    /// Some process counts requests.
    pub(super) any: bool,
}

/// The largest page of metrics that is read, in bytes.
const METRICS_BYTES: u64 = 64 * 1024 * 1024;

impl Eyes {
    pub(super) fn new(plane: Client, proxies: &[String]) -> Self {
        let proxies = proxies.iter().map(|proxy| plane.elsewhere(proxy));
        Self {
            proxies: proxies.collect(),
            plane,
        }
    }

    /// Looks now.
    ///
    /// # Errors
    /// The plane does not answer, or not to whoever asks.
    pub(super) fn look(&self) -> Result<Look, Failure> {
        let status = self.plane.get("/v1/status")?;
        let mut counted = Counted::default();
        counted.add(&metrics(&self.plane)?);
        for proxy in &self.proxies {
            counted.add(&metrics(proxy)?);
        }
        Ok(Look {
            at: Instant::now(),
            status,
            config: self.plane.get("/v1/config").unwrap_or_default(),
            followers: self.plane.get("/v1/followers").unwrap_or_default(),
            counted,
        })
    }
}

fn metrics(process: &Client) -> Result<String, Failure> {
    let mut text = String::new();
    let page = process.stream("/metrics")?.take(METRICS_BYTES);
    let read = std::io::BufReader::new(page).read_to_string(&mut text);
    read.map_err(|error| Failure::new(format!("the metrics broke off: {error}")))?;
    Ok(text)
}

impl Counted {
    fn add(&mut self, page: &str) {
        for line in page.lines() {
            let Some((name, rest)) = line.split_once('{') else {
                continue;
            };
            let (into, label) = match name {
                "fprs_usage_exchanges_total" => (&mut self.exchanges, "server"),
                "fprs_proxy_answers_total" => (&mut self.refusals, "reason"),
                _ => continue,
            };
            self.any = true;
            let Some((labels, value)) = rest.rsplit_once("} ") else {
                continue;
            };
            let quoted =
                |pair: &str| Some(pair.split_once("=\"")?.1.trim_end_matches('"').to_owned());
            let is_it = |pair: &&str| pair.split('=').next() == Some(label);
            let of = labels.split(',').find(is_it).and_then(quoted);
            if let (Some(of), Ok(value)) = (of, value.parse::<f64>()) {
                *into.entry(of).or_default() += value;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_all_processes_are_summed_by_server_and_reason() {
        let page = "# TYPE fprs_usage_exchanges_total counter\n\
            fprs_usage_exchanges_total{server=\"web\",tenant=\"a\"} 3\n\
            fprs_usage_exchanges_total{server=\"web\",tenant=\"b\"} 2\n\
            fprs_proxy_answers_total{reason=\"no_replica\"} 7\n\
            fprs_proxy_in_flight 9\n";
        let mut counted = Counted::default();
        counted.add("fprs_proxy_in_flight 9\n");
        assert!(!counted.any);
        counted.add(page);
        counted.add(page);
        assert_eq!(counted.exchanges["web"], 10.0);
        assert_eq!(counted.refusals["no_replica"], 14.0);
        assert!(counted.any);
    }
}
