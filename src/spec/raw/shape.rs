//! How single values combine: variables, two ways to write one thing, mappings in the order of the file.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{DeserializeOwned, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::value::{Scalar, visit_scalars};
use crate::spec::error::{Complaint, twice};

/// A value, or `$name` of a `for_each` variable that stands for one.
#[derive(Debug, Clone, PartialEq)]
pub enum Slot<T> {
    Is(T),
    Variable(String),
}

struct SlotVisitor<T>(PhantomData<T>);

impl<T: DeserializeOwned> SlotVisitor<T> {
    fn scalar<E: Error>(self, scalar: Scalar) -> Result<Slot<T>, E> {
        match &scalar {
            Scalar::Text(text) if text.starts_with('$') => Ok(Slot::Variable(text[1..].to_owned())),
            _ => scalar.read().map(Slot::Is).map_err(Complaint::raise),
        }
    }
}

impl<'de, T: DeserializeOwned> Visitor<'de> for SlotVisitor<T> {
    type Value = Slot<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a single value")
    }

    visit_scalars!();
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Slot<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SlotVisitor(PhantomData))
    }
}

impl<T: JsonSchema> JsonSchema for Slot<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("{}OrVariable", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let value = generator.subschema_for::<T>();
        json_schema!({ "anyOf": [value, { "type": "string", "pattern": "^\\$" }] })
    }
}

/// A scalar, or a mapping or list: two ways to write one thing.
#[derive(Debug, Clone, PartialEq)]
pub enum Either<S, C> {
    Scalar(S),
    Container(C),
}

struct EitherVisitor<S, C>(PhantomData<(S, C)>);

impl<S: DeserializeOwned, C> EitherVisitor<S, C> {
    fn scalar<E: Error>(self, scalar: Scalar) -> Result<Either<S, C>, E> {
        scalar.read().map(Either::Scalar).map_err(Complaint::raise)
    }
}

impl<'de, S: DeserializeOwned, C: Deserialize<'de>> Visitor<'de> for EitherVisitor<S, C> {
    type Value = Either<S, C>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    visit_scalars!();

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        C::deserialize(MapAccessDeserializer::new(map)).map(Either::Container)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
        C::deserialize(SeqAccessDeserializer::new(seq)).map(Either::Container)
    }
}

impl<'de, S: DeserializeOwned, C: Deserialize<'de>> Deserialize<'de> for Either<S, C> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(EitherVisitor(PhantomData))
    }
}

impl<S: JsonSchema, C: JsonSchema> JsonSchema for Either<S, C> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("{}Or{}", S::schema_name(), C::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let (scalar, container) = (generator.subschema_for::<S>(), generator.subschema_for::<C>());
        json_schema!({ "anyOf": [scalar, container] })
    }
}

/// A mapping in the order of the file, its keys as text. A key given twice is refused.
#[derive(Debug, Clone, PartialEq)]
pub struct Ordered<V>(pub Vec<(String, V)>);

impl<V> Default for Ordered<V> {
    fn default() -> Self {
        Ordered(Vec::new())
    }
}

struct OrderedVisitor<V>(PhantomData<V>);

impl<'de, V: Deserialize<'de>> Visitor<'de> for OrderedVisitor<V> {
    type Value = Ordered<V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mapping")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries: Vec<(String, V)> = Vec::new();
        let mut seen = BTreeSet::new();
        while let Some(key) = map.next_key::<Scalar>()? {
            let key = key.to_string();
            if !seen.insert(key.clone()) {
                return Err(twice(&key).raise());
            }
            entries.push((key, map.next_value()?));
        }
        Ok(Ordered(entries))
    }
}

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Ordered<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(OrderedVisitor(PhantomData))
    }
}

impl<V: JsonSchema> JsonSchema for Ordered<V> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("MapOf{}", V::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let value = generator.subschema_for::<V>();
        json_schema!({ "type": "object", "additionalProperties": value })
    }
}
