//! The proxy as a library, for the `fprs` binary and for benchmarks.

pub mod proxy;
