//! A store that counts what came of every commit, whoever asked for it: users, the autoscaler and control
//! itself all write through the process that has it.

use std::sync::Arc;

use fprs_config::store::{BoxFuture, Watch};
use fprs_config::{
    Change, CommitError, Contents, Expectation, Revision, SharedStore, Store, StoreError,
};
use prometheus::{IntCounterVec, Opts, Registry};

use crate::failure::Failure;

struct CountedStore {
    store: SharedStore,
    commits: IntCounterVec,
}

/// The same store, counting.
///
/// # Errors
/// The metric is registered already.
pub fn counted(store: SharedStore, registry: &Registry) -> Result<SharedStore, Failure> {
    let opts = Opts::new(
        "fprs_store_commits_total",
        "Commits that this process passed to the store, by outcome: done, conflict, refused, failed.",
    );
    let commits = IntCounterVec::new(opts, &["outcome"]).map_err(Failure::new)?;
    // So that the first failure is an increase.
    for outcome in ["done", "conflict", "refused", "failed"] {
        commits.with_label_values(&[outcome]);
    }
    registry
        .register(Box::new(commits.clone()))
        .map_err(Failure::new)?;
    Ok(Arc::new(CountedStore { store, commits }))
}

impl Store for CountedStore {
    fn snapshot(&self) -> BoxFuture<'_, Result<Contents, StoreError>> {
        self.store.snapshot()
    }

    fn watch(&self, from: Revision) -> Watch {
        self.store.watch(from)
    }

    fn commit(
        &self,
        writes: Vec<Change>,
        expectations: Vec<Expectation>,
    ) -> BoxFuture<'_, Result<Revision, CommitError>> {
        Box::pin(async move {
            let committed = self.store.commit(writes, expectations).await;
            let outcome = match &committed {
                Ok(_) => "done",
                Err(CommitError::Conflict(_)) => "conflict",
                Err(CommitError::Refused(_)) => "refused",
                Err(_) => "failed",
            };
            self.commits.with_label_values(&[outcome]).inc();
            committed
        })
    }
}
