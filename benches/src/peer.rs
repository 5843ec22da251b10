//! Bare proxies to compare with, built from the same crates as fprs: they forward to one origin
//! and do nothing else.

pub mod h2_relay;
pub mod pingora;
