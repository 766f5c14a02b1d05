//! The YAML of a scenario as types: what may be written where, and the source of the published schema.
//!
//! Decides keys and the form of single values. Does not decide what makes sense together (`lower`).

pub mod demand;
pub mod expect;
pub mod generate;
pub mod pool;
pub mod shape;
pub mod share;
pub mod step;
pub mod value;

use std::borrow::Cow;
use std::collections::BTreeSet;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::Deserializer;

pub use demand::{RawCombination, RawDemand};
pub use expect::{RawAmount, RawExpect, WrittenAddress};
pub use generate::{RawGenerate, RawSize, RawWorld};
pub use shape::{Either, Ordered, Slot};
pub use share::{Extent, Figure, OrShare};
pub use step::{RawOp, RawPointer, RawStep, WrittenPointer};
pub use value::{Every, Fraction, Name, Scalar, Size, Span, Weight};

use value::FromScalar;

use super::error::{Complaint, nearest};
use crate::op::contract::UnknownCapability;
use crate::op::{Capability, OracleName, Text};
use crate::requirement::{self, RequirementId, Severity};

/// One YAML document: a scenario.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a scenario: a mapping that begins with `scenario: its-name`")]
#[schemars(title = "poolproof scenario")]
pub struct RawScenario {
    /// Its name in kebab-case. With the area of the requirement in front it is the id: `frac::out-of-range`.
    pub scenario: String,
    /// The promise that it tests, for example `FRAC-02`.
    pub requirement: RawRequirement,
    /// What it tests, in both report languages.
    pub title: Text,
    /// How bad a violation is, where that is worse than what breaking the promise always is. Left out otherwise.
    #[serde(default)]
    pub severity: Option<Severity>,
    /// What fixing such a finding usually costs, in person-days.
    pub effort_days: f64,
    /// What a target must be able to do; one that lacks any of it is reported as not applicable.
    #[serde(default)]
    pub requires: Vec<RawCapability>,
    /// How many devices: a number, or a range that worlds take turns over. 1 unless given.
    #[serde(default)]
    pub devices: Option<Span>,
    /// The capacity of the simulated devices, in turn: one size or a list. 1GiB, 512MiB, 2GiB, 256MiB unless given.
    #[serde(default)]
    pub device_bytes: Option<Either<Size, Vec<Size>>>,
    /// Streams of a device, the default stream included. 4 unless given.
    #[serde(default)]
    pub streams: Option<u8>,
    /// Settings that the allocator starts with, as PyTorch writes them: `expandable_segments:True`.
    #[serde(default)]
    pub config: Option<String>,
    /// Figures in the steps hold only in the world asked for: devices of those sizes, no limit on them, segments of 20 MiB
    /// and whole pieces of 2 MiB. Elsewhere the scenario does not apply. False unless given.
    #[serde(default)]
    pub exact_world: Option<bool>,
    /// Who judges: `all`, which is the default, or a list.
    #[serde(default)]
    pub oracles: Option<Either<AllWord, BTreeSet<OracleName>>>,
    /// Situations that must have occurred, and values of a step's state that must have come together; otherwise the outcome
    /// is inconclusive.
    #[serde(default)]
    pub must_reach: Vec<RawDemand>,
    /// Whether everything is freed, waited for and emptied after each sequence. True unless given.
    #[serde(default)]
    pub epilogue: Option<bool>,
    /// Values for `$variables` in the steps: one variant for each combination.
    #[serde(default)]
    pub for_each: Option<Ordered<Vec<Scalar>>>,
    /// Explicit operations and what must hold after each.
    #[serde(default)]
    pub steps: Option<Vec<RawStep>>,
    /// What kind of sequences to draw.
    #[serde(default)]
    pub generate: Option<RawGenerate>,
}

/// The word `all`.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AllWord {
    All,
}

/// A requirement by id.
#[derive(Debug, Clone, Copy)]
pub struct RawRequirement(pub RequirementId);

fn requirement_of(scalar: &Scalar) -> Result<RawRequirement, Complaint> {
    let text = scalar.to_string();
    text.parse().map(RawRequirement).map_err(|_| {
        let ids: Vec<String> = requirement::ALL.iter().map(|r| r.id.to_string()).collect();
        let area = text.split('-').next().unwrap_or_default().to_uppercase();
        let same = ids.iter().map(String::as_str).filter(|id| id.split('-').next() == Some(&area));
        let same = same.collect::<Vec<&str>>().join(", ");
        let hint = Some(format!("{area} has {same}")).filter(|_| !same.is_empty());
        let hint = hint.or_else(|| nearest(&text.to_uppercase(), ids.iter().map(String::as_str)));
        let hint = hint.unwrap_or_else(|| "`poolproof list requirements` shows them all".to_owned());
        Complaint::new(format!("there is no requirement `{text}`")).hint(hint)
    })
}

impl<'de> Deserialize<'de> for RawRequirement {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FromScalar("the id of a requirement", |scalar| requirement_of(&scalar)))
    }
}

impl JsonSchema for RawRequirement {
    fn schema_name() -> Cow<'static, str> {
        "Requirement".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        RequirementId::json_schema(generator)
    }
}

/// A capability by name.
#[derive(Debug, Clone, Copy)]
pub struct RawCapability(pub Capability);

fn capability_of(scalar: &Scalar) -> Result<RawCapability, Complaint> {
    let text = scalar.to_string();
    text.parse().map(RawCapability).map_err(|e: UnknownCapability| {
        let names = Capability::names();
        let listed = format!("one of {}", names.join(", "));
        Complaint::new(e.to_string()).hint(listed).near(&text, names.iter().map(String::as_str))
    })
}

impl<'de> Deserialize<'de> for RawCapability {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FromScalar("a capability", |scalar| capability_of(&scalar)))
    }
}

impl JsonSchema for RawCapability {
    fn schema_name() -> Cow<'static, str> {
        "Capability".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "enum": Capability::names() })
    }
}

/// Reads a field that is there even where its value is null: `snapshot:` and `address: null` mean something.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}
