//! Sizes and figures that are parts of a device: `25%` of what may be reserved on it at that step, `25% of device`.
//!
//! Decides how a part is written. What it comes to depends on the target, and is `workload`'s.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::Deserializer;

use super::value::{FromScalar, Quantity, Scalar, Size};
use crate::spec::error::Complaint;
use crate::spec::scenario::{Share, Whole};

/// A value of its own, or a part of a device.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum OrShare<T> {
    Is(T),
    Share(Share),
}

/// More than any step can mean.
const MOST_PERCENT: f64 = 1_000_000.0;

/// The part that a text is, if it is one.
fn share_of(text: &str) -> Option<Result<Share, Complaint>> {
    let (number, rest) = text.split_once('%')?;
    let bad = |problem: &str| {
        let complaint = Complaint::new(format!("`{text}` is not a part of a device: {problem}"));
        Some(Err(complaint.hint("write `25%`, of what may be reserved at that step, or `25% of device`")))
    };
    let of = match rest.split_whitespace().collect::<Vec<_>>().as_slice() {
        [] => Whole::Limit,
        ["of", "device"] => Whole::Device,
        _ => return bad("nothing follows but `of device`"),
    };
    match number.trim().parse::<f64>() {
        Ok(percent) if percent.abs() <= MOST_PERCENT => Some(Ok(Share { part: percent / 100.0, of })),
        _ => bad("a number stands before the `%`"),
    }
}

fn read<T: serde::de::DeserializeOwned>(scalar: &Scalar) -> Result<OrShare<T>, Complaint> {
    match scalar {
        Scalar::Text(text) => share_of(text).map_or_else(|| scalar.read().map(OrShare::Is), |s| s.map(OrShare::Share)),
        _ => scalar.read().map(OrShare::Is),
    }
}

/// Bytes asked for.
pub type Extent = OrShare<Size>;
/// What a figure is compared with.
pub type Figure = OrShare<Quantity>;

fn extent_of(scalar: &Scalar) -> Result<Extent, Complaint> {
    match read(scalar)? {
        OrShare::Share(share) if share.part <= 0.0 => Err(Complaint::new("a request is for a part above 0%")),
        extent => Ok(extent),
    }
}

impl<'de> Deserialize<'de> for Extent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer
            .deserialize_any(FromScalar("a size such as 512 or 64MiB, or a part such as 25%", |s| extent_of(&s)))
    }
}

impl<'de> Deserialize<'de> for Figure {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "a number, a size, a part such as 25%, or { at_least: ..., at_most: ... }";
        deserializer.deserialize_any(FromScalar(expected, |s| read(&s)))
    }
}

fn schema(of: &str, own: &Schema) -> Schema {
    let text = format!("{of}, or a part of a device: `25%` of what may be reserved on it, `25% of device`");
    json_schema!({ "description": text, "anyOf": [own, { "type": "string", "pattern": "^-?[0-9.]+%( of device)?$" }] })
}

impl JsonSchema for Extent {
    fn schema_name() -> Cow<'static, str> {
        "Extent".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        schema("Bytes", &generator.subschema_for::<Size>())
    }
}

impl JsonSchema for Figure {
    fn schema_name() -> Cow<'static, str> {
        "Figure".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        schema("A figure", &generator.subschema_for::<Quantity>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Scalar {
        Scalar::Text(text.to_owned())
    }

    #[test]
    fn parts_and_sizes_are_told_apart() {
        let share = |part, of| Ok(OrShare::Share(Share { part, of }));
        assert_eq!(extent_of(&text("62.5%")), share(0.625, Whole::Limit));
        assert_eq!(extent_of(&text("100 % of device")), share(1.0, Whole::Device));
        assert_eq!(extent_of(&text("64MiB")), Ok(OrShare::Is(Size(64 << 20))));
        let falls: Result<Figure, Complaint> = read(&text("-25%"));
        assert_eq!(falls, Ok(OrShare::Share(Share { part: -0.25, of: Whole::Limit })));
    }

    #[test]
    fn what_is_no_part_is_told_how_to_write_one() {
        for wrong in ["%", "x%", "5% of memory", "nan%", "1e9%", "0%", "-5%"] {
            assert!(extent_of(&text(wrong)).is_err(), "{wrong}");
        }
    }
}
