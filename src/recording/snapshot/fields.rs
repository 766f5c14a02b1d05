//! Fields of a snapshot's records by name and type, and where they stand.

use std::fmt;

use super::SnapshotError;
use crate::recording::pickle::{Document, Entries, Items, Value};

/// A dict with more fields than this is no record of a snapshot. Bounds what one look-up costs.
const MOST_FIELDS: usize = 64;
/// Statistics have 122 keys today.
const MOST_STATS: usize = 4096;

/// Where in the snapshot something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldPath {
    Top,
    Settings,
    Trace { device: usize },
    Event { device: usize, at: usize },
    Segment { index: usize },
    Block { segment: usize, at: usize },
    Stats { device: usize },
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FieldPath::Top => f.write_str("the snapshot"),
            FieldPath::Settings => f.write_str("allocator_settings"),
            FieldPath::Trace { device } => write!(f, "device_traces[{device}]"),
            FieldPath::Event { device, at } => write!(f, "device_traces[{device}][{at}]"),
            FieldPath::Segment { index } => write!(f, "segments[{index}]"),
            FieldPath::Block { segment, at } => write!(f, "segments[{segment}].blocks[{at}]"),
            FieldPath::Stats { device } => write!(f, "poolproof_stats[{device}]"),
        }
    }
}

/// A dict with string keys.
pub(super) struct Record<'d> {
    document: &'d Document,
    entries: Entries<'d>,
    place: FieldPath,
    file: &'d str,
}

impl<'d> Record<'d> {
    pub fn of(document: &'d Document, value: Value, place: FieldPath, file: &'d str) -> Result<Self, SnapshotError> {
        let Some(entries) = document.entries(value) else {
            let (found, wanted) = (value.kind().to_owned(), "a dict");
            return Err(SnapshotError::Wrong { file: file.to_owned(), place, field: "the whole", found, wanted });
        };
        let most = if matches!(place, FieldPath::Stats { .. }) { MOST_STATS } else { MOST_FIELDS };
        if entries.count() > most {
            return Err(SnapshotError::TooManyFields { file: file.to_owned(), place, found: entries.count(), most });
        }
        Ok(Record { document, entries, place, file })
    }

    /// How many fields are not among those known.
    pub fn unknown(&self, known: &[&str]) -> u64 {
        let name = |key| self.document.text(key);
        self.entries.iter().filter(|&(key, _)| name(key).is_none_or(|n| !known.contains(&n))).count() as u64
    }

    pub fn get(&self, field: &str) -> Option<Value> {
        self.entries.get(field)
    }

    fn need(&self, field: &'static str) -> Result<Value, SnapshotError> {
        let missing = || SnapshotError::Missing { file: self.file.to_owned(), place: self.place, field };
        self.get(field).ok_or_else(missing)
    }

    /// The error of a field that is not what it should be.
    pub fn wrong(&self, field: &'static str, wanted: &'static str) -> SnapshotError {
        let value = self.get(field).unwrap_or(Value::None);
        let found = match value {
            Value::Int(number) => number.to_string(),
            Value::Str(_) => {
                let text = self.document.text(value).unwrap_or_default();
                format!("`{}`", text.chars().take(60).collect::<String>().escape_debug())
            }
            other => other.kind().to_owned(),
        };
        SnapshotError::Wrong { file: self.file.to_owned(), place: self.place, field, found, wanted }
    }

    pub fn unsigned(&self, field: &'static str) -> Result<u64, SnapshotError> {
        let Value::Int(number) = self.need(field)? else { return Err(self.wrong(field, "an int of 0 or more")) };
        u64::try_from(number).map_err(|_| self.wrong(field, "an int of 0 or more"))
    }

    pub fn text(&self, field: &'static str) -> Result<&'d str, SnapshotError> {
        let value = self.need(field)?;
        self.document.text(value).ok_or_else(|| self.wrong(field, "a str"))
    }

    pub fn list(&self, field: &'static str) -> Result<Items<'d>, SnapshotError> {
        let value = self.need(field)?;
        self.document.items(value).ok_or_else(|| self.wrong(field, "a list"))
    }

    /// Two numbers; (0, 0) where an older PyTorch has no such field.
    pub fn pair(&self, field: &'static str) -> Result<(u64, u64), SnapshotError> {
        let Some(value) = self.get(field) else { return Ok((0, 0)) };
        let two = self.document.items(value).filter(|items| items.len() == 2);
        match two.and_then(|items| Some((items.get(0)?, items.get(1)?))) {
            Some((Value::Int(a), Value::Int(b))) => match (u64::try_from(a), u64::try_from(b)) {
                (Ok(a), Ok(b)) => Ok((a, b)),
                _ => Err(self.wrong(field, "two ints of 0 or more")),
            },
            _ => Err(self.wrong(field, "two ints of 0 or more")),
        }
    }

    /// Two numbers, if they are there and are such.
    pub fn optional_pair(&self, field: &'static str) -> Option<(u64, u64)> {
        self.get(field).and_then(|_| self.pair(field).ok())
    }

    pub fn optional_text(&self, field: &'static str) -> Result<Option<&'d str>, SnapshotError> {
        self.get(field).map(|_| self.text(field)).transpose()
    }

    pub fn optional_bool(&self, field: &'static str) -> Result<Option<bool>, SnapshotError> {
        match self.get(field) {
            None => Ok(None),
            Some(Value::Bool(is)) => Ok(Some(is)),
            Some(_) => Err(self.wrong(field, "a bool")),
        }
    }

    pub fn optional_int(&self, field: &'static str) -> Result<Option<i64>, SnapshotError> {
        match self.get(field) {
            None => Ok(None),
            Some(Value::Int(number)) => Ok(Some(number)),
            Some(_) => Err(self.wrong(field, "an int")),
        }
    }

    pub fn optional_float(&self, field: &'static str) -> Result<Option<f64>, SnapshotError> {
        match self.get(field) {
            None => Ok(None),
            Some(Value::Float(number)) => Ok(Some(number)),
            Some(Value::Int(0)) => Ok(Some(0.0)),
            Some(_) => Err(self.wrong(field, "a float")),
        }
    }

    /// The fields that are ints.
    pub fn named_ints(&self) -> impl Iterator<Item = (&'d str, i64)> {
        self.entries.iter().filter_map(|(key, value)| match (self.document.text(key), value) {
            (Some(name), Value::Int(number)) => Some((name, number)),
            _ => None,
        })
    }
}
