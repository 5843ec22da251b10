//! A relay with real programs under a fake control: what it is told and what it tells.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails"
)]

mod fake_control;
mod logs;
mod programs;
mod reconnect;
mod stopping;
