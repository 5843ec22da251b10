//! Fuzzes [`fprs_fuzz::record::check`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fprs_fuzz::record::check(data));
