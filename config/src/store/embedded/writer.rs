//! The loop that is alone with the file. Commits that wait together share one fsync; each is
//! answered once all of them are on disk. After a failed write nothing more is written, since what
//! reached the disk is unknown until the file is opened again; reading goes on.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

use crate::clock;
use crate::key::Revision;
use crate::limits;
use crate::store::state::State;
use crate::store::{Batch, Change, CommitError, Expectation, StoreError};

/// One commit that waits.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) writes: Vec<Change>,
    pub(super) expectations: Vec<Expectation>,
    /// Of keys and values.
    pub(super) bytes: usize,
    pub(super) answer: oneshot::Sender<Result<Revision, CommitError>>,
}

/// Makes commits durable, given the state after them.
type Append<'a> = &'a mut dyn FnMut(&[Arc<Batch>], &State) -> Result<(), StoreError>;

/// Serves commits until every sender is gone.
pub(super) fn run(
    mut requests: mpsc::Receiver<Request>,
    publisher: &watch::Sender<Arc<State>>,
    append: Append<'_>,
) {
    let mut failed: Option<StoreError> = None;
    while let Some(first) = requests.blocking_recv() {
        let group = gather(first, &mut requests);
        if let Some(error) = &failed {
            for request in group {
                answer(request.answer, Err(error.clone().into()));
            }
        } else if let Err(error) = write(group, publisher, append) {
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
    publisher: &watch::Sender<Arc<State>>,
    append: Append<'_>,
) -> Result<(), StoreError> {
    let mut state = State::clone(&publisher.borrow());
    let mut batches = Vec::with_capacity(group.len());
    let mut answers = Vec::with_capacity(group.len());
    for request in group {
        let outcome = state.commit(request.writes, &request.expectations, clock::unix_us());
        let outcome = outcome.map(|batch| {
            batches.extend(batch);
            state.revision()
        });
        answers.push((request.answer, outcome));
    }
    if !batches.is_empty() {
        if let Err(error) = append(&batches, &state) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::history::HistoryLimits;
    use crate::testing::server;

    type Answer = Result<Revision, CommitError>;

    fn request(name: &str, expected: Option<Revision>) -> (Request, oneshot::Receiver<Answer>) {
        let change = server(name).change();
        let (answer, answered) = oneshot::channel();
        let request = Request {
            expectations: vec![Expectation {
                key: change.key.clone(),
                revision: expected,
            }],
            writes: vec![change],
            bytes: 1,
            answer,
        };
        (request, answered)
    }

    /// Serves commits that all wait from the start: their answers, and the revision published.
    fn serve(names: &[&str], append: Append<'_>) -> (Vec<Answer>, Revision) {
        let (sender, receiver) = mpsc::channel(limits::COMMIT_QUEUE);
        let empty = State::empty(HistoryLimits::default());
        let (publisher, published) = watch::channel(Arc::new(empty));
        let mut answers = Vec::new();
        for name in names {
            let (request, answer) = request(name, None);
            sender.try_send(request).unwrap();
            answers.push(answer);
        }
        drop(sender);
        run(receiver, &publisher, append);
        let answers = answers
            .into_iter()
            .map(|answer| answer.blocking_recv().unwrap())
            .collect();
        let revision = published.borrow().revision();
        (answers, revision)
    }

    #[test]
    fn commits_that_wait_together_are_written_together() {
        let mut written = Vec::new();
        let (answers, revision) = serve(&["a", "b", "a", "c"], &mut |batches, state| {
            written.push((batches.len(), state.revision()));
            Ok(())
        });
        assert_eq!(written, [(3, Revision(3))]);
        assert_eq!(revision, Revision(3));
        let outcomes: Vec<_> = answers.iter().map(|answer| answer.as_ref().ok()).collect();
        assert_eq!(
            outcomes,
            [
                Some(&Revision(1)),
                Some(&Revision(2)),
                None,
                Some(&Revision(3))
            ]
        );
        assert!(matches!(answers[2], Err(CommitError::Conflict(_))));
    }

    #[test]
    fn a_group_is_bounded() {
        let names: Vec<_> = (0..limits::COMMIT_GROUP * 2)
            .map(|n| format!("s{n}"))
            .collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let mut groups = Vec::new();
        let (answers, _) = serve(&names, &mut |batches, _| {
            groups.push(batches.len());
            Ok(())
        });
        assert!(answers.iter().all(Result::is_ok));
        assert_eq!(groups, [limits::COMMIT_GROUP; 2]);
    }

    #[test]
    fn after_a_failed_write_nothing_is_published_or_written_again() {
        let names: Vec<_> = (0..limits::COMMIT_GROUP * 2)
            .map(|n| format!("s{n}"))
            .collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let mut tries = 0;
        let (answers, revision) = serve(&names, &mut |_, _| {
            tries += 1;
            Err(StoreError::Unavailable("the disk is full".to_owned()))
        });
        assert_eq!(tries, 1);
        assert_eq!(revision, Revision(0));
        for answer in answers {
            assert_eq!(answer.unwrap_err().to_string(), "the disk is full");
        }
    }
}
