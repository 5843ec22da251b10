//! How a new `fprs proxy` relieves the one that runs in the same data dir: it gets all that exactly
//! one process may hold, serves beside it, and only then does the other one stop accepting. Nothing is
//! let go before somebody else has it, so a newcomer that fails at any step leaves the old as it was.
//!
//! ```text
//! new ── hello ────────────────────► old     which protocol it speaks
//! new ◄── offer, with 4 descriptors ─ old    or why not
//!       (new follows the store until its table is loaded, then accepts on both listeners)
//! new ── serving ──────────────────► old
//!       (old stops accepting; what waits in the listeners' queues is the new one's)
//! new ◄── yours ──────────────────── old    then old drains and exits 0
//! ```

mod activation;
mod channel;
mod holding;
mod newcomer;
mod offer;
mod word;

pub use holding::Holding;
pub use newcomer::{Answered, Newcomer};
pub use offer::{Offer, Relief};
