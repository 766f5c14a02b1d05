//! The names of the oracles, known here so that scenario files can be checked without the oracles.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A judge. Those that judge steps have a file each in `oracle`, which says what they do not cover; those that compare two
/// runs are `engine::metamorphic`'s; a process that hangs or crashes is told by `engine::loss`; `engine::twin` compares
/// with the sound reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OracleName {
    /// What the scenario's own `expect` says.
    Expectation,
    /// Live blocks share no byte.
    Overlap,
    /// An address is a multiple of what the target promises.
    Alignment,
    /// A block's bytes are what was last written to it.
    Contents,
    /// Memory goes to another stream only after the work on it is done.
    StreamOrder,
    /// Statistics say what was asked for and given back, and agree with each other.
    Accounts,
    /// A peak is the highest value that was reached since it was reset.
    Peak,
    /// What is asked of one device changes no figure of another.
    Isolation,
    /// When all is freed, waited for and emptied, nothing is reserved.
    Leak,
    /// Memory is refused only when nothing fits, and an identical request right after is refused too.
    Exhaustion,
    /// The memory fraction is never exceeded.
    Limit,
    /// A request takes no more from the device than the contract says, and a steady cycle of requests comes to rest.
    Growth,
    /// What must be refused is, with the right class, and changes nothing; what must be served is.
    Refusal,
    /// The device's own figures move with what is reserved.
    Telemetry,
    /// The dictionary, the table and the snapshot that a user gets agree with the figures.
    Summary,
    /// Memory goes to the private pool that requests are redirected to, and stays there.
    PrivatePools,
    /// Emptying the cache gives back what nobody uses, on every device that lets it.
    Trim,
    /// The events that a target records tell what happened, once and in order.
    History,
    /// What is asked of the device makes sense to it.
    DeviceCalls,
    /// A call did not return before its deadline.
    Hang,
    /// The target's process died of a call, or no call can succeed in it any more.
    Crash,
    /// A call did not come to its end: the target panicked in the harness's own process.
    Panic,
    /// What the target answers and shows is what the policy that it claims would have come to, address by address.
    Exact,
    /// Compares two runs, as do all that follow: with streams renamed, the same comes of it.
    StreamNames,
    /// With devices of one size renamed.
    DeviceNames,
    /// After requests that were freed and emptied away again.
    WarmUp,
    /// With the cache emptied also where it holds nothing.
    SpareTrim,
    /// With the calls of one device before those of another.
    DeviceOrder,
    /// With other sizes of the same alignment unit.
    SizeBin,
    /// Without the calls that were refused.
    WithoutRefused,
}

impl OracleName {
    /// Those that a scenario can ask for: all that judge steps or compare runs.
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
        OracleName::Trim,
        OracleName::History,
        OracleName::DeviceCalls,
        OracleName::StreamNames,
        OracleName::DeviceNames,
        OracleName::WarmUp,
        OracleName::SpareTrim,
        OracleName::DeviceOrder,
        OracleName::SizeBin,
        OracleName::WithoutRefused,
    ];

    /// Those that compare two runs.
    pub const RELATIONS: [OracleName; 7] = [
        OracleName::StreamNames,
        OracleName::DeviceNames,
        OracleName::WarmUp,
        OracleName::SpareTrim,
        OracleName::DeviceOrder,
        OracleName::SizeBin,
        OracleName::WithoutRefused,
    ];

    /// Whether it compares two runs instead of judging the steps of one.
    #[must_use]
    pub fn compares_runs(self) -> bool {
        OracleName::RELATIONS.contains(&self)
    }

    /// Those that judge whatever a scenario asks for: whether calls return and the process lives, and the policy that a
    /// target claims.
    pub const WATCH: &'static [OracleName] =
        &[OracleName::Hang, OracleName::Crash, OracleName::Panic, OracleName::Exact];

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
            OracleName::Trim => "trim",
            OracleName::History => "history",
            OracleName::DeviceCalls => "device_calls",
            OracleName::Hang => "hang",
            OracleName::Crash => "crash",
            OracleName::Panic => "panic",
            OracleName::Exact => "exact",
            OracleName::StreamNames => "stream_names",
            OracleName::DeviceNames => "device_names",
            OracleName::WarmUp => "warm_up",
            OracleName::SpareTrim => "spare_trim",
            OracleName::DeviceOrder => "device_order",
            OracleName::SizeBin => "size_bin",
            OracleName::WithoutRefused => "without_refused",
        }
    }
}
