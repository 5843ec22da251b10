//! Fuzzes [`fprs_fuzz::credential::check`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fprs_fuzz::credential::check(data));
