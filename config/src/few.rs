//! PURE. A sorted map by name that is small for most who have one and may be large for some: what is
//! small is one piece of memory of just its size, what is large shares what a change leaves alone.

use std::fmt;
use std::sync::Arc;

use imbl::OrdMap;

/// A map from names, in their order.
#[derive(Clone)]
pub struct Few<V>(Held<V>);

#[derive(Clone)]
enum Held<V> {
    /// In order of names.
    Small(Box<[(Arc<str>, V)]>),
    /// Once large, for as long as there is anything.
    Large(Box<OrdMap<Arc<str>, V>>),
}

/// Copying so many is no more work than copying the nodes of a tree.
const SMALL: usize = 16;

impl<V: Clone> Few<V> {
    /// How many there are.
    pub fn len(&self) -> usize {
        match &self.0 {
            Held::Small(entries) => entries.len(),
            Held::Large(map) => map.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What that name leads to.
    pub fn get(&self, name: &str) -> Option<&V> {
        match &self.0 {
            Held::Small(entries) => {
                let place = find(entries, name).ok()?;
                entries.get(place).map(|(_, value)| value)
            }
            Held::Large(map) => map.get(name),
        }
    }

    /// Whether it leads anywhere.
    pub fn contains_key(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Every name and what it leads to.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &V)> {
        let (small, large) = match &self.0 {
            Held::Small(entries) => (Some(entries.iter()), None),
            Held::Large(map) => (None, Some(map.iter())),
        };
        let small = small
            .into_iter()
            .flatten()
            .map(|(name, value)| (name, value));
        let large = large.into_iter().flatten();
        small.chain(large)
    }

    /// Every name.
    pub fn keys(&self) -> impl Iterator<Item = &Arc<str>> {
        self.iter().map(|(name, _)| name)
    }

    /// What they lead to.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }

    /// Leads that name there; where it led before.
    pub fn insert(&mut self, name: Arc<str>, value: V) -> Option<V> {
        match &mut self.0 {
            Held::Small(entries) => match find(entries, &name) {
                Ok(place) => {
                    let entry = entries.get_mut(place)?;
                    Some(std::mem::replace(&mut entry.1, value))
                }
                Err(_) if entries.len() == SMALL => {
                    let mut map: OrdMap<_, _> = std::mem::take(entries).into_iter().collect();
                    map.insert(name, value);
                    self.0 = Held::Large(Box::new(map));
                    None
                }
                Err(place) => {
                    let mut all = Vec::with_capacity(entries.len() + 1);
                    all.extend(std::mem::take(entries));
                    all.insert(place, (name, value));
                    *entries = all.into();
                    None
                }
            },
            Held::Large(map) => map.insert(name, value),
        }
    }

    /// Leads that name nowhere; where it led before.
    pub fn remove(&mut self, name: &str) -> Option<V> {
        let removed = match &mut self.0 {
            Held::Small(entries) => {
                let place = find(entries, name).ok()?;
                let mut all = Vec::from(std::mem::take(entries));
                let (_, value) = all.remove(place);
                *entries = all.into();
                Some(value)
            }
            Held::Large(map) => map.remove(name),
        };
        if self.is_empty() {
            *self = Self::default();
        }
        removed
    }

    /// Whether both hold the same, where two of what they hold are the same by `same`. Looks at no more
    /// than a few: of what is large, `false` may only mean that one was changed.
    pub fn is_same(&self, other: &Self, same: impl Fn(&V, &V) -> bool) -> bool {
        match (&self.0, &other.0) {
            (Held::Small(one), Held::Small(other)) => {
                let mut pairs = one.iter().zip(other);
                one.len() == other.len() && pairs.all(|(a, b)| a.0 == b.0 && same(&a.1, &b.1))
            }
            (Held::Large(one), Held::Large(other)) => one.ptr_eq(other),
            _ => false,
        }
    }
}

fn find<V>(entries: &[(Arc<str>, V)], name: &str) -> Result<usize, usize> {
    entries.binary_search_by(|(known, _)| (**known).cmp(name))
}

impl<V> Default for Few<V> {
    fn default() -> Self {
        Self(Held::Small(Box::default()))
    }
}

impl<V: Clone + fmt::Debug> fmt::Debug for Few<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_sorted_map_small_and_large(
            steps in prop::collection::vec((0_u32..40, prop::option::weighted(0.7, 0_u32..9)), 1..200),
        ) {
            let mut few = Few::default();
            let mut model = BTreeMap::new();
            for (name, value) in steps {
                let name = format!("n{name}");
                match value {
                    Some(value) => {
                        let old = few.insert(name.as_str().into(), value);
                        prop_assert_eq!(old, model.insert(name.clone(), value));
                    }
                    None => prop_assert_eq!(few.remove(&name), model.remove(&name)),
                }
                prop_assert_eq!(few.len(), model.len());
                prop_assert_eq!(few.get(&name), model.get(&name));
                let found: Vec<_> = few.iter().map(|(name, value)| (name.to_string(), *value)).collect();
                prop_assert_eq!(found, model.clone().into_iter().collect::<Vec<_>>());
            }
        }
    }
}
