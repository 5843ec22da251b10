//! PURE. What control is to know of this worker's replicas: the latest word on each, numbered. A
//! connection asks for what came since the number it has, a new one for everything, so no word is
//! lost by a break, and a slow connection gets the latest only.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use fprs_proto::worker::{Phase, ReplicaUpdate};

/// The latest word on every replica, the ended ones for a while.
#[derive(Debug, Default)]
pub(crate) struct Told {
    words: HashMap<Arc<str>, Word>,
    ended: VecDeque<Arc<str>>,
    last: Cursor,
}

/// A place in the order of words; zero is before the first.
pub(crate) type Cursor = u64;

#[derive(Debug)]
struct Word {
    number: Cursor,
    update: ReplicaUpdate,
}

/// Ended replicas kept for a control that was away: more than end while it fails over.
const MAX_ENDED: usize = 256;

impl Told {
    /// Notes the latest word on a replica. After its end there is none.
    pub(crate) fn note(&mut self, id: &Arc<str>, update: ReplicaUpdate) {
        if self.has_ended(id) {
            return;
        }
        let ends = is_end(&update);
        self.last += 1;
        let number = self.last;
        self.words.insert(Arc::clone(id), Word { number, update });
        if ends {
            self.ended.push_back(Arc::clone(id));
            if self.ended.len() > MAX_ENDED
                && let Some(oldest) = self.ended.pop_front()
            {
                self.words.remove(&oldest);
            }
        }
    }

    /// Has the word on a replica told once more; false if there is none.
    pub(crate) fn repeat(&mut self, id: &str) -> bool {
        let Some(word) = self.words.get_mut(id) else {
            return false;
        };
        self.last += 1;
        word.number = self.last;
        true
    }

    /// The words after that place, in order, and the place after them.
    pub(crate) fn since(&self, cursor: Cursor) -> (Vec<ReplicaUpdate>, Cursor) {
        let mut words: Vec<&Word> = self
            .words
            .values()
            .filter(|word| word.number > cursor)
            .collect();
        words.sort_unstable_by_key(|word| word.number);
        let updates = words.iter().map(|word| word.update.clone()).collect();
        (updates, self.last)
    }

    /// It ran here and doesn't any more, as far back as that is kept.
    pub(crate) fn has_ended(&self, id: &str) -> bool {
        self.words.get(id).is_some_and(|word| is_end(&word.update))
    }
}

fn is_end(update: &ReplicaUpdate) -> bool {
    matches!(update.phase(), Phase::Failed | Phase::Stopped)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(told: &mut Told, id: &str, phase: Phase) {
        told.note(
            &id.into(),
            ReplicaUpdate {
                replica: id.to_owned(),
                phase: phase.into(),
                ..ReplicaUpdate::default()
            },
        );
    }

    fn since(told: &Told, cursor: Cursor) -> Vec<(String, Phase)> {
        let (updates, _) = told.since(cursor);
        updates
            .into_iter()
            .map(|update| (update.replica.clone(), update.phase()))
            .collect()
    }

    #[test]
    fn a_new_connection_is_told_the_latest_word_on_each_replica() {
        let mut told = Told::default();
        note(&mut told, "a", Phase::Starting);
        note(&mut told, "b", Phase::Starting);
        note(&mut told, "a", Phase::Ready);
        note(&mut told, "b", Phase::Failed);
        let expected = [("a".into(), Phase::Ready), ("b".into(), Phase::Failed)];
        assert_eq!(since(&told, 0), expected);
    }

    #[test]
    fn a_connection_is_told_only_what_came_since() {
        let mut told = Told::default();
        note(&mut told, "a", Phase::Starting);
        let (_, cursor) = told.since(0);
        assert!(since(&told, cursor).is_empty());
        note(&mut told, "a", Phase::Ready);
        assert_eq!(since(&told, cursor), [("a".into(), Phase::Ready)]);
        let (_, cursor) = told.since(cursor);
        assert!(told.repeat("a") && !told.repeat("unknown"));
        assert_eq!(since(&told, cursor), [("a".into(), Phase::Ready)]);
    }

    #[test]
    fn an_end_is_the_last_word_and_kept_within_bounds() {
        let mut told = Told::default();
        for number in 0..MAX_ENDED + 10 {
            note(&mut told, &number.to_string(), Phase::Stopped);
        }
        note(&mut told, "20", Phase::Ready);
        assert_eq!(since(&told, 0).len(), MAX_ENDED);
        assert!(told.has_ended("20") && !told.has_ended("9"));
    }
}
