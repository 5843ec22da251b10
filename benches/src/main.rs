//! `fprs-bench`: parses the command line and runs what it says.

fn main() {}
