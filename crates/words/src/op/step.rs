//! A sequence: the world it runs in, and its steps, each an operation and what must hold after it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::reply::RefusalClass;
use super::{BlockId, DeviceId, Op};

/// What a target is built with before a sequence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Setup {
    /// The capacity of each simulated device. A real device has the size it has.
    pub device_bytes: Vec<u64>,
    /// Streams a device has, the default one included.
    pub streams: u8,
    /// Settings that the allocator starts with, as PyTorch writes them; instead of those in the target's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<String>,
}

/// An operation, an expectation, or both.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// What is asked; without it, only the expectation is checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub op: Option<Op>,
    /// What must hold then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<Box<Expect>>,
}

impl From<Op> for Step {
    fn from(op: Op) -> Self {
        Step { op: Some(op), expect: None }
    }
}

/// A figure that must hold: exactly, or within bounds (both inclusive).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Amount {
    /// This figure.
    Exactly(i64),
    /// No less than one and no more than the other; one that is not given bounds nothing.
    Between {
        /// The least.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at_least: Option<i64>,
        /// The most.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at_most: Option<i64>,
    },
}

impl Amount {
    /// Whether the figure is as it must be.
    #[must_use]
    pub fn holds(&self, value: i64) -> bool {
        match *self {
            Amount::Exactly(expected) => value == expected,
            Amount::Between { at_least, at_most } => {
                at_least.is_none_or(|low| value >= low) && at_most.is_none_or(|high| value <= high)
            }
        }
    }

    /// `exactly 3`, `at least 1`, `between 1 and 5`.
    #[must_use]
    pub fn to_line(&self) -> String {
        match *self {
            Amount::Exactly(value) => format!("exactly {value}"),
            Amount::Between { at_least: Some(low), at_most: Some(high) } => format!("between {low} and {high}"),
            Amount::Between { at_least: Some(low), at_most: None } => format!("at least {low}"),
            Amount::Between { at_least: None, at_most: Some(high) } => format!("at most {high}"),
            Amount::Between { at_least: None, at_most: None } => "anything".to_owned(),
        }
    }
}

/// What an address must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AddressExpect {
    /// Address 0.
    Null,
    /// Any other.
    NotNull,
    /// Where that block is or was.
    SameAs(BlockId),
    /// Not where that block is or was.
    DifferentFrom(BlockId),
}

/// Figures of one device by statistics key; `free_bytes` is the device's own free figure.
pub type Figures = BTreeMap<String, Amount>;

/// What must hold after a step. Everything given must hold.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// The call is refused with this class. Without it, and with `succeeds`, it must not be refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<RefusalClass>,
    /// The call is served.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub succeeds: bool,
    /// Nothing observable differs from before the step.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unchanged: bool,
    /// What must be said of the address handed out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<AddressExpect>,
    /// What the fraction of each device reads back as, to within one byte of the device's memory.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fraction: BTreeMap<DeviceId, f64>,
    /// Figures as they stand after the step, by device.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub stats: BTreeMap<DeviceId, Figures>,
    /// How far figures moved in the step, by device.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub change: BTreeMap<DeviceId, Figures>,
    /// Parts of the refusal's message, or of the text that the call answered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contains: Vec<String>,
    /// What must not be part of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lacks: Vec<String>,
    /// How many entries the dictionary has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<usize>,
    /// How many segments the snapshot shows, by device.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub segments: BTreeMap<DeviceId, Amount>,
    /// How many bytes the snapshot shows in segments of private pools, by device.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub private_bytes: BTreeMap<DeviceId, Amount>,
    /// How many lines the text has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lines: Option<Amount>,
}
