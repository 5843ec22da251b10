//! PURE. Items by name, of which only the busy ones cost anything at a tick. Every busy item is in
//! the list exactly once.

use std::collections::HashMap;
use std::sync::Arc;

/// Items that one origin may name, far above what one proxy can serve. What exceeds it does not
/// count.
const LIMIT: usize = 262_144;

#[derive(Debug)]
pub(super) struct Named<T> {
    items: HashMap<Arc<str>, Item<T>>,
    busy: Vec<Arc<str>>,
}

#[derive(Debug)]
struct Item<T> {
    value: T,
    busy: bool,
    /// The report that named it last.
    sequence: u64,
}

impl<T> Named<T> {
    /// The item, busy from now on, named by that report; `None` if there are too many.
    pub(super) fn name(
        &mut self,
        name: &str,
        sequence: u64,
        new: impl FnOnce() -> T,
    ) -> Option<&mut T> {
        if !self.items.contains_key(name) {
            if self.items.len() >= LIMIT {
                return None;
            }
            let item = Item {
                value: new(),
                busy: false,
                sequence,
            };
            self.items.insert(name.into(), item);
        }
        let item = self.items.get_mut(name)?;
        item.sequence = sequence;
        if !item.busy {
            item.busy = true;
            self.busy.push(name.into());
        }
        Some(&mut item.value)
    }

    /// Every item.
    pub(super) fn all(&self) -> impl Iterator<Item = &T> {
        self.items.values().map(|item| &item.value)
    }

    /// Every item, with its name.
    pub(super) fn into_all(self) -> impl Iterator<Item = (Arc<str>, T)> {
        let items = self.items.into_iter();
        items.map(|(name, item)| (name, item.value))
    }

    /// Every item that the report did not name.
    pub(super) fn others(&mut self, sequence: u64) -> impl Iterator<Item = &mut T> {
        self.items
            .values_mut()
            .filter(move |item| item.sequence != sequence)
            .map(|item| &mut item.value)
    }

    /// Visits every busy item; it stays busy if `tick` says so.
    pub(super) fn tick(&mut self, mut tick: impl FnMut(&Arc<str>, &mut T) -> bool) {
        let items = &mut self.items;
        self.busy.retain(|name| {
            items.get_mut(name).is_some_and(|item| {
                item.busy = tick(name, &mut item.value);
                item.busy
            })
        });
    }

    pub(super) fn get(&self, name: &str) -> Option<&T> {
        self.items.get(name).map(|item| &item.value)
    }

    /// Forgets idle items.
    pub(super) fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.items.retain(|name, item| item.busy || keep(name));
    }
}

impl<T> Default for Named<T> {
    fn default() -> Self {
        Self {
            items: HashMap::new(),
            busy: Vec::new(),
        }
    }
}
