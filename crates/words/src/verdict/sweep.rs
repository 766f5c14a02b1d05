//! What a fault sweep came to: which device calls were failed, with what, and what was seen afterwards.
//!
//! Figures only; what it convicted stands among the findings of the run.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::op::{DeviceCall, FaultError};

/// A fault sweep: sequences run again and again, each time with another device call failing.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SweepRecord {
    /// The target, and the settings of it that were swept beside it.
    pub targets: Vec<String>,
    /// Sequences whose calls were failed, once for each of the targets.
    pub sequences: u64,
    /// Sequences of the selection that were not swept to their end because time was up.
    pub cut_short: u64,
    /// Sequences that fail without any fault, and were not swept.
    pub failing: u64,
    /// Sequences in which a fault led to a violation or a panic.
    pub convicted: u64,
    /// Runs of a sequence, those without a fault included.
    pub runs: u64,
    /// Operations asked in all of these runs.
    pub operations: u64,
    /// One entry for each kind of call, in the order of `DeviceCall`.
    pub calls: Vec<SweptCall>,
    /// What differs between two runs of one seed.
    pub stamp: SweepStamp,
}

/// The calls of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SweptCall {
    /// Which kind.
    pub call: DeviceCall,
    /// Calls that the sequences make when nothing fails.
    pub seen: u64,
    /// How many of them were failed, each with every error.
    pub failed: u64,
    /// The errors that it was failed with.
    pub errors: Vec<FaultError>,
    /// Runs in which exactly one call failed, and it was one of these.
    pub singles: u64,
    /// Runs in which two calls failed, and the first planned was one of these.
    pub pairs: u64,
    /// Steps judged after the fault, in all of these runs.
    pub states: u64,
    /// Sequences, once for each device, in which a call of this kind was failed; 0 in older records.
    #[serde(default)]
    pub sequences: u64,
    /// Those of them in which a promise was broken after one of these calls had failed: the rest of these calls were not failed.
    #[serde(default)]
    pub broken: u64,
}

/// How long a sweep took.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SweepStamp {
    /// Seconds of wall-clock time.
    pub seconds: f64,
}

impl SweepRecord {
    /// The kinds of calls that no swept sequence makes.
    #[must_use]
    pub fn never_made(&self) -> Vec<DeviceCall> {
        self.calls.iter().filter(|c| c.seen == 0).map(|c| c.call).collect()
    }

    /// Over all kinds.
    #[must_use]
    pub fn total(&self, of: impl Fn(&SweptCall) -> u64) -> u64 {
        self.calls.iter().map(of).sum()
    }
}
