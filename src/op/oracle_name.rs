//! The names of the oracles, known here so that scenario files can be checked without the oracles.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A judge. Each lives in one file of `oracle`, or of `engine::metamorphic` if it compares runs, and says there what it
/// does not cover.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OracleName {
    /// What the scenario's own `expect` says.
    Expectation,
    Overlap,
    Alignment,
    Contents,
    StreamOrder,
    Accounts,
    Peak,
    Isolation,
    Leak,
    Exhaustion,
    Limit,
    Growth,
    Refusal,
    Telemetry,
    Summary,
    PrivatePools,
    /// A call did not return before its deadline.
    Hang,
    /// The target's process died of a call, or no call can succeed in it any more.
    Crash,
    /// From here on: judges of two runs, of a sequence and of one that must come to the same.
    StreamNames,
    DeviceNames,
    WarmUp,
    SpareTrim,
    DeviceOrder,
    SizeBin,
}

impl OracleName {
    /// Those that judge steps, one file each.
    pub const ALL: &'static [OracleName] = &[
        OracleName::Expectation,
        OracleName::Overlap,
        OracleName::Alignment,
        OracleName::Contents,
        OracleName::StreamOrder,
        OracleName::Accounts,
        OracleName::Peak,
        OracleName::Isolation,
        OracleName::Leak,
        OracleName::Exhaustion,
        OracleName::Limit,
        OracleName::Growth,
        OracleName::Refusal,
        OracleName::Telemetry,
        OracleName::Summary,
        OracleName::PrivatePools,
        OracleName::StreamNames,
        OracleName::DeviceNames,
        OracleName::WarmUp,
        OracleName::SpareTrim,
        OracleName::DeviceOrder,
        OracleName::SizeBin,
    ];

    /// Those that compare two runs.
    pub const RELATIONS: [OracleName; 6] = [
        OracleName::StreamNames,
        OracleName::DeviceNames,
        OracleName::WarmUp,
        OracleName::SpareTrim,
        OracleName::DeviceOrder,
        OracleName::SizeBin,
    ];

    /// Whether it compares two runs instead of judging the steps of one.
    #[must_use]
    pub fn compares_runs(self) -> bool {
        OracleName::RELATIONS.contains(&self)
    }

    /// Those that watch the process of a target that has one of its own: always, whatever a scenario asks for.
    pub const WATCH: &'static [OracleName] = &[OracleName::Hang, OracleName::Crash];

    /// The name in scenario files and reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            OracleName::Expectation => "expectation",
            OracleName::Overlap => "overlap",
            OracleName::Alignment => "alignment",
            OracleName::Contents => "contents",
            OracleName::StreamOrder => "stream_order",
            OracleName::Accounts => "accounts",
            OracleName::Peak => "peak",
            OracleName::Isolation => "isolation",
            OracleName::Leak => "leak",
            OracleName::Exhaustion => "exhaustion",
            OracleName::Limit => "limit",
            OracleName::Growth => "growth",
            OracleName::Refusal => "refusal",
            OracleName::Telemetry => "telemetry",
            OracleName::Summary => "summary",
            OracleName::PrivatePools => "private_pools",
            OracleName::Hang => "hang",
            OracleName::Crash => "crash",
            OracleName::StreamNames => "stream_names",
            OracleName::DeviceNames => "device_names",
            OracleName::WarmUp => "warm_up",
            OracleName::SpareTrim => "spare_trim",
            OracleName::DeviceOrder => "device_order",
            OracleName::SizeBin => "size_bin",
        }
    }
}
