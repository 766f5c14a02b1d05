//! Timing: what an operation costs on the reference, and what judging it costs on top.
//!
//! Decides what is measured and how often. Every figure is a wall-clock reading of this machine: only
//! ratios between figures of one run mean anything elsewhere.

mod judged;
mod trace;

pub use judged::{CurvePoint, Throughput, curve, throughput};
pub use trace::{Trace, TraceError, TraceTiming, built_in_traces, time_trace};

/// The least of several readings: what the code costs when nothing else runs.
fn least(readings: impl Iterator<Item = f64>) -> f64 {
    readings.fold(f64::INFINITY, f64::min)
}
