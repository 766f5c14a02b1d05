//! What kind of sequences may be asked for, as written.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Either, Every, Fraction, Ordered, Size, Span, Weight};
use crate::op::DeviceCall;
use crate::spec::scenario::OpKind;

/// What kind of sequences to draw.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping that says what to draw")]
pub struct RawGenerate {
    /// `drawn`, or a mapping that says from what: each sequence has a world of its own, with devices, sizes, settings and
    /// phases. Worlds take turns over `devices` unless given.
    #[serde(default)]
    pub world: Option<Either<DrawnWord, RawWorld>>,
    /// How many sequences; 64 unless given. `PROPTEST_CASES` overrides.
    #[serde(default)]
    pub sequences: Option<u32>,
    /// Operations of a sequence: a number or a range.
    pub length: Span,
    /// Streams in use, the default stream included. 1 unless given.
    #[serde(default)]
    pub streams: Option<Span>,
    /// Threads that the calls come from. 1 unless given.
    #[serde(default)]
    pub callers: Option<Span>,
    /// A memory fraction is set at the start so that this many bytes are allowed on each device.
    #[serde(default)]
    pub limit_bytes: Option<Size>,
    /// How to draw sizes.
    #[serde(default)]
    pub sizes: Vec<RawSize>,
    /// Relative weights of the operations. Required, but in a drawn world: there every kind has a usual weight, and these
    /// come instead of it; 0 leaves a kind out.
    #[serde(default)]
    #[schemars(with = "BTreeMap<OpKind, Weight>")]
    pub weights: Ordered<Weight>,
    /// Device calls to fail.
    #[serde(default)]
    pub faults: Vec<RawFault>,
    /// Repeat one drawn round this many times; each round frees what it asked for. Plain sequences unless given.
    #[serde(default)]
    pub cycles: Option<u32>,
    /// Fractions that `set_fraction` draws from.
    #[serde(default)]
    pub fractions: Vec<Fraction>,
    /// Settings strings that `set_settings` draws from. Not in a drawn world, which draws its own.
    #[serde(default)]
    pub settings: Vec<String>,
}

/// The word `drawn`.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DrawnWord {
    Drawn,
}

/// From what worlds are drawn, besides `devices`, `streams` and `callers`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "`drawn`, or a mapping that says from what worlds are drawn")]
pub struct RawWorld {
    /// The smallest and the largest capacity of a device. 16MiB and 1TiB unless given.
    pub capacity: Option<[Size; 2]>,
    /// How many settings are in force together, on targets that take any. 0..3 unless given.
    pub settings: Option<Span>,
    /// How many private pools there are at a time at most. 1..64 unless given.
    pub pools: Option<Span>,
    /// How many phases a sequence has. 1..8 unless given.
    pub phases: Option<Span>,
}

/// A weighted way to draw sizes: exactly one of `log_uniform`, `around` and `exactly`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping with one of log_uniform, around and exactly")]
pub struct RawSize {
    /// 1 unless given.
    #[serde(default)]
    pub weight: Option<Weight>,
    /// Every order of magnitude between the two is equally likely.
    #[serde(default)]
    pub log_uniform: Option<[Size; 2]>,
    /// Near one of these.
    #[serde(default)]
    pub around: Option<Vec<Size>>,
    /// How near; 0 unless given.
    #[serde(default)]
    pub within: Option<Size>,
    /// One of these.
    #[serde(default)]
    pub exactly: Option<Vec<Size>>,
}

/// A device call to fail.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a fault such as { call: reserve, every: seeded }")]
pub struct RawFault {
    pub call: DeviceCall,
    /// `seeded`, or a number of calls.
    pub every: Every,
}
