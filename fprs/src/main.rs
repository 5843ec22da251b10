//! The `fprs` binary: parses, wires, runs.
fn main() {}
