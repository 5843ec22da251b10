//! PURE. Names and what they lead to, as one immutable map with structural sharing: a clone is cheap, a
//! changed copy costs what changed. Ordered by the names' hashes, so that its nodes are as full with a
//! million names as with a hundred, a search compares numbers, and copying what lies above the leaves
//! touches no name. Two names of one hash share a place.

use std::fmt;
use std::hash::BuildHasher;
use std::slice;
use std::sync::Arc;

use foldhash::fast::RandomState;
use imbl::OrdMap;

/// A map from names. Iterates in no order.
#[derive(Clone)]
pub struct Names<V, S = RandomState> {
    hasher: S,
    places: OrdMap<u64, Place<V>>,
    len: usize,
}

/// What is behind one hash.
#[derive(Clone)]
enum Place<V> {
    One((Arc<str>, V)),
    /// At least one, seldom more than one ever.
    More(Box<[(Arc<str>, V)]>),
}

impl<V> Names<V> {
    /// How many names there are.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Every name and what it leads to.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &V)> {
        let entries = self.places.values().flat_map(Place::entries);
        entries.map(|(name, value)| (name, value))
    }

    /// Every name.
    pub fn keys(&self) -> impl Iterator<Item = &Arc<str>> {
        self.iter().map(|(name, _)| name)
    }

    /// What the names lead to.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }
}

impl<V, S: BuildHasher> Names<V, S> {
    /// What that name leads to.
    pub fn get(&self, name: &str) -> Option<&V> {
        self.entry(name).map(|(_, value)| value)
    }

    /// The name as the map holds it: whoever keeps it too shares its memory.
    pub fn name(&self, name: &str) -> Option<&Arc<str>> {
        self.entry(name).map(|(name, _)| name)
    }

    /// Whether it leads anywhere.
    pub fn contains_key(&self, name: &str) -> bool {
        self.entry(name).is_some()
    }

    fn entry(&self, name: &str) -> Option<&(Arc<str>, V)> {
        let place = self.places.get(&self.hasher.hash_one(name))?;
        place.entries().iter().find(|(known, _)| **known == *name)
    }
}

impl<V: Clone, S: BuildHasher> Names<V, S> {
    /// The name as the map holds it, and what it leads to, to be changed.
    pub fn entry_mut(&mut self, name: &str) -> Option<(&Arc<str>, &mut V)> {
        let place = self.places.get_mut(&self.hasher.hash_one(name))?;
        let mut entries = place.entries_mut().iter_mut();
        let (name, value) = entries.find(|(known, _)| **known == *name)?;
        Some((name, value))
    }

    /// What that name leads to, to be changed.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut V> {
        self.entry_mut(name).map(|(_, value)| value)
    }

    /// Leads that name there; where it led before.
    pub fn insert(&mut self, name: Arc<str>, value: V) -> Option<V> {
        let hash = self.hasher.hash_one(&*name);
        let new = Place::One((Arc::clone(&name), value));
        let old = self.places.insert(hash, new);
        let before = match old {
            None => None,
            Some(Place::One((known, before))) if known == name => Some(before),
            Some(shared) => self.places.get_mut(&hash)?.join(shared),
        };
        if before.is_none() {
            self.len = self.len.saturating_add(1);
        }
        before
    }

    /// Leads that name nowhere; where it led before.
    pub fn remove(&mut self, name: &str) -> Option<V> {
        if !self.contains_key(name) {
            return None;
        }
        self.len = self.len.saturating_sub(1);
        let hash = self.hasher.hash_one(name);
        match self.places.remove(&hash)? {
            Place::One((_, value)) => Some(value),
            Place::More(entries) => {
                let (gone, rest): (Vec<_>, Vec<_>) =
                    entries.into_iter().partition(|(known, _)| **known == *name);
                if !rest.is_empty() {
                    self.places.insert(hash, Place::More(rest.into()));
                }
                gone.into_iter().next().map(|(_, value)| value)
            }
        }
    }
}

impl<V> Place<V> {
    const fn entries(&self) -> &[(Arc<str>, V)] {
        match self {
            Self::One(entry) => slice::from_ref(entry),
            Self::More(entries) => entries,
        }
    }

    const fn entries_mut(&mut self) -> &mut [(Arc<str>, V)] {
        match self {
            Self::One(entry) => slice::from_mut(entry),
            Self::More(entries) => entries,
        }
    }
}

impl<V: Clone> Place<V> {
    /// Takes in what was here before; what the name led to that is here now.
    fn join(&mut self, old: Self) -> Option<V> {
        let mut all = self.entries().to_vec();
        let mut before = None;
        for (name, value) in old.entries() {
            if all.iter().any(|(new, _)| new == name) {
                before = Some(value.clone());
            } else {
                all.push((Arc::clone(name), value.clone()));
            }
        }
        *self = Self::More(all.into());
        before
    }
}

impl<V, S: Default> Default for Names<V, S> {
    fn default() -> Self {
        Self {
            hasher: S::default(),
            places: OrdMap::new(),
            len: 0,
        }
    }
}

impl<V: Clone> FromIterator<(Arc<str>, V)> for Names<V> {
    fn from_iter<I: IntoIterator<Item = (Arc<str>, V)>>(entries: I) -> Self {
        let mut names = Self::default();
        for (name, value) in entries {
            names.insert(name, value);
        }
        names
    }
}

impl<V: fmt::Debug> fmt::Debug for Names<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::hash::{BuildHasherDefault, Hasher};

    use proptest::prelude::*;

    use super::*;

    /// Names of one length have one hash.
    #[derive(Default)]
    struct Length(u64);

    impl Hasher for Length {
        fn finish(&self) -> u64 {
            self.0
        }

        fn write(&mut self, bytes: &[u8]) {
            self.0 += bytes.len() as u64;
        }
    }

    proptest! {
        #[test]
        fn it_is_a_map_however_many_names_share_a_hash(
            steps in prop::collection::vec(("[ab]{1,3}", prop::option::of(0_u32..9)), 1..60),
        ) {
            let mut names = Names::<u32, BuildHasherDefault<Length>>::default();
            let mut model = BTreeMap::new();
            for (name, value) in steps {
                let before = names.clone();
                let kept = model.clone();
                match value {
                    Some(value) => {
                        let old = names.insert(name.as_str().into(), value);
                        prop_assert_eq!(old, model.insert(name.clone(), value));
                    }
                    None => prop_assert_eq!(names.remove(&name), model.remove(&name)),
                }
                for (names, model) in [(&names, &model), (&before, &kept)] {
                    prop_assert_eq!(names.len, model.len());
                    let found: BTreeMap<_, _> = names
                        .places
                        .values()
                        .flat_map(Place::entries)
                        .map(|(name, value)| (name.to_string(), *value))
                        .collect();
                    prop_assert_eq!(&found, model);
                    for (name, value) in model {
                        prop_assert_eq!(names.get(name), Some(value));
                    }
                }
                if let Some(value) = names.get_mut(&name) {
                    *value += 1;
                    *model.get_mut(&name).unwrap() += 1;
                }
                prop_assert_eq!(names.get("c"), None);
            }
        }
    }
}
