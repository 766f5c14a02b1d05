//! The names of the oracles, known here so that scenario files can be checked without the oracles.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A judge. Each lives in one file of `oracle` and says there what it does not cover.
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
}

impl OracleName {
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
    ];

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
        }
    }
}
