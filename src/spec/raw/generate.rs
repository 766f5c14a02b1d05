//! What kind of sequences may be asked for, as written.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Every, Fraction, Ordered, Size, Span, Weight};
use crate::op::DeviceCall;
use crate::spec::scenario::OpKind;

/// What kind of sequences to draw.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping that says what to draw")]
pub struct RawGenerate {
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
    /// Relative weights of the operations.
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
