//! Fuzzes [`fprs_fuzz::grpc_timeout::check`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fprs_fuzz::grpc_timeout::check(data));
