//! PURE. The partitions of a change stream: which to read next, from when, and up to when all of
//! them have told everything. A partition is read once, after every parent of it has ended; one whose
//! reading broke is read again from where it was.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

/// Names a partition. The empty token is the root query, which tells the first ones.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Token(pub(super) Arc<str>);

impl Token {
    pub(super) fn is_root(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<&str> for Token {
    fn from(token: &str) -> Self {
        Self(token.into())
    }
}

/// A partition as its parent tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Child {
    pub(super) token: Token,
    pub(super) parents: Vec<Token>,
}

/// What is to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Start {
    pub(super) token: Token,
    /// Inclusive.
    pub(super) at: SystemTime,
}

/// What the clean end of a reading means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The partition is over; its children go on.
    Finished,
    /// It only paused: read it again.
    Paused,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    /// Waits for its parents.
    Created,
    /// Is being read; told its children already?
    Running { children: bool },
    /// Everything in it was told; remembered while a parent could still name it again.
    Finished,
}

#[derive(Clone, Debug)]
struct Partition {
    parents: Vec<Token>,
    /// Everything before it was told; where its reading begins before anything was.
    watermark: SystemTime,
    phase: Phase,
}

/// Every partition that is not over, or was until just now.
#[derive(Clone, Debug)]
pub(super) struct Partitions {
    partitions: BTreeMap<Token, Partition>,
    /// Never goes back.
    watermark: SystemTime,
}

impl Partitions {
    /// Nothing but the root, to be read from that time on.
    pub(super) fn new(from: SystemTime) -> Self {
        let root = Partition {
            parents: Vec::new(),
            watermark: from,
            phase: Phase::Created,
        };
        Self {
            partitions: BTreeMap::from([(Token::default(), root)]),
            watermark: from,
        }
    }

    /// How many are known.
    pub(super) fn len(&self) -> usize {
        self.partitions.len()
    }

    /// What can be read now and is not yet. The caller reads all of it.
    pub(super) fn start(&mut self) -> Vec<Start> {
        let ready: Vec<Token> = self
            .partitions
            .iter()
            .filter(|(_, partition)| partition.phase == Phase::Created && self.over(partition))
            .map(|(token, _)| token.clone())
            .collect();
        let mut starts = Vec::with_capacity(ready.len());
        for token in ready {
            if let Some(partition) = self.partitions.get_mut(&token) {
                partition.phase = Phase::Running { children: false };
                let at = partition.watermark;
                starts.push(Start { token, at });
            }
        }
        starts
    }

    /// A partition told everything before that time.
    pub(super) fn heard(&mut self, token: &Token, until: SystemTime) {
        if let Some(partition) = self.partitions.get_mut(token) {
            partition.watermark = partition.watermark.max(until);
        }
        self.settle();
    }

    /// A partition told what goes on in its place from that time on. Parents tell the same child
    /// each: it counts once.
    pub(super) fn children(&mut self, token: &Token, from: SystemTime, children: Vec<Child>) {
        for Child { token, parents } in children {
            self.partitions.entry(token).or_insert(Partition {
                parents,
                watermark: from,
                phase: Phase::Created,
            });
        }
        if let Some(partition) = self.partitions.get_mut(token) {
            partition.watermark = partition.watermark.max(from);
            if let Phase::Running { children } = &mut partition.phase {
                *children = true;
            }
        }
        self.settle();
    }

    /// The reading of a partition ended as it should.
    pub(super) fn ended(&mut self, token: &Token) -> End {
        let Some(partition) = self.partitions.get_mut(token) else {
            return End::Finished;
        };
        if (partition.phase != Phase::Running { children: true }) {
            return End::Paused;
        }
        partition.phase = Phase::Finished;
        self.settle();
        End::Finished
    }

    /// Where to read a partition again whose reading broke or paused.
    pub(super) fn again(&self, token: &Token) -> Option<Start> {
        let partition = self.partitions.get(token)?;
        matches!(partition.phase, Phase::Running { .. }).then(|| Start {
            token: token.clone(),
            at: partition.watermark,
        })
    }

    /// Everything before it was told, by all of them.
    pub(super) const fn watermark(&self) -> SystemTime {
        self.watermark
    }

    /// A parent that is not known was not told yet, or was over before this began: which of the two
    /// shows once everything else is as far as its child.
    fn over(&self, child: &Partition) -> bool {
        let settled = self.watermark >= child.watermark;
        child.parents.iter().all(|parent| {
            self.partitions
                .get(parent)
                .map_or(settled, |parent| parent.phase == Phase::Finished)
        })
    }

    /// Moves the watermark on and forgets what is over before it: nobody can name that again.
    fn settle(&mut self) {
        let least = self
            .partitions
            .values()
            .filter(|partition| partition.phase != Phase::Finished)
            .map(|partition| partition.watermark)
            .min();
        let Some(least) = least else { return };
        self.watermark = self.watermark.max(least);
        let watermark = self.watermark;
        self.partitions.retain(|_, partition| {
            partition.phase != Phase::Finished || partition.watermark >= watermark
        });
    }
}

#[cfg(test)]
mod tests;
