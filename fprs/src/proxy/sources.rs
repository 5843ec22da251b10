//! The egress pools by which replicas are reached, with the tunnel address that this machine's agent has
//! in each. What the agent knows is in its state directory; it is read when a pool is first named, and
//! again every moment, never by a request.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fprs_egress::agent::{PoolState, state_path};
use fprs_egress::files;
use fprs_forward::upstream::source::Source;

/// How often what the agent knows is read again.
const AGAIN: Duration = Duration::from_millis(500);

/// Every pool that was named.
#[derive(Clone, Debug)]
pub struct Sources(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state_dir: PathBuf,
    all: Mutex<HashMap<Arc<str>, Arc<Source>>>,
}

impl Sources {
    /// Of the agent with that state directory.
    pub fn new(state_dir: &Path) -> Self {
        Self(Arc::new(Shared {
            state_dir: state_dir.to_owned(),
            all: Mutex::default(),
        }))
    }

    /// That pool's: one value, whoever asks. Reads a small file the first time.
    pub fn of(&self, pool: &Arc<str>) -> Arc<Source> {
        let all = self.0.all.lock();
        let mut all = all.unwrap_or_else(PoisonError::into_inner);
        if let Some(source) = all.get(pool) {
            return Arc::clone(source);
        }
        let source = Arc::new(Source::new(pool));
        self.read(&source);
        all.insert(Arc::clone(pool), Arc::clone(&source));
        source
    }

    /// Reads what the agent knows, again and again; never ends.
    pub async fn follow(self) {
        loop {
            tokio::time::sleep(AGAIN).await;
            let again = self.clone();
            // Fails with the runtime only.
            tokio::task::spawn_blocking(move || again.refresh())
                .await
                .ok();
        }
    }

    fn refresh(&self) {
        let all = self.0.all.lock();
        let all: Vec<_> = all
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .cloned()
            .collect();
        for source in all {
            self.read(&source);
        }
    }

    fn read(&self, source: &Source) {
        let path = state_path(&self.0.state_dir, source.pool());
        let address = match files::read_json::<PoolState>(&path) {
            Ok(state) => state.and_then(tunnel),
            Err(error) => {
                tracing::warn!(%error, path = %path.display(), "an egress pool can't be read");
                None
            }
        };
        if address != source.address() {
            let pool = source.pool();
            tracing::info!(
                pool,
                ?address,
                "replicas of an egress pool are reached from here"
            );
            source.set(address);
        }
    }
}

fn tunnel(state: PoolState) -> Option<Ipv4Addr> {
    state.tunnels.map(|tunnels| tunnels.address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_has_the_address_that_its_agent_has_and_none_without_one() {
        let dir = tempfile::tempdir().unwrap();
        let sources = Sources::new(dir.path());
        let pool: Arc<str> = "payments".into();
        let source = sources.of(&pool);
        assert_eq!(source.address(), None);
        let path = state_path(dir.path(), "payments");
        let state = serde_json::json!({
            "table": 51901, "direct": [], "active": 0,
            "tunnels": { "address": "100.64.1.8", "ports": { "first": 2048, "last": 3071 } },
        });
        files::write_json(&path, &state).unwrap();
        sources.refresh();
        assert_eq!(source.address(), Some(Ipv4Addr::new(100, 64, 1, 8)));
        assert!(Arc::ptr_eq(&source, &sources.of(&pool)));
        std::fs::write(&path, "{").unwrap();
        sources.refresh();
        assert_eq!(source.address(), None, "what can't be read is none");
    }
}
