//! Long work gives way: a thread that applies changes shares its core with one that serves requests, and
//! the kernel would let it run on for a millisecond or more while a request waits.

/// Steps of some microseconds between two looks.
const EVERY: usize = 8;

/// After that many steps: whoever waits for this core goes first, every now and then. With nobody waiting
/// it costs less than a step.
pub fn give_way_after(steps: usize) {
    if steps % EVERY == EVERY - 1 {
        std::thread::yield_now();
    }
}
