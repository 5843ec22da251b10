//! Scales servers: reports become load, load a decision, a decision writes to the store. `demand`,
//! `decide` and `plan` are PURE and what a simulation runs; the rest is the I/O around them.

pub mod decide;
pub mod demand;
pub mod plan;
