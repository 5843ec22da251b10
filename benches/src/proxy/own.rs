//! The peers that this program is itself: `fprs-bench peer …`.

use std::env;

use anyhow::Result;

use super::{Pair, Proxy, Running, Site, free_address, launch};
use crate::cases::{Case, Kind};

/// Which of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Own {
    /// pingora-proxy as it comes: work stealing on.
    Pingora,
    /// pingora-proxy on one current-thread runtime.
    PingoraNoSteal,
    /// The h2 crate's relay.
    H2Relay,
}

impl Proxy for Own {
    fn name(&self) -> &'static str {
        match self {
            Self::Pingora => "pingora",
            Self::PingoraNoSteal => "pingora-ns",
            Self::H2Relay => "h2-relay",
        }
    }

    fn version(&self) -> Result<String> {
        Ok(match self {
            Self::Pingora => "pingora-proxy 0.9.1, work stealing as it comes",
            Self::PingoraNoSteal => "pingora-proxy 0.9.1, no work stealing",
            Self::H2Relay => "h2 0.4.20",
        }
        .to_owned())
    }

    fn supports(&self, case: Case) -> bool {
        match self {
            // One thread, and no extended CONNECT.
            Self::H2Relay => {
                // Beside a table that changes it shows what the machine makes of the changing.
                let beside = case.kind == Kind::Churn || !case.is_ours_alone();
                case.pair == Pair::H2_H2 && case.kind != Kind::TwoCores && beside
            }
            // pingora carries upgrades from HTTP/1.1 to HTTP/1.1 only.
            Self::Pingora if case.is_of_one_process() => false,
            _ if case.kind == Kind::WebSocket => case.pair == Pair::H1_H1,
            _ => !case.is_ours_alone(),
        }
    }

    fn start(&self, site: &Site<'_>) -> Result<Running> {
        let address = free_address()?;
        let program = env::current_exe()?.display().to_string();
        let (listen, upstream) = (address.to_string(), site.upstream.to_string());
        let mut command = vec![program, "peer".to_owned()];
        command.push(
            if *self == Self::H2Relay {
                "h2-relay"
            } else {
                "pingora"
            }
            .to_owned(),
        );
        command.extend([
            "--listen".to_owned(),
            listen,
            "--upstream".to_owned(),
            upstream,
        ]);
        if *self != Self::H2Relay {
            command.extend(["--protocol".to_owned(), site.pair.up.name().to_owned()]);
            command.extend(["--threads".to_owned(), site.cores.to_string()]);
        }
        if *self == Self::PingoraNoSteal {
            command.push("--no-steal".to_owned());
        }
        launch(site, &command, address)
    }
}
