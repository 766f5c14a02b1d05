//! What can be told of a document from its keys alone: what it is about, and on which lines a list's elements stand.
//!
//! Decides nothing about what the keys mean.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::locate::{KeyFinder, yaml};
use super::meter::Meter;

/// The line of each element of a list under a key of a document's mapping: that of the element's first key. One
/// reading for all of them; 0 for an element without keys.
pub(super) fn lines_of_elements(text: &str, key: &str) -> Vec<usize> {
    let meter = Meter::of(text);
    let mut lines = Vec::new();
    if let Some(document) = yaml(text).next() {
        // What is wrong with the document is told by whoever reads it for its meaning.
        let _ = Elements { key, lines: &mut lines }.deserialize(meter.read(document));
    }
    lines
}

/// Walks to the list of a key, and notes the line of each of its elements.
struct Elements<'l> {
    key: &'l str,
    lines: &'l mut Vec<usize>,
}

impl<'de> DeserializeSeed<'de> for Elements<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Elements<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mapping with a list")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(found) = map.next_key_seed(KeyFinder { wanted: self.key, is_last: false })? {
            if found {
                map.next_value_seed(Elements { key: self.key, lines: self.lines })?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(line) = seq.next_element_seed(FirstKey)? {
            self.lines.push(line);
        }
        Ok(())
    }
}

/// The line of a mapping's first key.
struct FirstKey;

impl<'de> DeserializeSeed<'de> for FirstKey {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<usize, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for FirstKey {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mapping")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<usize, A::Error> {
        // The key was read when its error was raised, and its value is next.
        let raised = map.next_key_seed(Raise);
        let line = raised.err().map_or(0, |e| line_in(&e.to_string()));
        if line > 0 {
            map.next_value::<IgnoredAny>()?;
        }
        while map.next_key::<IgnoredAny>()?.is_some() {
            map.next_value::<IgnoredAny>()?;
        }
        Ok(line)
    }
}

/// The line that the text of an error of the YAML library names; 0 if it names none.
fn line_in(text: &str) -> usize {
    let after = text.rsplit_once(" at line ").map(|(_, after)| after.split(' ').next().unwrap_or_default());
    after.and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// Fails at a key, which makes the library say where it stands.
struct Raise;

impl<'de> DeserializeSeed<'de> for Raise {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Raise {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        Err(E::custom("here"))
    }
}

/// Whether a document's mapping has one of the keys; `None` if it is no mapping.
pub(super) fn has_key(text: &str, wanted: &[&str]) -> Option<bool> {
    let document = yaml(text).next()?;
    HasKey { wanted }.deserialize(document).ok()
}

struct HasKey<'w> {
    wanted: &'w [&'w str],
}

impl<'de> DeserializeSeed<'de> for HasKey<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for HasKey<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mapping")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
        let mut has = false;
        while let Some(key) = map.next_key::<String>()? {
            has |= self.wanted.contains(&key.as_str());
            map.next_value::<IgnoredAny>()?;
        }
        Ok(has)
    }
}
