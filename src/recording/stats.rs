//! The statistics of a recording: only the keys that changed, by name.

use std::fmt;
use std::sync::LazyLock;

use rustc_hash::FxHashMap;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

use crate::op::Stats;
use crate::op::stats::Key;

/// Keys that changed on one device, and what they became.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StatsChange {
    pub changes: Vec<(Key, i64)>,
    /// Keys this program does not know (a newer PyTorch's), ignored.
    pub unknown: u32,
}

impl StatsChange {
    /// Adds a key by its name.
    pub fn push(&mut self, name: &str, value: i64) {
        match KEYS.get(name) {
            Some(&key) => self.changes.push((key, value)),
            None => self.unknown += 1,
        }
    }

    pub fn apply(&self, stats: &mut Stats) {
        for &(key, value) in &self.changes {
            stats.set(key, value);
        }
    }
}

static KEYS: LazyLock<FxHashMap<String, Key>> = LazyLock::new(|| Key::all().map(|k| (k.to_string(), k)).collect());

impl<'de> Deserialize<'de> for StatsChange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;

        impl<'de> Visitor<'de> for Keys {
            type Value = StatsChange;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("statistics by key")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<StatsChange, A::Error> {
                let mut change = StatsChange::default();
                while let Some(name) = map.next_key::<&str>()? {
                    if let Some(&key) = KEYS.get(name) {
                        change.changes.push((key, map.next_value()?));
                    } else {
                        map.next_value::<IgnoredAny>()?;
                        change.unknown += 1;
                    }
                }
                Ok(change)
            }
        }

        deserializer.deserialize_map(Keys)
    }
}
