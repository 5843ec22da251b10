//! Fuzzes [`fprs_fuzz::manifest::check`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fprs_fuzz::manifest::check(data));
