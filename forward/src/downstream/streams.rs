//! PURE. How many exchanges of one client's connection are in flight for each tenant. Tenants are told
//! apart by a number; one that has none takes no room.

use std::cell::RefCell;

/// One connection's exchanges in flight, by tenant.
#[derive(Debug, Default)]
pub struct Streams(RefCell<Vec<(u32, u32)>>);

impl Streams {
    /// One more of that tenant; how many there are with it.
    pub fn begin(&self, tenant: u32) -> u32 {
        let mut counts = self.0.borrow_mut();
        match counts.iter_mut().find(|(known, _)| *known == tenant) {
            Some((_, count)) => {
                *count += 1;
                *count
            }
            None => {
                counts.push((tenant, 1));
                1
            }
        }
    }

    /// One less of that tenant.
    pub fn end(&self, tenant: u32) {
        let mut counts = self.0.borrow_mut();
        let Some(at) = counts.iter().position(|(known, _)| *known == tenant) else {
            return;
        };
        if let Some((_, count)) = counts.get_mut(at) {
            *count -= 1;
            if *count == 0 {
                counts.swap_remove(at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_tenant_is_counted_for_itself_and_forgotten_when_it_has_none() {
        let streams = Streams::default();
        assert_eq!(
            [1, 2, 1, 1].map(|tenant| streams.begin(tenant)),
            [1, 1, 2, 3]
        );
        streams.end(1);
        assert_eq!((streams.begin(1), streams.begin(2)), (3, 2));
        for tenant in [1, 2, 1, 1, 2] {
            streams.end(tenant);
        }
        assert_eq!(*streams.0.borrow(), []);
        streams.end(3);
    }
}
