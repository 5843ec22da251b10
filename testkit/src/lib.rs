//! Dev only: what tests drive fprs with. Real sockets, real processes, no fixed ports, no sleeps in
//! place of a condition, and a deadline on every wait, so that a hang is a failure that says where.
//!
//! - [`Plane`] runs the real binary in a temporary directory; [`Role`] one role of it.
//! - [`client`] holds an HTTP/1.1 client that sees every byte, an HTTP/2 client that sees every
//!   frame that matters, and [`client::RawHttp`] for bytes no client would send.
//! - [`Origin`] is the program behind fprs: scripted, and it records what it saw. [`program`] makes
//!   one that a relay can start as a command.
//! - [`FaultProxy`] sits on a TCP path and cuts, holds, delays or throttles it.
//! - `kubernetes`, with the feature of that name, is a double of a cluster.
//! - [`ports`] gives a port to a program that has to be told one.
//! - [`signer`] is an identity provider: JWTs of any header and claims, and their JWKS.
//! - [`wait`] polls a condition until a deadline.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a tool of tests: a broken expectation here is a failed test with its place"
)]

pub mod client;
pub mod fault;
#[cfg(feature = "kubernetes")]
pub mod kubernetes;
pub mod origin;
pub mod pattern;
pub mod plane;
pub mod ports;
pub mod program;
pub mod signer;
pub mod wait;

pub use fault::FaultProxy;
pub use origin::{Origin, Script};
pub use pattern::Pattern;
pub use plane::{Cli, Plane, Process, Role};
pub use tempfile::TempDir;
pub use wait::{eventually, eventually_blocking, until, until_blocking};
