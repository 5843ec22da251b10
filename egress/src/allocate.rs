//! PURE. Who has which place of a static IP. An identity has one place, keeps it as long as it is
//! there, and a place that was freed rests before somebody else gets it. Which it is follows from the
//! identity where that one is free, so that gateways which never talk mostly give the same.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest;

use crate::key::PublicKey;
use crate::plan::Place;

/// Time since the owner of the allocator began.
type Now = Duration;

/// The places of one static IP.
#[derive(Clone, Debug)]
pub struct Places {
    /// Never used, or rested: a block at most.
    free: Vec<Place>,
    /// Freed, and since when; the longest ago first.
    resting: VecDeque<(Place, Now)>,
    rest: Duration,
    taken: HashMap<Place, Client>,
    by_identity: HashMap<Arc<str>, Place>,
    by_key: HashMap<PublicKey, Place>,
}

/// Who has a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// Whose credential asked for it.
    pub identity: Arc<str>,
    /// Its key at the moment.
    pub key: PublicKey,
}

/// A place that was given, or had already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// Which.
    pub place: Place,
    /// The key that held it until now, if it was another one: its peer has to go.
    pub replaces: Option<PublicKey>,
    /// The place that the identity had until now, and gave back for this one.
    pub leaves: Option<Place>,
}

/// Why no place was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// All places are taken or rest.
    #[error("every place of this static IP is taken; add a static IP to the pool")]
    Full,
    /// The key is another identity's.
    #[error("this key is another agent's; make your own")]
    KeyTaken,
    /// Somebody else has the wanted place; this one is free.
    #[error("the wanted address is taken")]
    Taken {
        /// Free now.
        free: Place,
    },
}

impl Places {
    /// All places free; a freed one rests that long.
    pub fn new(rest: Duration) -> Self {
        Self {
            free: Place::all().collect(),
            resting: VecDeque::new(),
            rest,
            taken: HashMap::new(),
            by_identity: HashMap::new(),
            by_key: HashMap::new(),
        }
    }

    /// Gives `identity` the wanted place, or the one it has, or a free one.
    ///
    /// # Errors
    /// See [`Refused`]; nothing changed.
    pub fn give(
        &mut self,
        identity: &Arc<str>,
        key: PublicKey,
        want: Option<Place>,
        now: Now,
    ) -> Result<Given, Refused> {
        self.wake(now);
        let had = self.by_identity.get(identity).copied();
        if self
            .by_key
            .get(&key)
            .is_some_and(|place| Some(*place) != had)
        {
            return Err(Refused::KeyTaken);
        }
        let place = self.choose(identity, had, want)?;
        let leaves = had.filter(|had| *had != place);
        let replaces = had.and_then(|had| self.release(had, now));
        self.take(place, identity, key);
        self.check();
        Ok(Given {
            place,
            replaces: replaces.filter(|old| *old != key || leaves.is_some()),
            leaves,
        })
    }

    /// Frees that place, which rests from now on. Gives back the key that held it.
    pub fn free(&mut self, place: Place, now: Now) -> Option<PublicKey> {
        let key = self.release(place, now);
        self.check();
        key
    }

    /// The place of that identity.
    pub fn of(&self, identity: &str) -> Option<Place> {
        self.by_identity.get(identity).copied()
    }

    /// The place of that key.
    pub fn of_key(&self, key: &PublicKey) -> Option<Place> {
        self.by_key.get(key).copied()
    }

    /// Whose that key is.
    pub fn identity(&self, key: &PublicKey) -> Option<&Arc<str>> {
        let client = self.taken.get(self.by_key.get(key)?)?;
        Some(&client.identity)
    }

    /// Everybody who has a place, in no order.
    pub fn clients(&self) -> impl Iterator<Item = (Place, &Client)> {
        self.taken.iter().map(|(place, client)| (*place, client))
    }

    /// How many places are taken.
    pub fn taken(&self) -> usize {
        self.taken.len()
    }

    fn choose(
        &self,
        identity: &str,
        had: Option<Place>,
        want: Option<Place>,
    ) -> Result<Place, Refused> {
        let number = own(identity);
        let first = self.free.iter().min_by_key(|place| place.after(number));
        let first = first.copied();
        match want.or(had) {
            Some(place) if Some(place) == had => Ok(place),
            // One that rests may be asked for by name: on the other gateway it is in use.
            Some(place) if !self.taken.contains_key(&place) => Ok(place),
            Some(_) => Err(first.map_or(Refused::Full, |free| Refused::Taken { free })),
            None => first.ok_or(Refused::Full),
        }
    }

    fn take(&mut self, place: Place, identity: &Arc<str>, key: PublicKey) {
        self.free.retain(|free| *free != place);
        self.resting.retain(|(resting, _)| *resting != place);
        self.by_identity.insert(Arc::clone(identity), place);
        self.by_key.insert(key, place);
        let identity = Arc::clone(identity);
        self.taken.insert(place, Client { identity, key });
    }

    fn release(&mut self, place: Place, now: Now) -> Option<PublicKey> {
        let client = self.taken.remove(&place)?;
        self.by_identity.remove(&client.identity);
        self.by_key.remove(&client.key);
        self.resting.push_back((place, now));
        Some(client.key)
    }

    fn wake(&mut self, now: Now) {
        while let Some((place, since)) = self.resting.front()
            && now.saturating_sub(*since) >= self.rest
        {
            self.free.push(*place);
            self.resting.pop_front();
        }
    }

    fn check(&self) {
        debug_assert_eq!(
            self.free.len() + self.resting.len() + self.taken.len(),
            Place::all().count(),
            "a place is free, rests or is taken"
        );
        debug_assert_eq!(self.taken.len(), self.by_identity.len());
        debug_assert_eq!(self.taken.len(), self.by_key.len());
    }
}

/// The number of the place that an identity has where it is free.
fn own(identity: &str) -> u16 {
    let digest = digest::digest(&digest::SHA256, identity.as_bytes());
    let first = digest.as_ref().first_chunk().copied();
    u16::from_be_bytes(first.unwrap_or_default())
}

#[cfg(test)]
mod tests;
