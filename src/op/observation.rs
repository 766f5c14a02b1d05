//! What can be seen of a target between two operations, without changing it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::reply::{FloatText, float_text};
use super::stats::Stats;

/// One device as seen from outside.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DeviceView {
    pub stats: Stats,
    /// What the device itself says is free: the driver's figure, not the allocator's.
    pub free_bytes: u64,
    pub total_bytes: u64,
    /// The memory fraction as the target reads it back; 1 where it has none.
    #[serde(with = "float_text")]
    #[schemars(with = "FloatText")]
    pub fraction: f64,
    /// One bit a stream: set where everything enqueued has finished.
    pub idle: u64,
    /// Faults that have fired on this device since the start.
    pub faults_fired: u32,
}

impl DeviceView {
    #[must_use]
    pub fn is_idle(&self, stream: super::StreamId) -> bool {
        self.idle >> (stream.0 & 63) & 1 == 1
    }
}

/// Every device of a target.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Observation {
    pub devices: Vec<DeviceView>,
}
