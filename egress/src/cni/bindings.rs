//! What is bound on this host: one file, one lock. The file is ahead of the kernel when something is
//! bound and behind it when it is unbound, so what the kernel has is always in the file, and whoever
//! was killed is made up for by the next call.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::Ipv4Net;
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};

use super::call::Attachment;
use crate::agent::PoolState;
use crate::network::{By, Network, NetworkError, Rule};
use crate::ruleset::bound::{self, Port};
use crate::ruleset::mark;
use crate::{command, files, limits};

/// One interface of one container, bound to a pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Binding {
    pub(super) container: String,
    pub(super) interface: String,
    pub(super) pool: String,
    pub(super) table: u32,
    pub(super) port: Port,
}

/// Everything that is bound, locked.
#[derive(Debug)]
pub(super) struct Bindings {
    path: PathBuf,
    all: Vec<Binding>,
    /// Above so many each has no rule of its own, but a place in a map.
    map_above: usize,
    _lock: Flock<File>,
}

/// Why something was not bound or unbound.
#[derive(Debug, thiserror::Error)]
pub enum BindingsError {
    /// Somebody else holds it for too long.
    #[error("another call holds the lock of the bindings; try again")]
    Locked,
    /// There are too many.
    #[error("more than {} containers are bound on this host", limits::BINDINGS)]
    Full,
    /// Another container has the address.
    #[error("{0} is bound already, for container {1}; has it ended without a DEL?")]
    Taken(Ipv4Addr, String),
    /// The file.
    #[error("can't keep the bindings in `{path}`: {error}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The kernel's rules.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The packet rules.
    #[error(transparent)]
    Rules(#[from] command::CommandError),
}

impl Bindings {
    /// Waits for the lock, and reads.
    pub(super) async fn lock(state_dir: &Path, map_above: usize) -> Result<Self, BindingsError> {
        let file = |path: &Path, error| BindingsError::File {
            path: path.to_owned(),
            error,
        };
        std::fs::create_dir_all(state_dir).map_err(|error| file(state_dir, error))?;
        let lock_path = state_dir.join("bindings.lock");
        let open = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&lock_path);
        let mut open = open.map_err(|error| file(&lock_path, error))?;
        let deadline = tokio::time::Instant::now() + limits::LOCK;
        let lock = loop {
            match Flock::lock(open, FlockArg::LockExclusiveNonblock) {
                Ok(lock) => break lock,
                Err((_, _)) if tokio::time::Instant::now() >= deadline => {
                    return Err(BindingsError::Locked);
                }
                Err((again, _)) => open = again,
            }
            tokio::time::sleep(LOCK_POLL).await;
        };
        let path = state_dir.join("bindings.json");
        let all = files::read_json(&path).map_err(|error| file(&path, error))?;
        Ok(Self {
            all: all.unwrap_or_default(),
            path,
            map_above,
            _lock: lock,
        })
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Binds, or binds anew what this attachment had.
    pub(super) async fn bind(
        &mut self,
        network: &Network,
        binding: Binding,
        direct: &[Ipv4Net],
    ) -> Result<(), BindingsError> {
        let same = |other: &Binding| {
            other.container == binding.container && other.interface == binding.interface
        };
        let address = binding.port.address;
        let taken = self
            .all
            .iter()
            .find(|other| other.port.address == address && !same(other));
        if let Some(taken) = taken {
            return Err(BindingsError::Taken(address, taken.container.clone()));
        }
        if self.all.len() >= limits::BINDINGS {
            return Err(BindingsError::Full);
        }
        // One that the attachment had and has no longer goes as if by DEL.
        self.keep(network, |other| !same(other) || *other == binding, direct)
            .await?;
        if !self.all.contains(&binding) {
            self.all.push(binding);
            self.save()?;
        }
        self.apply(network, &[], direct).await
    }

    /// Unbinds what is not kept.
    pub(super) async fn keep(
        &mut self,
        network: &Network,
        kept: impl Fn(&Binding) -> bool,
        direct: &[Ipv4Net],
    ) -> Result<(), BindingsError> {
        let (kept, gone): (Vec<Binding>, Vec<Binding>) = self.all.drain(..).partition(kept);
        self.all = kept;
        if gone.is_empty() {
            return Ok(());
        }
        self.apply(network, &gone, direct).await?;
        self.save()
    }

    /// Removes rules of ours that belong to nothing: neither to a binding nor to an agent's own
    /// address.
    pub(super) async fn sweep(
        &self,
        network: &Network,
        pools: &[PoolState],
    ) -> Result<(), BindingsError> {
        for found in network.rules().await? {
            let bound = self
                .all
                .iter()
                .any(|binding| rule(binding) == found || marked(binding) == found);
            let own = pools.iter().any(|pool| {
                let address = pool.tunnels.map(|tunnels| tunnels.address);
                pool.table == found.table && address.map(By::Source) == Some(found.by)
            });
            if !bound && !own {
                network.remove_rule(found).await?;
            }
        }
        Ok(())
    }

    /// Whether the attachment is bound to that pool, in the file and in the kernel.
    pub(super) async fn holds(
        &self,
        network: &Network,
        attachment: &Attachment,
        pool: &str,
    ) -> Result<bool, BindingsError> {
        let binding = self.all.iter().find(|binding| {
            binding.container == attachment.container
                && binding.interface == attachment.interface
                && binding.pool == pool
        });
        let Some(binding) = binding else {
            return Ok(false);
        };
        let rules = network.rules().await?;
        Ok(rules.contains(&rule(binding)) || rules.contains(&marked(binding)))
    }

    /// Puts the bindings in force. What is new is there before what it replaces goes, so that no packet
    /// of a bound container finds nothing.
    async fn apply(
        &self,
        network: &Network,
        gone: &[Binding],
        direct: &[Ipv4Net],
    ) -> Result<(), BindingsError> {
        let known: BTreeSet<Rule> = network.rules().await?.into_iter().collect();
        let was = known.iter().any(|rule| matches!(rule.by, By::Mark(_)));
        // Half as many again before it goes back: a host at the border must not change all the time.
        let least = if was {
            self.map_above / 2
        } else {
            self.map_above
        };
        let mapped = self.all.len() > least;
        let all = || self.all.iter();
        let wanted: BTreeSet<Rule> = if mapped {
            all().map(marked).collect()
        } else {
            all().map(rule).collect()
        };
        let marks: Vec<(Ipv4Addr, u32)> = all()
            .filter(|_| mapped)
            .map(|binding| (binding.port.address, mark::of(binding.table)))
            .collect();
        for rule in wanted.difference(&known) {
            network.add_rule(*rule).await?;
        }
        // Those that are gone leave nothing, not even a rule that holds somebody else's new address.
        for binding in gone {
            network.remove_rule(rule(binding)).await?;
        }
        let ports: Vec<Port> = all().map(|binding| binding.port.clone()).collect();
        command::nft(&bound::text(&ports, direct, &marks)).await?;
        let own: BTreeSet<Rule> = all().map(rule).collect();
        let over = known
            .difference(&wanted)
            .filter(|rule| own.contains(rule) || matches!(rule.by, By::Mark(_)));
        for rule in over {
            network.remove_rule(*rule).await?;
        }
        Ok(())
    }

    fn save(&self) -> Result<(), BindingsError> {
        files::write_json(&self.path, &self.all).map_err(|error| BindingsError::File {
            path: self.path.clone(),
            error,
        })
    }
}

const fn rule(binding: &Binding) -> Rule {
    Rule {
        by: By::Source(binding.port.address),
        table: binding.table,
    }
}

/// The rule that it shares with all of its pool, where there is a map.
const fn marked(binding: &Binding) -> Rule {
    Rule {
        by: By::Mark(mark::of(binding.table)),
        table: binding.table,
    }
}

/// How often a lock that is held is tried again: a call takes a few times as long.
const LOCK_POLL: Duration = Duration::from_millis(5);
