//! PURE. What the head of a remote store says of the transaction that wrote it: its commits, each with its
//! revision and, in the order they were given, the keys it wrote. Records of a transaction come
//! unordered and deletes of nothing not at all: this is what makes a commit come out as it went in.

use bytes::Bytes;
use fprs_proto::feed as wire;
use prost::Message;

use crate::key::{Key, Revision};
use crate::store::Change;

/// One commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Commit {
    pub(crate) revision: Revision,
    /// By the clock of whoever committed; 0: not known.
    pub(crate) committed_unix_us: u64,
    /// Keys, and whether each was deleted.
    pub(crate) writes: Vec<(Key, bool)>,
}

impl Commit {
    pub(crate) fn of(revision: Revision, now_unix_us: u64, changes: &[Change]) -> Self {
        Self {
            revision,
            committed_unix_us: now_unix_us,
            writes: changes
                .iter()
                .map(|change| (change.key.clone(), change.value.is_none()))
                .collect(),
        }
    }
}

#[derive(Clone, PartialEq, Message)]
struct Commits {
    #[prost(message, repeated, tag = "1")]
    commits: Vec<WireCommit>,
}

#[derive(Clone, PartialEq, Message)]
struct WireCommit {
    #[prost(uint64, tag = "1")]
    revision: u64,
    #[prost(message, repeated, tag = "2")]
    writes: Vec<Write>,
    #[prost(uint64, tag = "40")]
    committed_unix_us: u64,
}

#[derive(Clone, PartialEq, Message)]
struct Write {
    #[prost(message, optional, tag = "1")]
    key: Option<wire::Key>,
    #[prost(bool, tag = "2")]
    deleted: bool,
}

pub(crate) fn encode(commits: &[Commit]) -> Bytes {
    let commits = commits
        .iter()
        .map(|commit| WireCommit {
            revision: commit.revision.0,
            committed_unix_us: commit.committed_unix_us,
            writes: commit
                .writes
                .iter()
                .map(|(key, deleted)| Write {
                    key: Some(key.clone().into()),
                    deleted: *deleted,
                })
                .collect(),
        })
        .collect();
    Commits { commits }.encode_to_vec().into()
}

/// # Errors
/// Says what is wrong with it.
pub(crate) fn decode(bytes: Bytes) -> Result<Vec<Commit>, String> {
    let Commits { commits } = Commits::decode(bytes).map_err(|error| error.to_string())?;
    commits
        .into_iter()
        .map(|commit| {
            let WireCommit {
                revision,
                writes,
                committed_unix_us,
            } = commit;
            let writes = writes
                .into_iter()
                .map(|Write { key, deleted }| {
                    let key = key.ok_or_else(|| "a write has no key".to_owned())?;
                    Ok((key.into(), deleted))
                })
                .collect::<Result<_, String>>()?;
            Ok(Commit {
                revision: Revision(revision),
                committed_unix_us,
                writes,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::server;

    #[test]
    fn what_was_said_is_read_in_its_order() {
        let changes = vec![
            server("b").change(),
            Change::delete(server("c").key()),
            server("a").change(),
        ];
        let commits = [
            Commit::of(Revision(7), 5, &changes),
            Commit::of(Revision(8), 0, &[]),
        ];
        assert_eq!(decode(encode(&commits)).unwrap(), commits);
        assert!(decode(Bytes::from_static(b"\xff")).is_err());
    }
}
