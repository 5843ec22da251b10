//! PURE. The mark of packets that are looked up in a table, where a map says which those are. Each table
//! has a mark of its own, clear of the two bits that kube-proxy acts on.

/// Tables below this have a mark.
pub const TABLES: u32 = 1 << 29;
/// Says that a mark is one of these.
const OURS: u32 = 1 << 31;
/// Of a table, so many bits are below those of kube-proxy, 0x4000 and 0x8000.
const LOW: u32 = 14;

/// The mark of that table.
pub const fn of(table: u32) -> u32 {
    let low = table & ((1 << LOW) - 1);
    OURS | low | ((table >> LOW) << 16)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_two_tables_share_a_mark_and_none_is_kube_proxys(a in 0..TABLES, b in 0..TABLES) {
            prop_assert_eq!(of(a) == of(b), a == b);
            prop_assert_eq!(of(a) & 0xc000, 0);
        }
    }
}
