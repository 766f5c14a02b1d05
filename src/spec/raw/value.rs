//! The single values of scenario files: sizes, figures, fractions, weights, ranges, names.
//!
//! Each reads its YAML form and refuses the rest; the YAML library adds the place. Does not combine them (`shape`).

use std::borrow::Cow;
use std::fmt;
use std::ops::RangeInclusive;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::{BoolDeserializer, F64Deserializer, I64Deserializer, StringDeserializer, U64Deserializer};
use serde::de::{Deserializer, Error, IntoDeserializer, Visitor};
use serde::{Deserialize, de::DeserializeOwned};

use crate::op::size;
use crate::spec::error::Complaint;

/// A value that stands alone.
#[derive(Debug, Clone, PartialEq)]
pub enum Scalar {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(String),
}

impl Scalar {
    /// Reads it as a type, as if it had been written where the variable stands.
    pub(in crate::spec) fn read<T: DeserializeOwned>(&self) -> Result<T, Complaint> {
        type Failure = serde::de::value::Error;
        let result: Result<T, Failure> = match self.clone() {
            Scalar::Null => T::deserialize(().into_deserializer()),
            Scalar::Bool(value) => T::deserialize(BoolDeserializer::<Failure>::new(value)),
            Scalar::Unsigned(value) => T::deserialize(U64Deserializer::<Failure>::new(value)),
            Scalar::Signed(value) => T::deserialize(I64Deserializer::<Failure>::new(value)),
            Scalar::Float(value) => T::deserialize(F64Deserializer::<Failure>::new(value)),
            Scalar::Text(value) => T::deserialize(StringDeserializer::<Failure>::new(value)),
        };
        result.map_err(|e| Complaint::read(&e.to_string()))
    }
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scalar::Null => f.write_str("null"),
            Scalar::Bool(value) => value.fmt(f),
            Scalar::Unsigned(value) => value.fmt(f),
            Scalar::Signed(value) => value.fmt(f),
            Scalar::Float(value) => value.fmt(f),
            Scalar::Text(value) => f.write_str(value),
        }
    }
}

/// The visitor methods of a type that is built from any scalar by `Self::scalar`.
macro_rules! visit_scalars {
    () => {
        fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
            self.scalar(Scalar::Null)
        }
        fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
            self.scalar(Scalar::Bool(value))
        }
        fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
            self.scalar(Scalar::Unsigned(value))
        }
        fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
            self.scalar(if let Ok(v) = u64::try_from(value) { Scalar::Unsigned(v) } else { Scalar::Signed(value) })
        }
        fn visit_u128<E: Error>(self, value: u128) -> Result<Self::Value, E> {
            Err(Complaint::new(format!("`{value}` does not fit in 64 bits")).raise())
        }
        fn visit_i128<E: Error>(self, value: i128) -> Result<Self::Value, E> {
            Err(Complaint::new(format!("`{value}` does not fit in 64 bits")).raise())
        }
        fn visit_f64<E: Error>(self, value: f64) -> Result<Self::Value, E> {
            self.scalar(Scalar::Float(value))
        }
        fn visit_str<E: Error>(self, value: &str) -> Result<Self::Value, E> {
            self.scalar(Scalar::Text(value.to_owned()))
        }
    };
}

pub(super) use visit_scalars;

/// Builds a type from any scalar.
pub(super) struct FromScalar<T>(pub(super) &'static str, pub(super) fn(Scalar) -> Result<T, Complaint>);

impl<T> FromScalar<T> {
    fn scalar<E: Error>(self, scalar: Scalar) -> Result<T, E> {
        (self.1)(scalar).map_err(Complaint::raise)
    }
}

impl<'de, T> Visitor<'de> for FromScalar<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    visit_scalars!();
}

/// `Deserialize` and `JsonSchema` for a type read from a scalar.
macro_rules! from_scalar {
    ($type:ty, $expecting:literal, $read:expr, $schema:tt) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(FromScalar($expecting, $read))
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    };
}

from_scalar!(Scalar, "a single value", Ok, {
    "description": "A single value", "type": ["number", "string", "boolean"]
});

/// Bytes asked for: `512`, `64MiB`; a negative integer is the two's complement, so -1 is 2^64 - 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size(pub u64);

/// The size, or a complaint that proposes the binary unit where a decimal one was written.
fn size_of(text: &str) -> Result<u64, Complaint> {
    size::parse(text).map_err(|e| {
        let number: String = text.chars().take_while(|c| !c.is_ascii_alphabetic()).collect();
        let unit = text.chars().find(char::is_ascii_alphabetic).map(|c| c.to_ascii_uppercase());
        let better = unit.map(|u| format!("{}{u}iB", number.trim())).filter(|b| size::parse(b).is_ok());
        let complaint = Complaint::new(e.to_string());
        if let Some(better) = better { complaint.hint(format!("did you mean `{better}`?")) } else { complaint }
    })
}

from_scalar!(Size, "a size such as 512 or 64MiB", |scalar| match scalar {
    Scalar::Unsigned(value) => Ok(Size(value)),
    Scalar::Signed(value) => Ok(Size(value.cast_unsigned())),
    Scalar::Text(text) => size_of(&text).map(Size),
    other => Err(Complaint::new(format!("expected a size such as 512 or 64MiB, found `{other}`"))),
}, {
    "description": "Bytes: a number, or a number with B, KiB, MiB, GiB or TiB; -1 is 2^64 - 1",
    "anyOf": [{ "type": "integer" }, { "type": "string", "pattern": "^[0-9_.]+ ?(B|KiB|MiB|GiB|TiB)?$" }]
});

/// A figure to compare with: a number or a size, either with a sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quantity(pub i64);

from_scalar!(Quantity, "a number, a size, or { at_least: ..., at_most: ... }", |scalar| {
    let found = scalar.to_string();
    let narrow = |value: u64| i64::try_from(value).map_err(|_| Complaint::new(format!("`{value}` does not fit in a statistic")));
    match scalar {
        Scalar::Unsigned(value) => narrow(value).map(Quantity),
        Scalar::Signed(value) => Ok(Quantity(value)),
        Scalar::Text(text) => {
            let (sign, rest) = text.strip_prefix('-').map_or((1, text.as_str()), |rest| (-1, rest));
            narrow(size_of(rest)?).map(|v| Quantity(sign * v))
        }
        _ => Err(Complaint::new(format!("expected a number or a size, found `{found}`"))),
    }
}, {
    "description": "A number, or a size such as 64MiB; either may have a sign",
    "anyOf": [{ "type": "integer" }, { "type": "string" }]
});

/// A memory fraction as written: any number, `.nan` and `.inf` included.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fraction(pub f64);

#[expect(clippy::cast_precision_loss, reason = "nobody tests a fraction of 2^53")]
fn fraction_of(scalar: Scalar) -> Result<Fraction, Complaint> {
    match scalar {
        Scalar::Float(value) => Ok(Fraction(value)),
        Scalar::Unsigned(value) => Ok(Fraction(value as f64)),
        Scalar::Signed(value) => Ok(Fraction(value as f64)),
        other => Err(Complaint::new(format!("expected a number, .nan or .inf, found `{other}`"))),
    }
}

from_scalar!(Fraction, "a number, .nan or .inf", fraction_of, {
    "description": "A number; .nan, .inf and -.inf are numbers in YAML", "type": ["number", "string"]
});

/// A relative weight, in thousandths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Weight(pub u32);

from_scalar!(Weight, "a weight of 0 or more", |scalar| {
    let Fraction(value) = fraction_of(scalar)?;
    if value < 0.0 {
        return Err(Complaint::new(format!("weight {value} is negative")).hint("weights are 0 or more; 0 leaves it out"));
    }
    if value.is_nan() || value > 1e6 {
        return Err(Complaint::new(format!("weight {value} is not a number from 0 to 1000000")));
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked: 0 to 10^9")]
    Ok(Weight((value * 1000.0).round() as u32))
}, { "description": "A relative weight, 0 or more", "type": "number", "minimum": 0 });

/// One number, or `a..b` with both ends included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span(pub RangeInclusive<u32>);

from_scalar!(Span, "a number or a range such as 1..4", |scalar| {
    let found = scalar.to_string();
    let bad = || Complaint::new(format!("expected a number or a range such as 1..4, found `{found}`"));
    let (low, high) = match &scalar {
        Scalar::Unsigned(_) => (found.as_str(), found.as_str()),
        Scalar::Text(text) => text.split_once("..").ok_or_else(bad)?,
        _ => return Err(bad()),
    };
    let number = |text: &str| text.trim().trim_start_matches('=').parse::<u32>().map_err(|_| bad());
    let (low, high) = (number(low)?, number(high)?);
    if low > high {
        return Err(Complaint::new(format!("range {low}..{high} is empty")).hint(format!("did you mean `{high}..{low}`?")));
    }
    Ok(Span(low..=high))
}, {
    "description": "A number, or a range a..b with both ends included",
    "anyOf": [{ "type": "integer", "minimum": 0 }, { "type": "string", "pattern": "^[0-9]+\\.\\.[0-9]+$" }]
});

/// The name of a block: any word or number.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name(pub String);

from_scalar!(Name, "the name of a block", |scalar| match scalar {
    Scalar::Text(text) if text.is_empty() => Err(Complaint::new("a block needs a name")),
    Scalar::Null => Err(Complaint::new("a block needs a name")),
    other => Ok(Name(other.to_string())),
}, { "description": "The name of a block: any word or number", "type": ["string", "integer"] });

/// When a fault fires: `seeded` (at a drawn moment, `None`), or every so many calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Every(pub Option<u32>);

from_scalar!(Every, "`seeded` or a number of calls", |scalar| match scalar {
    Scalar::Text(word) if word == "seeded" => Ok(Every(None)),
    Scalar::Unsigned(calls @ 1..=0xffff_ffff) => Ok(Every(u32::try_from(calls).ok())),
    other => Err(Complaint::new(format!("expected `seeded` or a number of calls, 1 or more, found `{other}`"))),
}, {
    "description": "`seeded`, or every so many calls",
    "anyOf": [{ "const": "seeded" }, { "type": "integer", "minimum": 1 }]
});
