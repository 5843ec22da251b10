//! The `fprs` binary. Starts what the command line asks for, and nothing else.

use std::process::ExitCode;

/// Half the price of the system's allocator on the request path, and no arenas that grow with
/// threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    fprs::commands::main()
}
