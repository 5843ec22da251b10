//! Fuzzes [`fprs_fuzz::body::check`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fprs_fuzz::body::check(data));
