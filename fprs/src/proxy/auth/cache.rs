//! PURE. JWTs that were believed lately, of one core, by their SHA-256: the JWT itself is not kept.
//! Bounded by two generations: what was not asked for while the younger one filled is forgotten. An
//! entry counts no longer than its token lives and its issuer's record is the one it was made from.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use fprs_config::{Millis, SecretHash};

use super::jwt::Verified;
use super::view::View;

/// JWTs of one generation, of which there are two: an entry has some 300 bytes, its issuer apart.
pub const GENERATION: usize = 4096;

type Generation = HashMap<SecretHash, Rc<Verified>, foldhash::fast::RandomState>;

/// One core's believed JWTs.
#[derive(Debug)]
pub struct Cache {
    generations: RefCell<Generations>,
}

#[derive(Debug)]
struct Generations {
    young: Generation,
    old: Generation,
}

impl Default for Cache {
    fn default() -> Self {
        let empty = || Generation::with_capacity_and_hasher(0, Default::default());
        Self {
            generations: RefCell::new(Generations {
                young: empty(),
                old: empty(),
            }),
        }
    }
}

impl Cache {
    /// What is known of a JWT that hashes to this.
    pub fn get(&self, hash: &SecretHash, view: &View, now: Millis) -> Option<Rc<Verified>> {
        let mut generations = self.generations.borrow_mut();
        let verified = match generations.young.get(hash) {
            Some(verified) => Rc::clone(verified),
            None => {
                let (hash, verified) = generations.old.remove_entry(hash)?;
                generations.put(hash, Rc::clone(&verified));
                verified
            }
        };
        let counts = now < verified.expires_unix_ms && view.is_current(&verified.keys);
        if !counts {
            generations.young.remove(hash);
        }
        counts.then_some(verified)
    }

    /// Remembers a JWT that was believed.
    pub fn put(&self, hash: SecretHash, verified: Rc<Verified>) {
        self.generations.borrow_mut().put(hash, verified);
    }

    /// JWTs remembered.
    pub fn len(&self) -> usize {
        let generations = self.generations.borrow();
        generations.young.len() + generations.old.len()
    }

    /// None is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Generations {
    fn put(&mut self, hash: SecretHash, verified: Rc<Verified>) {
        if self.young.len() >= GENERATION {
            std::mem::swap(&mut self.young, &mut self.old);
            self.young.clear();
        }
        self.young.insert(hash, verified);
    }
}
