//! Floor 1, the cases: YAML to a `Scenario` that cannot be wrong.
//!
//! Decides what a scenario file may say and tells the author where it is wrong. Does not run anything.

pub mod contract;
pub mod error;
pub mod expect;
mod files;
mod keys;
mod locate;
mod lower;
mod meter;
mod raw;
pub mod scenario;
mod text;

#[cfg(test)]
mod tests;

pub use error::SpecError;
pub use files::{Checked, built_in, check, load_dir, parse};
pub use scenario::{
    Body, DrawnWorld, FaultPlan, FaultWhen, Generate, OpKind, Scenario, SizeClass, SizeDraw, Variant, Weights,
};

/// The JSON Schema of one scenario document, as published in `specs/scenario.schema.json`.
#[must_use]
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(raw::RawScenario).to_value()
}
