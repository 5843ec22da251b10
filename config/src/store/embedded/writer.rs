//! The thread that is alone with the file. Commits that wait together share one fsync; each is
//! answered once all of them are on disk. After a failed write nothing more is written, since what
//! reached the disk is unknown until the file is opened again; reading goes on.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

use super::file::File;
use crate::key::Revision;
use crate::limits;
use crate::store::state::State;
use crate::store::{Change, CommitError, Expectation, StoreError};

/// One commit that waits.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) writes: Vec<Change>,
    pub(super) expectations: Vec<Expectation>,
    /// Of keys and values.
    pub(super) bytes: usize,
    pub(super) answer: oneshot::Sender<Result<Revision, CommitError>>,
}

/// Serves commits until every sender is gone.
pub(super) fn run(
    mut requests: mpsc::Receiver<Request>,
    file: File,
    publisher: &watch::Sender<Arc<State>>,
) {
    let mut failed: Option<StoreError> = None;
    while let Some(first) = requests.blocking_recv() {
        let group = gather(first, &mut requests);
        if let Some(error) = &failed {
            for request in group {
                answer(request.answer, Err(error.clone().into()));
            }
        } else if let Err(error) = write(group, &file, publisher) {
            tracing::error!(%error, "the store takes no more commits");
            failed = Some(error);
        }
    }
}

/// The commits that wait already, within the limits of one group.
fn gather(first: Request, requests: &mut mpsc::Receiver<Request>) -> Vec<Request> {
    let mut bytes = first.bytes;
    let mut group = vec![first];
    while group.len() < limits::COMMIT_GROUP && bytes < limits::COMMIT_GROUP_BYTES {
        let Ok(request) = requests.try_recv() else {
            break;
        };
        bytes = bytes.saturating_add(request.bytes);
        group.push(request);
    }
    group
}

/// Decides each commit in turn, writes them together, publishes, answers.
fn write(
    group: Vec<Request>,
    file: &File,
    publisher: &watch::Sender<Arc<State>>,
) -> Result<(), StoreError> {
    let mut state = State::clone(&publisher.borrow());
    let mut batches = Vec::with_capacity(group.len());
    let mut answers = Vec::with_capacity(group.len());
    for request in group {
        let outcome = state.commit(request.writes, &request.expectations);
        let outcome = outcome.map(|batch| {
            batches.extend(batch);
            state.revision()
        });
        answers.push((request.answer, outcome));
    }
    if !batches.is_empty() {
        if let Err(error) = file.append(&batches, &state) {
            for (to, _) in answers {
                answer(to, Err(error.clone().into()));
            }
            return Err(error);
        }
        publisher.send_replace(Arc::new(state));
    }
    for (to, outcome) in answers {
        answer(to, outcome);
    }
    Ok(())
}

fn answer(
    to: oneshot::Sender<Result<Revision, CommitError>>,
    outcome: Result<Revision, CommitError>,
) {
    if to.send(outcome).is_err() {
        tracing::debug!("a committer left before its answer");
    }
}
