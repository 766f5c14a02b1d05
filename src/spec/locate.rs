//! Where in a file a key or an element stands.
//!
//! The YAML library gives places to errors only, so a place is found by reading the document again and
//! raising an error at the path. Costs another reading, paid only where something is wrong, and for few mistakes.

use std::collections::BTreeSet;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::meter::Meter;

/// The one door to the YAML reader: the documents of a text.
pub(super) fn yaml(text: &str) -> serde_yaml::Deserializer<'_> {
    #[cfg(test)]
    READ.with(|read| read.set(read.get() + text.len()));
    serde_yaml::Deserializer::from_str(text)
}

#[cfg(test)]
thread_local! {
    /// Bytes that this thread gave to the YAML reader, one reading after the other.
    pub(super) static READ: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// One step of the way to a value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Segment {
    Key(String),
    Index(usize),
}

/// The way to a value, built while walking down: each link borrows the one before.
#[derive(Debug, Clone, Copy)]
pub(super) struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    last: Link<'a>,
}

#[derive(Debug, Clone, Copy)]
enum Link<'a> {
    Root,
    Key(&'a str),
    Index(usize),
}

impl<'a> Path<'a> {
    pub(super) const ROOT: Path<'static> = Path { parent: None, last: Link::Root };

    pub(super) fn key(&'a self, key: &'a str) -> Path<'a> {
        Path { parent: Some(self), last: Link::Key(key) }
    }

    pub(super) fn index(&'a self, index: usize) -> Path<'a> {
        Path { parent: Some(self), last: Link::Index(index) }
    }

    pub(super) fn segments(&self) -> Vec<Segment> {
        let mut segments = self.parent.map_or_else(Vec::new, Path::segments);
        match self.last {
            Link::Root => {}
            Link::Key(key) => segments.push(Segment::Key(key.to_owned())),
            Link::Index(index) => segments.push(Segment::Index(index)),
        }
        segments
    }
}

/// Line and column of the key or element that a path ends in, or of what is nearest above it.
pub(super) fn locate(text: &str, path: &[Segment]) -> (usize, usize) {
    let Some(document) = yaml(text).next() else { return (1, 1) };
    let place = Finder { path }.deserialize(document).err().and_then(|e| e.location());
    place.map_or((1, 1), |at| (at.line(), at.column()))
}

/// Fails at the path's end, or at the deepest container on the way to it.
#[derive(Clone, Copy)]
struct Finder<'p> {
    path: &'p [Segment],
}

impl<'de> DeserializeSeed<'de> for Finder<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Finder<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the place sought")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        if let Some((Segment::Key(wanted), rest)) = self.path.split_first() {
            while let Some(found) = map.next_key_seed(KeyFinder { wanted, is_last: rest.is_empty() })? {
                if found {
                    map.next_value_seed(Finder { path: rest })?;
                } else {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Err(A::Error::custom("here"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        if let Some((Segment::Index(wanted), rest)) = self.path.split_first() {
            for _ in 0..*wanted {
                if seq.next_element::<IgnoredAny>()?.is_none() {
                    break;
                }
            }
            seq.next_element_seed(Finder { path: rest })?;
        }
        Err(A::Error::custom("here"))
    }
}

/// Tells whether a key is the one wanted, and fails there if the path ends in it.
pub(super) struct KeyFinder<'p> {
    pub(super) wanted: &'p str,
    pub(super) is_last: bool,
}

impl<'de> DeserializeSeed<'de> for KeyFinder<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeyFinder<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<bool, E> {
        if key == self.wanted && self.is_last { Err(E::custom("here")) } else { Ok(key == self.wanted) }
    }
}

/// Whether a document holds nothing at all.
pub(super) fn is_empty(document: serde_yaml::Deserializer<'_>) -> bool {
    Option::<IgnoredAny>::deserialize(document).is_ok_and(|value| value.is_none())
}

/// Whether a document is YAML at all, whatever it says.
pub(super) fn is_yaml(document: serde_yaml::Deserializer<'_>) -> bool {
    IgnoredAny::deserialize(document).is_ok()
}

/// Where a key stands that its mapping has already, if one does.
pub(super) fn duplicate(document: serde_yaml::Deserializer<'_>, text: &str) -> Option<(usize, usize)> {
    let meter = Meter::of(text);
    let error = Twice.deserialize(meter.read(document)).err()?;
    error.to_string().contains(TWICE).then(|| error.location())?.map(|at| (at.line(), at.column()))
}

const TWICE: &str = "given twice";

/// Walks through everything and fails at the first key that its mapping has already.
#[derive(Clone, Copy)]
struct Twice;

impl<'de> DeserializeSeed<'de> for Twice {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Twice {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = BTreeSet::new();
        while map.next_key_seed(NewKey { seen: &mut seen })?.is_some() {
            map.next_value_seed(Twice)?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(Twice)?.is_some() {}
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
}

/// Fails at a key that was seen before.
struct NewKey<'k> {
    seen: &'k mut BTreeSet<String>,
}

impl<'de> DeserializeSeed<'de> for NewKey<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for NewKey<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<(), E> {
        if self.seen.insert(key.to_owned()) { Ok(()) } else { Err(E::custom(TWICE)) }
    }
}
