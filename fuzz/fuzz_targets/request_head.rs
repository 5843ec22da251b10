//! Fuzzes [`fprs_fuzz::request_head::check`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fprs_fuzz::request_head::check(data));
