//! poolproof: conformance tests and fuzzing for GPU caching allocators.
//!
//! The rooms, by floor (see `ARCHITECTURE.md`): dependencies point down only, rooms on one floor do
//! not see each other, and `tests/tidy.rs` checks both.
//!
//! 5 `cli` · 4 `engine`, `replay`, `report` · 3 `workload`, `oracle`, `target` · 2 `reference`, `model` ·
//! 1 `device`, `spec`, `verdict`, `recording` · 0 `child`, `input`, `op`, `requirement`

mod child;
mod cli;
pub mod device;
pub mod engine;
mod input;
mod model;
pub mod op;
mod oracle;
mod recording;
pub mod reference;
pub mod replay;
pub mod report;
pub mod requirement;
pub mod spec;
pub mod target;
pub mod verdict;
pub mod workload;

pub use cli::main;
