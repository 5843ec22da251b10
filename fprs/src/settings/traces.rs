//! PURE. Where spans go and how many traces begin here. OpenTelemetry's own variable for the address is
//! understood; what is wrong with it is told under its name.

use crate::failure::Failure;

/// Where spans go.
#[derive(Clone, Debug, PartialEq)]
pub struct Tracing {
    /// A collector's host.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Of the traces that begin here, from 0 to 1.
    pub sample: f64,
}

/// OpenTelemetry's variable for the address.
const STANDARD: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
/// And the one for what is spoken there.
const PROTOCOL: &str = "OTEL_EXPORTER_OTLP_PROTOCOL";
/// Of a collector, where none is named.
const PORT: u16 = 4317;
/// Enough to see what is going on, at a cost that nobody notices.
const SAMPLE: f64 = 0.01;

impl Tracing {
    /// What was given, else what OpenTelemetry's variables say; `None`: nothing is traced.
    ///
    /// # Errors
    /// It isn't an address, or no share.
    pub(super) fn of(
        endpoint: Option<String>,
        sample: Option<f64>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, Failure> {
        let sample = sample.unwrap_or(SAMPLE);
        if !(0.0..=1.0).contains(&sample) {
            return Err(Failure::usage(format!(
                "`--trace-sample {sample}`: must be from 0 to 1; 0.05 is one request of twenty"
            )));
        }
        let (named, text) = match endpoint {
            Some(text) => ("--otlp-endpoint", text),
            None => match variable(STANDARD).filter(|text| speaks_grpc(text, &variable)) {
                Some(text) => (STANDARD, text),
                None => return Ok(None),
            },
        };
        let (host, port) = place(&text).ok_or_else(|| {
            Failure::usage(format!(
                "`{named} {text}`: not an address like http://127.0.0.1:4317; fprs speaks OTLP over \
                 gRPC without TLS, to a collector that is near"
            ))
        })?;
        Ok(Some(Self { host, port, sample }))
    }

    /// As a URL.
    pub fn url(&self) -> String {
        match self.host.contains(':') {
            true => format!("http://[{}]:{}", self.host, self.port),
            false => format!("http://{}:{}", self.host, self.port),
        }
    }
}

/// The variable may be meant for programs that speak something else; that is no mistake.
fn speaks_grpc(endpoint: &str, variable: &impl Fn(&str) -> Option<String>) -> bool {
    let grpc = variable(PROTOCOL).is_none_or(|protocol| protocol == "grpc");
    if !grpc {
        tracing::warn!(%endpoint, "nothing is traced: {PROTOCOL} is not grpc, and fprs speaks nothing else");
    }
    grpc && !endpoint.is_empty()
}

/// `host:port`, with or without `http://` before it; a host of IPv6 is in brackets.
fn place(text: &str) -> Option<(String, u16)> {
    let rest = match text.split_once("://") {
        Some(("http", rest)) => rest,
        Some(_) => return None,
        None => text,
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let (host, port) = match rest.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            (host, port.strip_prefix(':'))
        }
        None => match rest.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (rest, None),
        },
    };
    let named = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:".contains(&byte);
    let port = port.map_or(Some(PORT), |port| port.parse().ok())?;
    (!host.is_empty() && host.bytes().all(named)).then(|| (host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(endpoint: Option<&str>, variables: &[(&str, &str)]) -> Result<Option<Tracing>, Failure> {
        let variable = |name: &str| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        Tracing::of(endpoint.map(str::to_owned), None, variable)
    }

    fn url(endpoint: Option<&str>, variables: &[(&str, &str)]) -> Option<String> {
        of(endpoint, variables)
            .unwrap()
            .map(|tracing| tracing.url())
    }

    #[test]
    fn a_collector_is_named_by_our_setting_or_by_the_standard_variable() {
        let standard = [(STANDARD, "http://collector:14317/")];
        assert_eq!(url(None, &[]), None);
        assert_eq!(url(None, &standard).unwrap(), "http://collector:14317");
        let table = [
            ("127.0.0.1:1", "http://127.0.0.1:1"),
            ("http://collector", "http://collector:4317"),
            ("http://[::1]:5", "http://[::1]:5"),
        ];
        for (given, read) in table {
            assert_eq!(url(Some(given), &standard).unwrap(), read, "{given}");
        }
        let http = [STANDARD, PROTOCOL];
        let http = [
            (http[0], "http://collector:4318"),
            (http[1], "http/protobuf"),
        ];
        assert_eq!(url(None, &http), None);
        assert_eq!(url(None, &[(STANDARD, "")]), None);
    }

    #[test]
    fn what_is_no_address_is_refused_under_its_name() {
        for wrong in [
            "",
            "https://c:4317",
            "http://",
            "http://c:x",
            "http://a b:1",
            "[::g]:1",
        ] {
            let refused = of(Some(wrong), &[]).unwrap_err();
            assert!(refused.to_string().contains("--otlp-endpoint"), "{refused}");
        }
        let refused = of(None, &[(STANDARD, "grpc://c")]).unwrap_err();
        assert!(refused.to_string().contains(STANDARD), "{refused}");
    }
}
