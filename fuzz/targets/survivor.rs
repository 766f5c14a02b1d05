//! The door of libFuzzer to a measurement: how long one planted defect survives. `fuzz/survival.sh` runs it.
#![no_main]

#[path = "../bodies/mod.rs"]
#[allow(dead_code, reason = "a target uses one body of these")]
mod bodies;
#[path = "../counters.rs"]
mod counters;
#[path = "../survival.rs"]
mod survival;

libfuzzer_sys::fuzz_target!(|data: &[u8]| counters::feed(survival::feed, data));
