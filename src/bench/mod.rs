//! Timing: what an operation costs on the reference, and what judging it costs on top.
//!
//! Decides what is measured and how often. Every figure is a wall-clock reading of this machine: only
//! ratios between figures of one run mean anything elsewhere.

mod follow;
mod gpu;
mod judged;
mod peer;
mod trace;

pub use follow::{
    FollowError, Followed, Gauge, Now, RATES, changes, follow, follow_card, follow_now, follow_simulated,
};
pub use gpu::{PairTimes, cached_pairs};
pub use judged::{CurvePoint, Effort, Throughput, curve, throughput};
pub use peer::{PeerError, PeerTiming, time_torch};
pub use trace::{Trace, TraceError, TraceTiming, built_in_traces, memory_per_live_block, time_trace};

/// The least of several readings: what the code costs when nothing else runs.
fn least(readings: impl Iterator<Item = f64>) -> f64 {
    readings.fold(f64::INFINITY, f64::min)
}

/// A small generator of its own, so that a change of `workload` does not change what is measured.
struct Draw(u64);

impl Draw {
    fn new(seed: u64) -> Self {
        Draw(seed)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound.max(1)
    }

    /// Log-uniform from 64 B to 4 MiB.
    fn size(&mut self) -> u64 {
        let base = 64_u64 << self.below(16);
        base + self.below(base)
    }
}
