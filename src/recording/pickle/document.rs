//! What a pickle held: values that point into arenas.
//!
//! Decides what is kept of a container once it is put into another: its values, packed into a word each, and of equal
//! ones that come soon after each other one alone. A trace of millions of events repeats its stacks.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::rc::Rc;

use rustc_hash::FxHasher;

/// A global that is read as data: where it is called, a plain dict stands instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plain {
    OrderedDict,
    DefaultDict,
    /// What a `defaultdict` makes its missing values with; never called.
    Factory,
}

/// One value. Containers and strings are kept in the [`Document`], shared by all that refer to them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value {
    None,
    Bool(bool),
    Int(i64),
    /// An integer of more than 64 bits.
    Huge,
    Float(f64),
    Str(u32),
    /// Bytes; what they were is not kept.
    Bytes,
    List(u32),
    Tuple(u32),
    Dict(u32),
    Global(Plain),
    /// A list or dict that is being filled; there is none in a document that was read.
    Open(u32),
}

impl Value {
    /// Two's complement, the least byte first.
    pub(super) fn integer(bytes: &[u8]) -> Value {
        let Some(&last) = bytes.last() else { return Value::Int(0) };
        let fill = if last >= 0x80 { 0xff } else { 0 };
        let (low, high) = bytes.split_at(bytes.len().min(8));
        let mut whole = [fill; 8];
        whole[..low.len()].copy_from_slice(low);
        let value = i64::from_le_bytes(whole);
        let fits = high.iter().all(|&b| b == fill) && (value < 0) == (fill != 0);
        if fits { Value::Int(value) } else { Value::Huge }
    }

    /// What it is, in Python's words.
    #[must_use]
    pub fn kind(self) -> &'static str {
        match self {
            Value::None => "None",
            Value::Bool(_) => "a bool",
            Value::Int(_) => "an int",
            Value::Huge => "an int of more than 64 bits",
            Value::Float(_) => "a float",
            Value::Str(_) => "a str",
            Value::Bytes => "bytes",
            Value::List(_) | Value::Open(_) => "a list",
            Value::Tuple(_) => "a tuple",
            Value::Dict(_) => "a dict",
            Value::Global(_) => "a type",
        }
    }
}

/// A value in a word: what it is in the lowest bits, above them a number or a place.
pub(super) type Word = u64;

const TAG_BITS: u32 = 4;

/// A container that is complete.
#[derive(Debug, Clone, Copy)]
struct Closed {
    /// Where its values begin; they end where those of the next one begin.
    start: u32,
    /// The sequence that the keys are; of a list or tuple [`SEQUENCE`].
    keys: u32,
}

const SEQUENCE: u32 = u32::MAX;

/// So many containers are remembered, so that equal ones that follow are the same; a power of two.
const RECENT: usize = 1 << 18;
/// Each hash has room for so many.
const WAYS: usize = 4;
/// Longer ones are not looked for again.
const LONGEST: usize = 1024;

/// A pickle's contents. Without cycles: what is put into a container is complete.
#[derive(Debug)]
pub struct Document {
    pub(super) strings: Vec<Rc<str>>,
    pub(super) known: BTreeMap<Rc<str>, u32>,
    words: Vec<Word>,
    closed: Vec<Closed>,
    /// Numbers that do not fit into a word beside the tag.
    wide: Vec<u64>,
    /// By the hash of its contents: a container that was closed lately, and whether an equal one came since.
    recent: Vec<(u32, bool)>,
    pub(super) root: Value,
}

impl Document {
    pub(super) fn new() -> Self {
        Document {
            strings: Vec::new(),
            known: BTreeMap::new(),
            words: Vec::new(),
            closed: Vec::new(),
            wide: Vec::new(),
            recent: Vec::new(),
            root: Value::None,
        }
    }

    #[must_use]
    pub fn root(&self) -> Value {
        self.root
    }

    /// The text of a string.
    #[must_use]
    pub fn text(&self, value: Value) -> Option<&str> {
        match value {
            Value::Str(at) => self.strings.get(at as usize).map(|s| &**s),
            _ => None,
        }
    }

    /// The items of a list or tuple.
    #[must_use]
    pub fn items(&self, value: Value) -> Option<Items<'_>> {
        match value {
            Value::List(at) | Value::Tuple(at) => Some(self.sequence(at)),
            _ => None,
        }
    }

    /// The entries of a dict in order of insertion; of a key set twice, the later counts.
    #[must_use]
    pub fn entries(&self, value: Value) -> Option<Entries<'_>> {
        let Value::Dict(at) = value else { return None };
        let keys = self.closed.get(at as usize)?.keys;
        Some(Entries { keys: self.sequence(keys), values: self.sequence(at) })
    }

    /// Values kept in containers, all told.
    #[cfg(test)]
    pub(super) fn words(&self) -> usize {
        self.words.len()
    }

    fn sequence(&self, at: u32) -> Items<'_> {
        let place = |at: usize| self.closed.get(at).map_or(self.words.len(), |closed| closed.start as usize);
        let at = at as usize;
        Items { document: self, words: self.words.get(place(at)..place(at + 1)).unwrap_or_default() }
    }

    /// Keeps the values of a list or tuple; `None` if there are more than can be numbered.
    pub(super) fn close(&mut self, items: &[Value]) -> Option<u32> {
        let start = self.words.len();
        for &item in items {
            let word = self.word(item)?;
            self.words.push(word);
        }
        self.closed_from(start, SEQUENCE)
    }

    /// Keeps the keys and values of a dict, which are given in turn.
    pub(super) fn close_dict(&mut self, items: &[Value]) -> Option<u32> {
        let start = self.words.len();
        for &key in items.iter().step_by(2) {
            let word = self.word(key)?;
            self.words.push(word);
        }
        let keys = self.closed_from(start, SEQUENCE)?;
        let start = self.words.len();
        for &value in items.iter().skip(1).step_by(2) {
            let word = self.word(value)?;
            self.words.push(word);
        }
        self.closed_from(start, keys)
    }

    /// The container whose values were put at the end: that one, or one that is equal.
    fn closed_from(&mut self, start: usize, keys: u32) -> Option<u32> {
        let next = u32::try_from(self.closed.len()).ok().filter(|&next| next < SEQUENCE)?;
        let closed = Closed { start: u32::try_from(start).ok()?, keys };
        if self.words.len() - start > LONGEST {
            self.closed.push(closed);
            return Some(next);
        }
        let mut hasher = FxHasher::default();
        (keys, &self.words[start..]).hash(&mut hasher);
        let hash = hasher.finish();
        if self.recent.is_empty() {
            self.recent = vec![(SEQUENCE, false); RECENT];
        }
        #[expect(clippy::cast_possible_truncation, reason = "any bits of it will do")]
        let bucket = (hash ^ (hash >> 32)) as usize % (RECENT / WAYS) * WAYS;
        let equal = (bucket..bucket + WAYS).find(|&slot| self.is_equal(self.recent[slot].0, start, keys));
        if let Some(slot) = equal {
            self.words.truncate(start);
            self.recent[slot].1 = true;
            return Some(self.recent[slot].0);
        }
        self.closed.push(closed);
        // What repeats stays; what came once makes room.
        let bucket = &mut self.recent[bucket..bucket + WAYS];
        match bucket.iter_mut().find(|(_, is_wanted)| !is_wanted) {
            Some(slot) => *slot = (next, false),
            None => bucket.iter_mut().for_each(|slot| slot.1 = false),
        }
        Some(next)
    }

    /// Whether a container that was closed holds what was put from `start` on.
    fn is_equal(&self, at: u32, start: usize, keys: u32) -> bool {
        let Some(closed) = self.closed.get(at as usize).filter(|closed| closed.keys == keys) else { return false };
        let end = self.closed.get(at as usize + 1).map_or(start, |next| next.start as usize);
        self.words.get(closed.start as usize..end) == self.words.get(start..)
    }

    /// Packs a value; `None` if there are more wide numbers than can be numbered.
    pub(super) fn word(&mut self, value: Value) -> Option<Word> {
        let at = |tag: Word, place: u32| Word::from(place) << TAG_BITS | tag;
        Some(match value {
            Value::None => 0,
            Value::Bool(is) => at(1, u32::from(is)),
            Value::Int(number) => {
                let shifted = number << TAG_BITS;
                if shifted >> TAG_BITS == number {
                    shifted.cast_unsigned() | 2
                } else {
                    at(3, self.wide(number.cast_unsigned())?)
                }
            }
            Value::Huge => 4,
            Value::Float(number) => at(5, self.wide(number.to_bits())?),
            Value::Str(place) => at(6, place),
            Value::Bytes => 7,
            Value::List(place) => at(8, place),
            Value::Tuple(place) => at(9, place),
            Value::Dict(place) => at(10, place),
            Value::Global(Plain::OrderedDict) => at(11, 0),
            Value::Global(Plain::DefaultDict) => at(11, 1),
            Value::Global(Plain::Factory) => at(11, 2),
            Value::Open(place) => at(12, place),
        })
    }

    fn wide(&mut self, bits: u64) -> Option<u32> {
        let place = u32::try_from(self.wide.len()).ok()?;
        self.wide.push(bits);
        Some(place)
    }

    /// A value as it was packed.
    pub(super) fn value(&self, word: Word) -> Value {
        let number = word >> TAG_BITS;
        let place = u32::try_from(number).unwrap_or(u32::MAX);
        let wide = || self.wide.get(place as usize).copied().unwrap_or_default();
        match word & ((1 << TAG_BITS) - 1) {
            1 => Value::Bool(number != 0),
            2 => Value::Int(word.cast_signed() >> TAG_BITS),
            3 => Value::Int(wide().cast_signed()),
            4 => Value::Huge,
            5 => Value::Float(f64::from_bits(wide())),
            6 => Value::Str(place),
            7 => Value::Bytes,
            8 => Value::List(place),
            9 => Value::Tuple(place),
            10 => Value::Dict(place),
            11 => Value::Global(match place {
                0 => Plain::OrderedDict,
                1 => Plain::DefaultDict,
                _ => Plain::Factory,
            }),
            12 => Value::Open(place),
            _ => Value::None,
        }
    }
}

/// The values of a list or tuple.
#[derive(Debug, Clone, Copy)]
pub struct Items<'d> {
    document: &'d Document,
    words: &'d [Word],
}

impl<'d> Items<'d> {
    #[must_use]
    pub fn len(&self) -> usize {
        self.words.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    #[must_use]
    pub fn get(&self, at: usize) -> Option<Value> {
        self.words.get(at).map(|&word| self.document.value(word))
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Value> + ExactSizeIterator + use<'d> {
        let document = self.document;
        self.words.iter().map(move |&word| document.value(word))
    }
}

/// The keys and values of a dict.
#[derive(Debug, Clone, Copy)]
pub struct Entries<'d> {
    keys: Items<'d>,
    values: Items<'d>,
}

impl<'d> Entries<'d> {
    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.values.len()
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (Value, Value)> + ExactSizeIterator + use<'d> {
        self.keys.iter().zip(self.values.iter())
    }

    /// The value of a key that is a string.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Value> {
        let document = self.keys.document;
        self.iter().rev().find(|&(key, _)| document.text(key) == Some(name)).map(|(_, value)| value)
    }
}
