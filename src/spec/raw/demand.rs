//! What `must_reach` may hold: situations by name, and combinations of values as mappings.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use super::shape::{Either, Ordered};
use super::value::Scalar;
use crate::op::{Dimension, Milestone, Value};

/// A situation, or a combination.
pub type RawDemand = Either<Milestone, RawCombination>;

/// By dimension, a value or a list of those of which one is enough.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub struct RawCombination(pub Ordered<Either<Scalar, Vec<Scalar>>>);

impl JsonSchema for RawCombination {
    fn schema_name() -> Cow<'static, str> {
        "Combination".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let of = |dimension: Dimension| {
            let one = json_schema!({ "enum": dimension.values().map(Value::name).collect::<Vec<_>>() });
            json_schema!({
                "description": dimension.what(),
                "anyOf": [one, { "type": "array", "items": one, "minItems": 1 }]
            })
        };
        let properties: serde_json::Map<String, serde_json::Value> =
            Dimension::ALL.iter().map(|&d| (d.name().to_owned(), of(d).to_value())).collect();
        json_schema!({
            "description": "Values of a step's state that must have come together; of a list, one is enough",
            "type": "object", "properties": properties, "additionalProperties": false, "minProperties": 1
        })
    }
}
