//! poolproof: conformance tests and fuzzing for GPU caching allocators.
//!
//! The rooms, by floor (see `ARCHITECTURE.md`): dependencies point down only, rooms on one floor do
//! not see each other, and `tests/tidy.rs` checks both.
//!
//! 5 `cli` · 4 `engine`, `replay`, `report` · 3 `workload`, `oracle`, `target` · 2 `reference`, `model` ·
//! 1 `device`, `spec`, `verdict`, `recording` · 0 `child`, `input`, `op`, `requirement`

pub mod bench;
mod child;
mod cli;
mod contract;
mod doctor;
pub mod engine;
mod files;
mod input;
mod matrix;
mod monitor;
mod recording;
pub mod replay;
pub mod report;
pub mod setup;
pub mod spec;
mod standalone;
mod stress;
pub mod target;
pub mod workload;

pub use cli::main;
pub use poolproof_cuda as cuda;
use poolproof_cudart as cudart;
pub use poolproof_device as device;
use poolproof_judge::{model, oracle};
pub use poolproof_reference as reference;
pub use poolproof_words::{op, requirement, verdict};
