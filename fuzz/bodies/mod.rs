//! What each fuzz target does with its input: plain functions, the same under libFuzzer and in `tests/fuzz_smoke.rs`.
//!
//! A body panics where poolproof is at fault, and nowhere else: an input that is refused with a typed error
//! is as good as one that is accepted.

pub mod canary;
pub mod coverage;
pub mod draft;
pub mod edit;
pub mod encode;
pub mod files;
pub mod header;
pub mod held;
pub mod kinds;
#[cfg(fuzzing)]
pub mod naive;
pub mod operations;
pub mod pickle;
pub mod recording;
pub mod redirects;
pub mod reproducer;
pub mod scenario;
pub mod seeds;
pub mod settings;
pub mod survivor;
pub mod value;
pub mod worker;

use coverage::Cells;

/// A target's body.
pub type Body = fn(&[u8], &mut Cells);

/// Every target that must not fail, by name. (`canary` must; `naive` is tested beside the allocator it fuzzes.)
pub const BODIES: [(&str, Body); 7] = [
    ("operations", operations::run),
    ("settings", settings::run),
    ("scenario", scenario::run),
    ("recording", recording::run),
    ("pickle", pickle::run),
    ("reproducer", reproducer::run),
    ("worker", worker::run),
];
