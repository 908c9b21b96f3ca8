//! Feeds the entry of this name.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| kd_fuzz::feed("apply", bytes));
