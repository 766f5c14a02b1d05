//! What a step may expect, as written.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};

use super::{Either, Figure, Fraction, Name, Ordered, Slot, present};
use crate::op::RefusalClass;

/// What must hold after the step.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, expecting = "a mapping of expectations")]
pub struct RawExpect {
    /// The call is refused with this class.
    pub refused: Option<Slot<RefusalClass>>,
    /// The call is not refused.
    pub succeeds: bool,
    /// Nothing observable differs from before the step.
    pub unchanged: bool,
    /// What the address handed out must be.
    #[serde(deserialize_with = "present")]
    #[schemars(with = "Option<WrittenAddress>")]
    pub address: Option<WrittenAddress>,
    /// What the fraction reads back as: `{ device: 0, is: 0.5 }` or `{ 0: 0.5, 1: 1 }`.
    pub fraction: Ordered<Slot<Fraction>>,
    /// Figures after the step: `{ 0: { allocation.all.current: 1 } }`.
    pub stats: Ordered<Ordered<RawAmount>>,
    /// How far figures moved in the step, by device like `stats`.
    pub change: Ordered<Ordered<RawAmount>>,
    /// Parts of the refusal's message, or of the text that the call answered.
    pub contains: Vec<String>,
    /// What must not be part of them.
    pub lacks: Vec<String>,
    /// How many entries the dictionary has.
    pub keys: Option<usize>,
    /// How many segments the snapshot shows, by device.
    pub segments: Ordered<RawAmount>,
    /// How many bytes the snapshot shows in segments of private pools, by device.
    pub private_bytes: Ordered<RawAmount>,
    /// How many lines the text has.
    pub lines: Option<RawAmount>,
}

/// A figure: exactly, or within bounds.
pub type RawAmount = Either<Slot<Figure>, Bounds>;

/// Bounds of a figure, both inclusive.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "{ at_least: ..., at_most: ... }")]
pub struct Bounds {
    #[serde(default)]
    pub at_least: Option<Slot<Figure>>,
    #[serde(default)]
    pub at_most: Option<Slot<Figure>>,
}

/// `null`, `not_null`, or a comparison with a block's address.
pub type WrittenAddress = Either<AddressWord, RawAddress>;

/// An address by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressWord {
    Null,
    NotNull,
}

struct AddressWordVisitor;

impl Visitor<'_> for AddressWordVisitor {
    type Value = AddressWord;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("null, not_null, { same_as: block } or { different_from: block }")
    }

    fn visit_unit<E: Error>(self) -> Result<AddressWord, E> {
        Ok(AddressWord::Null)
    }

    fn visit_str<E: Error>(self, word: &str) -> Result<AddressWord, E> {
        match word {
            "null" => Ok(AddressWord::Null),
            "not_null" => Ok(AddressWord::NotNull),
            _ => Err(E::unknown_variant(word, &["null", "not_null"])),
        }
    }
}

impl<'de> Deserialize<'de> for AddressWord {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AddressWordVisitor)
    }
}

impl JsonSchema for AddressWord {
    fn schema_name() -> Cow<'static, str> {
        "AddressWord".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "enum": [null, "not_null"] })
    }
}

/// An address compared with where a block is or was.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "{ same_as: block } or { different_from: block }")]
pub struct RawAddress {
    #[serde(default)]
    pub same_as: Option<Name>,
    #[serde(default)]
    pub different_from: Option<Name>,
}
