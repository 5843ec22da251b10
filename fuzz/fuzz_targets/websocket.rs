//! Fuzzes [`fprs_fuzz::websocket::check`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fprs_fuzz::websocket::check(data));
