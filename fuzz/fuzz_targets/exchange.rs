//! Fuzzes [`fprs_fuzz::exchange::check`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fprs_fuzz::exchange::check(data));
