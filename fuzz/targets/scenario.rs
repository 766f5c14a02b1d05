//! The door of libFuzzer to the body of the same name.
#![no_main]

#[path = "../bodies/mod.rs"]
#[allow(dead_code, reason = "a target uses one body of these")]
mod bodies;
#[path = "../counters.rs"]
mod counters;

libfuzzer_sys::fuzz_target!(|data: &[u8]| counters::feed(bodies::scenario::run, data));
