//! Statistics as one line of numbers, for messages that carry them after every operation.
//!
//! Decides the order: that of `Key::all`. What a figure means is `stats`'.

use std::borrow::Cow;
use std::fmt;

use schemars::JsonSchema;
use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeSeq, Serializer};

use super::stats::{Key, Stats};

impl Serialize for Stats {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(Stats::KEYS))?;
        for (_, value) in self.entries() {
            list.serialize_element(&value)?;
        }
        list.end()
    }
}

impl<'de> Deserialize<'de> for Stats {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Figures)
    }
}

impl JsonSchema for Stats {
    fn schema_name() -> Cow<'static, str> {
        "Stats".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let names: Vec<String> = Key::all().map(|key| key.to_string()).collect();
        schemars::json_schema!({
            "description": format!("In this order: {}", names.join(", ")),
            "type": "array",
            "items": { "type": "integer", "format": "int64" },
            "minItems": Stats::KEYS,
            "maxItems": Stats::KEYS,
        })
    }
}

struct Figures;

impl<'de> Visitor<'de> for Figures {
    type Value = Stats;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of {} whole numbers", Stats::KEYS)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Stats, A::Error> {
        let mut stats = Stats::default();
        for (at, key) in Key::all().enumerate() {
            let value = list.next_element()?.ok_or_else(|| A::Error::invalid_length(at, &self))?;
            stats.set(key, value);
        }
        if list.next_element::<i64>()?.is_some() {
            return Err(A::Error::invalid_length(Stats::KEYS + 1, &self));
        }
        Ok(stats)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::{DeviceView, Observation, Reply};

    #[test]
    fn every_figure_comes_back() {
        let mut stats = Stats::default();
        for (value, key) in (-3_i64..).zip(Key::all()) {
            stats.set(key, value);
        }
        let view = DeviceView { stats, fraction: f64::NAN, ..DeviceView::default() };
        let text = serde_json::to_string(&Observation { devices: vec![view] }).expect("numbers and words");
        let back: Observation = serde_json::from_str(&text).expect("as written");
        assert_eq!(back.devices[0].stats, stats);
        assert!(back.devices[0].fraction.is_nan());
    }

    #[test]
    fn lists_of_another_length_are_refused() {
        for length in [0, Stats::KEYS - 1, Stats::KEYS + 1] {
            let text = serde_json::to_string(&vec![1; length]).expect("numbers");
            assert!(serde_json::from_str::<Stats>(&text).is_err(), "{length}");
        }
    }

    #[test]
    fn a_fraction_that_is_no_number_survives() {
        let text = serde_json::to_string(&Reply::Fraction(f64::NEG_INFINITY)).expect("a word");
        assert_eq!(text, r#"{"fraction":"-inf"}"#);
        assert_eq!(serde_json::from_str::<Reply>(&text).expect("as written"), Reply::Fraction(f64::NEG_INFINITY));
    }
}
