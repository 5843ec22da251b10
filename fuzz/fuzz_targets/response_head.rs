//! Fuzzes [`fprs_fuzz::response_head::check`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fprs_fuzz::response_head::check(data));
