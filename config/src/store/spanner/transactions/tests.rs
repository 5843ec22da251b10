use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::store::head::Commit;

fn at(second: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(second)
}

fn key(name: &str) -> Key {
    Key {
        kind: "test".into(),
        name: name.into(),
    }
}

fn put(name: &str, value: u64) -> Change {
    Change {
        key: key(name),
        value: Some(value.to_string().into()),
    }
}

/// The records of a commit, each as a partition would tell it: one for the head, one for each row
/// that there was something to tell of.
fn records(revision: u64, writes: &[Change], silent: &[&str]) -> Vec<DataChange> {
    let head = head::encode(&[Commit::of(Revision(revision), 1, writes)]);
    let rows = writes.iter().filter_map(|change| match &change.value {
        Some(value) => Some(RowChange::Put(change.key.clone(), value.clone())),
        None if silent.contains(&&*change.key.name) => None,
        None => Some(RowChange::Delete(change.key.clone())),
    });
    let rows: Vec<_> = rows.chain([RowChange::Head(head)]).collect();
    let count = rows.len();
    let record = |(place, row)| DataChange {
        commit: at(revision),
        transaction: format!("t{revision}").into(),
        sequence: format!("{place:08}").into(),
        records: count,
        rows: vec![row],
    };
    rows.into_iter().enumerate().map(record).collect()
}

fn take_all(
    transactions: &mut Transactions,
    records: impl IntoIterator<Item = DataChange>,
) -> Result<Vec<Batch>, Broken> {
    let mut told = Vec::new();
    for record in records {
        told.extend(
            transactions
                .take(record)?
                .into_iter()
                .map(|(commit, batch)| {
                    assert_eq!(batch.committed_unix_us, clock::unix_us_of(commit));
                    Batch::new(batch.revision, batch.changes)
                }),
        );
    }
    Ok(told)
}

#[test]
fn a_commit_is_told_when_it_is_whole_as_it_was_made() {
    let writes = vec![put("b", 1), Change::delete(key("gone")), put("a", 2)];
    let mut parts = records(1, &writes, &["gone"]);
    parts.reverse();
    let last = parts.pop().unwrap();
    let mut transactions = Transactions::after(Revision(0));
    assert_eq!(take_all(&mut transactions, parts.clone()).unwrap(), []);
    assert_eq!(take_all(&mut transactions, parts).unwrap(), [], "again");
    let told = take_all(&mut transactions, [last.clone()]).unwrap();
    assert_eq!(told.len(), 1);
    assert_eq!(
        told[0].changes, writes,
        "in its order, deletes of nothing too"
    );
    assert_eq!(
        take_all(&mut transactions, [last]).unwrap(),
        [],
        "told once"
    );
    assert_eq!(transactions.records, 0);
}

#[test]
fn a_commit_waits_for_those_before_it() {
    let mut transactions = Transactions::after(Revision(4));
    let of = |revision| records(revision, &[put("a", revision)], &[]);
    assert_eq!(
        take_all(&mut transactions, of(4)).unwrap(),
        [],
        "in what was read"
    );
    assert_eq!(take_all(&mut transactions, of(7)).unwrap(), []);
    assert_eq!(take_all(&mut transactions, of(6)).unwrap(), []);
    assert!(transactions.settled(at(6)).is_ok(), "5 may still come");
    assert_eq!(transactions.settled(at(8)), Err(Broken::Gap(Revision(5))));
    let told = take_all(&mut transactions, of(5)).unwrap();
    let revisions: Vec<_> = told.iter().map(|batch| batch.revision.0).collect();
    assert_eq!(revisions, [5, 6, 7]);
    assert!(transactions.settled(at(100)).is_ok());
}

#[test]
fn what_fprs_did_not_write_is_noticed() {
    let fresh = || Transactions::after(Revision(0));
    let mut no_head = records(1, &[put("a", 1)], &[]);
    no_head.pop();
    no_head[0].records = 1;
    assert_eq!(take_all(&mut fresh(), no_head), Err(Broken::Foreign));
    let mut more = records(1, &[put("a", 1)], &[]);
    more[0].rows.push(RowChange::Put(key("x"), Bytes::new()));
    assert_eq!(take_all(&mut fresh(), more), Err(Broken::Foreign));
    let mut less = records(1, &[put("a", 1)], &[]);
    less[0].rows.clear();
    assert_eq!(take_all(&mut fresh(), less), Err(Broken::Missing(key("a"))));
    let mut odd = records(1, &[], &[]);
    odd[0].rows = vec![RowChange::Head(Bytes::from_static(b"\xff"))];
    assert!(matches!(take_all(&mut fresh(), odd), Err(Broken::Head(_))));
}

#[test]
fn what_never_becomes_whole_is_bounded() {
    let mut transactions = Transactions::after(Revision(0));
    let endless = (0..).map(|n: usize| DataChange {
        commit: at(1),
        transaction: "t".into(),
        sequence: n.to_string().into(),
        records: usize::MAX,
        rows: Vec::new(),
    });
    let told = take_all(&mut transactions, endless);
    assert_eq!(told, Err(Broken::Full));
}

proptest! {
    /// Whatever the order and the repetitions in which the records of commits come, the commits come
    /// out in order, whole and once.
    #[test]
    fn any_interleaving_comes_out_as_it_was_committed(
        sizes in prop::collection::vec(0_usize..5, 1..12),
        order in prop::collection::vec(any::<prop::sample::Index>(), 0..120),
    ) {
        let commits: Vec<Batch> = (1..).zip(&sizes).map(|(revision, size)| {
            let changes = (0..*size).map(|n| put(&format!("k{n}"), revision)).collect();
            Batch::new(Revision(revision), changes)
        }).collect();
        let mut parts: Vec<DataChange> = commits
            .iter()
            .flat_map(|batch| records(batch.revision.0, &batch.changes, &[]))
            .collect();
        let mut coming: Vec<DataChange> = order.iter().map(|index| index.get(&parts).clone()).collect();
        // In the end all of them came.
        coming.append(&mut parts);
        let told = take_all(&mut Transactions::after(Revision(0)), coming).unwrap();
        prop_assert_eq!(told, commits);
    }
}
