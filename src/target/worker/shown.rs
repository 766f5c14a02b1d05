//! What a worker says of its target and shows of its devices: as much as it has, the rest left out.
//!
//! Decides what an absent word means. Which answers make sense where is `told`'s.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use schemars::JsonSchema;
use serde::de::{Error, MapAccess, SeqAccess, Visitor, value::SeqAccessDeserializer};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::op::Growth;
use crate::op::reply::{FloatText, float_text};
use crate::op::stats::{Key, Row};
use crate::op::{Capability, Contract, DeviceInfo, DeviceView, NvmlView, Stats, TargetInfo};

/// Where a worker's blocks lie, and so who can write to them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MemoryKind {
    /// Addresses are only numbers: the harness keeps a record of what was written where.
    #[default]
    Addresses,
    /// In the memory of the process that answers: the harness writes and reads it there.
    Host,
}

/// What a worker says of its target when it opens it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Described {
    /// Its name as it was opened.
    #[serde(default)]
    pub name: String,
    /// By position; one of which nothing is said but its size will do.
    pub devices: Vec<DescribedDevice>,
    /// Streams a device has, the default one included.
    #[serde(default = "one")]
    pub streams: u8,
    /// What can be asked of it, or seen; words that nobody knows are passed over.
    #[serde(default)]
    pub capabilities: BTreeSet<String>,
    /// Where its blocks lie.
    #[serde(default)]
    pub memory: MemoryKind,
    /// The process that has the blocks in its memory, where it is not the one that was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// Nothing tells the allocator how large its devices are. What it serves beyond their size is given back at once and
    /// refused in its place, and nothing is asked about lack of memory.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unlimited: bool,
    /// Every address is a multiple of this; 1 where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alignment: Option<u64>,
    /// How much a request may take from the device; without it at most twice what it asks for, in
    /// pieces of 2 MiB, and 20 MiB for a small one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub growth: Option<Growth>,
    /// Segments are counted.
    #[serde(default)]
    pub counts_segments: bool,
    /// Tensor requests of this size or more never reach the allocator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tensor_limit: Option<u64>,
    /// Settings in force from the start, as PyTorch writes them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<String>,
    /// It may be asked what comes next before it has answered: it knows `ahead`, and what to pass over.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ahead: bool,
}

fn one() -> u8 {
    1
}

/// A device as a worker describes it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DescribedDevice {
    /// What it is called; its number where nothing is said.
    #[serde(default)]
    pub name: String,
    /// Its size in bytes.
    pub total_bytes: u64,
    /// What may be reserved on it from the start, where that is less.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_bytes: Option<u64>,
    /// What events and snapshots call its streams, by position, and what PyTorch's hash tables do; for a target that claims
    /// PyTorch's policy exactly.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub streams: Vec<(u64, u64)>,
}

impl Described {
    /// All that a target says of itself.
    #[must_use]
    pub fn whole(info: &TargetInfo) -> Self {
        let device = |d: &DeviceInfo| DescribedDevice {
            name: d.name.clone(),
            total_bytes: d.total_bytes,
            limit_bytes: d.limit_bytes,
            streams: Vec::new(),
        };
        Described {
            name: info.name.clone(),
            devices: info.devices.iter().map(device).collect(),
            streams: info.streams,
            capabilities: info.capabilities.iter().map(ToString::to_string).collect(),
            alignment: Some(info.contract.alignment),
            growth: Some(info.contract.growth),
            counts_segments: info.contract.counts_segments,
            tensor_limit: info.contract.tensor_limit,
            config: info.config.clone(),
            ..Described::default()
        }
    }

    /// The capabilities that exist, and the words that are none.
    #[must_use]
    pub fn known(&self) -> (BTreeSet<Capability>, Vec<&str>) {
        let (mut known, mut unknown) = (BTreeSet::new(), Vec::new());
        for word in &self.capabilities {
            match word.parse() {
                Ok(capability) => drop(known.insert(capability)),
                Err(_) => unknown.push(word.as_str()),
            }
        }
        (known, unknown)
    }

    /// The same as the harness goes by it.
    #[must_use]
    pub fn info(&self) -> TargetInfo {
        let device = |(at, d): (usize, &DescribedDevice)| DeviceInfo {
            name: if d.name.is_empty() { format!("device {at}") } else { d.name.clone() },
            total_bytes: d.total_bytes,
            limit_bytes: d.limit_bytes,
            taken_bytes: 0,
        };
        TargetInfo {
            name: self.name.clone(),
            devices: self.devices.iter().enumerate().map(device).collect(),
            streams: self.streams,
            capabilities: self.known().0,
            contract: Contract {
                alignment: self.alignment.unwrap_or(1).max(1),
                growth: self.growth.unwrap_or(Growth::USUAL),
                counts_segments: self.counts_segments,
                tensor_limit: self.tensor_limit,
            },
            config: self.config.clone(),
        }
    }
}

/// What is shown of a device; what is left out is as it was.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Shown {
    /// Statistics by name, or all of them in their order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stats: Option<Figures>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[expect(missing_docs, reason = "as in `DeviceView`, like the rest")]
    pub free_bytes: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[expect(missing_docs, reason = "as in `DeviceView`")]
    pub total_bytes: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[expect(missing_docs, reason = "as in `DeviceView`")]
    pub fraction: Option<Fraction>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[expect(missing_docs, reason = "as in `DeviceView`")]
    pub idle: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[expect(missing_docs, reason = "as in `DeviceView`")]
    pub faults_fired: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[expect(missing_docs, reason = "as in `DeviceView`")]
    pub crowded: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[expect(missing_docs, reason = "as in `DeviceView`")]
    pub nvml: Option<NvmlView>,
}

/// A float that may be NaN or infinite.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Fraction(
    #[serde(with = "float_text")]
    #[schemars(with = "FloatText")]
    pub f64,
);

impl Shown {
    /// All of a device.
    #[must_use]
    pub fn all(view: &DeviceView) -> Self {
        Shown {
            stats: Some(Figures::All(Box::new(view.stats))),
            free_bytes: Some(view.free_bytes),
            total_bytes: Some(view.total_bytes),
            fraction: Some(Fraction(view.fraction)),
            idle: Some(view.idle),
            faults_fired: Some(view.faults_fired),
            crowded: Some(view.crowded),
            nvml: view.nvml,
        }
    }

    /// Takes it over into what is known of the device.
    pub fn onto(&self, view: &mut DeviceView) {
        match &self.stats {
            None => {}
            Some(Figures::All(stats)) => view.stats = **stats,
            Some(Figures::Some(figures)) => figures.iter().for_each(|&(key, value)| view.stats.set(key, value)),
        }
        view.free_bytes = self.free_bytes.unwrap_or(view.free_bytes);
        view.total_bytes = self.total_bytes.unwrap_or(view.total_bytes);
        view.fraction = self.fraction.map_or(view.fraction, |Fraction(value)| value);
        view.idle = self.idle.unwrap_or(view.idle);
        view.faults_fired = self.faults_fired.unwrap_or(view.faults_fired);
        view.crowded = self.crowded.unwrap_or(view.crowded);
        view.nvml = self.nvml.or(view.nvml);
    }
}

/// Statistics: a list of all in their order, or an object of some by name (`allocated_bytes.all.current`, or
/// `allocated_bytes.current` for the same). Names that nobody knows are passed over.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "one of two ways to write them")]
pub enum Figures {
    All(Box<Stats>),
    Some(Vec<(Key, i64)>),
}

/// The statistic of that name, pools together where it names none.
#[must_use]
pub fn key(name: &str) -> Option<Key> {
    Key::parse(name).or_else(|| {
        let (family, column) = name.split_once('.')?;
        Key::parse(&format!("{family}.{}.{column}", Row::All.name()))
    })
}

impl Serialize for Figures {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Figures::All(stats) => stats.serialize(serializer),
            Figures::Some(figures) => {
                serializer.collect_map(figures.iter().map(|(key, value)| (key.to_string(), value)))
            }
        }
    }
}

impl<'de> Deserialize<'de> for Figures {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(EitherWay)
    }
}

struct EitherWay;

impl<'de> Visitor<'de> for EitherWay {
    type Value = Figures;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "statistics: an object of names and whole numbers, or a list of {}", Stats::KEYS)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Figures, A::Error> {
        Stats::deserialize(SeqAccessDeserializer::new(list)).map(|stats| Figures::All(Box::new(stats)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Figures, A::Error> {
        let mut figures = Vec::new();
        while let Some((name, value)) = map.next_entry::<Cow<'de, str>, i64>()? {
            figures.extend(key(&name).map(|key| (key, value)));
            if figures.len() > Stats::KEYS {
                return Err(A::Error::custom("a statistic is told more than once"));
            }
        }
        Ok(Figures::Some(figures))
    }
}

impl JsonSchema for Figures {
    fn schema_name() -> Cow<'static, str> {
        "Figures".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let all = generator.subschema_for::<Stats>();
        schemars::json_schema!({
            "description": "Some statistics by name, or all of them in their order",
            "anyOf": [{ "type": "object", "additionalProperties": { "type": "integer", "format": "int64" } }, all],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::Family;
    use crate::op::stats::Column;

    #[test]
    fn what_is_left_out_stays_as_it_was() {
        let mut view = DeviceView { free_bytes: 7, fraction: 0.5, ..DeviceView::default() };
        let text = r#"{"stats":{"allocated_bytes.current":512,"allocation.all.peak":3,"nonsense":1},"total_bytes":9}"#;
        let shown: Shown = serde_json::from_str(text).expect("well formed");
        shown.onto(&mut view);
        let figure = |family, column| view.stats.value(Key::Family(family, Row::All, column));
        assert_eq!(figure(Family::AllocatedBytes, Column::Current), 512);
        assert_eq!(figure(Family::Allocation, Column::Peak), 3);
        assert_eq!((view.free_bytes, view.total_bytes, view.fraction), (7, 9, 0.5));
    }

    #[test]
    fn all_of_a_device_comes_back() {
        let mut view = DeviceView { fraction: f64::NAN, idle: 5, crowded: true, ..DeviceView::default() };
        view.stats.set(Key::Family(Family::Active, Row::LargePool, Column::Freed), -4);
        let text = serde_json::to_string(&Shown::all(&view)).expect("numbers and words");
        let mut back = DeviceView::default();
        serde_json::from_str::<Shown>(&text).expect("as written").onto(&mut back);
        assert!(back.fraction.is_nan());
        back.fraction = 0.0;
        assert_eq!(back, DeviceView { fraction: 0.0, ..view });
    }

    #[test]
    fn a_description_may_be_short() {
        let text = r#"{"devices":[{"total_bytes":1024}],"capabilities":["streams","telepathy"],"colour":"red"}"#;
        let described: Described = serde_json::from_str(text).expect("enough");
        let info = described.info();
        assert_eq!((info.devices[0].name.as_str(), info.streams, info.contract.alignment), ("device 0", 1, 1));
        assert_eq!(info.contract.growth.at_most(100 << 20), 200 << 20);
        assert_eq!(described.known(), ([Capability::Streams].into(), vec!["telepathy"]));
    }
}
