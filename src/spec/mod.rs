//! Floor 1, the cases: YAML to a `Scenario` that cannot be wrong.
//!
//! Decides what a scenario file may say and tells the author where it is wrong. Does not run anything.

pub mod scenario;

pub use scenario::{Body, FaultPlan, FaultWhen, Generate, OpKind, Scenario, SizeClass, SizeDraw, Variant, Weights};
