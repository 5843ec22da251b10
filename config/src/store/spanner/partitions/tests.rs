use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;

use super::*;

fn at(second: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(second)
}

fn child(token: &str, parents: &[&str]) -> Child {
    Child {
        token: token.into(),
        parents: parents.iter().map(|parent| Token::from(*parent)).collect(),
    }
}

fn started(partitions: &mut Partitions) -> Vec<(String, SystemTime)> {
    let starts = partitions.start().into_iter();
    starts
        .map(|start| (start.token.0.to_string(), start.at))
        .collect()
}

/// The root has told these partitions and ended.
fn begun(tokens: &[&str]) -> Partitions {
    let root = Token::default();
    let mut partitions = Partitions::new(at(0));
    assert_eq!(started(&mut partitions), [(String::new(), at(0))]);
    let children = tokens.iter().map(|token| child(token, &[])).collect();
    partitions.children(&root, at(0), children);
    assert_eq!(partitions.ended(&root), End::Finished);
    let expected: Vec<_> = tokens
        .iter()
        .map(|token| (token.to_string(), at(0)))
        .collect();
    assert_eq!(started(&mut partitions), expected);
    partitions
}

#[test]
fn what_the_root_tells_is_read_from_the_beginning_once() {
    let mut partitions = begun(&["a", "b"]);
    assert_eq!(started(&mut partitions), []);
    assert_eq!(partitions.watermark(), at(0));
    partitions.heard(&"a".into(), at(5));
    assert_eq!(partitions.watermark(), at(0), "b is at 0 still");
    partitions.heard(&"b".into(), at(3));
    assert_eq!(partitions.watermark(), at(3));
}

#[test]
fn a_split_goes_on_in_both_halves() {
    let mut partitions = begun(&["a"]);
    let halves = vec![child("l", &["a"]), child("r", &["a"])];
    partitions.children(&"a".into(), at(7), halves);
    assert_eq!(started(&mut partitions), [], "their parent has not ended");
    assert_eq!(partitions.ended(&"a".into()), End::Finished);
    assert_eq!(
        started(&mut partitions),
        [("l".to_owned(), at(7)), ("r".to_owned(), at(7))]
    );
    assert_eq!(partitions.watermark(), at(7));
    assert_eq!(
        partitions.ended(&"l".into()),
        End::Paused,
        "it told no children"
    );
}

#[test]
fn a_merge_told_by_both_parents_is_read_once_after_both() {
    let mut partitions = begun(&["a", "b"]);
    let merged = || vec![child("m", &["a", "b"])];
    partitions.children(&"a".into(), at(4), merged());
    assert_eq!(partitions.ended(&"a".into()), End::Finished);
    assert_eq!(
        started(&mut partitions),
        [],
        "b may tell things from before"
    );
    partitions.heard(&"b".into(), at(3));
    partitions.children(&"b".into(), at(4), merged());
    assert_eq!(partitions.ended(&"b".into()), End::Finished);
    assert_eq!(started(&mut partitions), [("m".to_owned(), at(4))]);
    partitions.heard(&"m".into(), at(9));
    assert_eq!(partitions.len(), 1, "what is over is forgotten");
}

#[test]
fn a_parent_that_was_never_told_holds_its_child_up_only_until_all_else_is_as_far() {
    let mut partitions = begun(&["a", "b"]);
    partitions.children(&"a".into(), at(4), vec![child("c", &["a", "before"])]);
    assert_eq!(partitions.ended(&"a".into()), End::Finished);
    assert_eq!(started(&mut partitions), [], "b may tell of it");
    partitions.heard(&"b".into(), at(4));
    assert_eq!(started(&mut partitions), [("c".to_owned(), at(4))]);
}

#[test]
fn what_breaks_is_read_again_from_where_it_was() {
    let mut partitions = begun(&["a"]);
    partitions.heard(&"a".into(), at(6));
    partitions.heard(&"a".into(), at(2));
    let start = partitions.again(&"a".into()).unwrap();
    assert_eq!(start.at, at(6));
    // It ended as it should, with its children told in an earlier reading: they come again.
    let halves = || vec![child("l", &["a"]), child("r", &["a"])];
    partitions.children(&"a".into(), at(8), halves());
    partitions.children(&"a".into(), at(8), halves());
    assert_eq!(partitions.ended(&"a".into()), End::Finished);
    assert_eq!(started(&mut partitions).len(), 2);
    assert_eq!(partitions.again(&"a".into()), None, "it is over");
}

/// Splits and merges of the key range 0..RANGE, told in any order of partitions.
#[derive(Clone, Debug)]
enum Turn {
    Split(usize),
    Merge(usize),
    Tell(usize),
    Break(usize),
}

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    let turn = prop_oneof![
        any::<usize>().prop_map(Turn::Split),
        any::<usize>().prop_map(Turn::Merge),
        any::<usize>().prop_map(Turn::Tell),
        any::<usize>().prop_map(Turn::Break),
    ];
    prop::collection::vec(turn, 1..80)
}

/// A database: live partitions and what each, live or over, still has to tell.
struct Database {
    now: u64,
    named: usize,
    live: Vec<String>,
    /// Of each partition: when it ended and its children, once it has.
    ends: BTreeMap<String, (u64, Vec<Child>)>,
}

impl Database {
    fn name(&mut self) -> String {
        self.named += 1;
        format!("p{:04}", self.named)
    }

    fn split(&mut self, place: usize) {
        let parent = self.live.swap_remove(place % self.live.len());
        let halves = [self.name(), self.name()];
        let children = halves.iter().map(|half| child(half, &[&parent])).collect();
        self.live.extend(halves);
        self.ends.insert(parent, (self.now, children));
    }

    fn merge(&mut self, place: usize) {
        if self.live.len() < 2 {
            return;
        }
        let a = self.live.swap_remove(place % self.live.len());
        let b = self.live.swap_remove(place % self.live.len());
        let merged = self.name();
        let children = vec![child(&merged, &[&a, &b])];
        self.live.push(merged);
        self.ends.insert(a, (self.now, children.clone()));
        self.ends.insert(b, (self.now, children));
    }
}

proptest! {
    /// However partitions come and go and their tellings interleave: each is read by one reading at
    /// a time, never before its parents are over, and in the end exactly the live ones are read, with
    /// the watermark never going back and never past what a live one has told.
    #[test]
    fn every_partition_is_read_once_after_its_parents(turns in turns()) {
        let mut database = Database { now: 1, named: 1, live: vec!["p0001".into()], ends: BTreeMap::new() };
        let mut partitions = begun(&["p0001"]);
        let mut reading: BTreeSet<String> = BTreeSet::from(["p0001".into()]);
        let mut over: BTreeSet<String> = BTreeSet::new();
        let mut parents: BTreeMap<String, Vec<Token>> = BTreeMap::new();
        let mut watermark = partitions.watermark();
        // Afterwards everything that is over tells so.
        let rest = std::iter::repeat_n(Turn::Tell(0), 400);
        for turn in turns.into_iter().chain(rest) {
            database.now += 1;
            match turn {
                Turn::Split(place) => database.split(place),
                Turn::Merge(place) => database.merge(place),
                Turn::Break(place) => {
                    let token = reading.iter().nth(place % reading.len()).unwrap();
                    prop_assert!(partitions.again(&token.as_str().into()).is_some());
                }
                Turn::Tell(place) => {
                    let ended = reading.iter().find(|token| database.ends.contains_key(*token));
                    let token = match ended {
                        Some(token) if place % 2 == 0 => token.clone(),
                        _ => reading.iter().nth(place % reading.len()).unwrap().clone(),
                    };
                    let name = Token::from(token.as_str());
                    if let Some((at_time, children)) = database.ends.get(&token) {
                        for child in children {
                            parents.insert(child.token.0.to_string(), child.parents.clone());
                        }
                        partitions.children(&name, at(*at_time), children.clone());
                        prop_assert_eq!(partitions.ended(&name), End::Finished);
                        reading.remove(&token);
                        over.insert(token);
                    } else {
                        partitions.heard(&name, at(database.now));
                    }
                }
            }
            for start in partitions.start() {
                let token = start.token.0.to_string();
                prop_assert!(!over.contains(&token), "{token} is read after it was over");
                for parent in parents.get(&token).into_iter().flatten() {
                    prop_assert!(over.contains(&*parent.0), "{token} is read before {parent:?} is over");
                }
                prop_assert!(reading.insert(token), "read twice at once");
            }
            prop_assert!(partitions.watermark() >= watermark);
            watermark = partitions.watermark();
        }
        prop_assert_eq!(reading, database.live.into_iter().collect());
        prop_assert!(partitions.len() <= 2 * parents.len() + 2);
    }
}
