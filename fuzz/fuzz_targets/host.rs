//! Fuzzes [`fprs_fuzz::host::check`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fprs_fuzz::host::check(data));
