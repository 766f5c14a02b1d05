//! What a pickle held: values that point into arenas.

use std::collections::BTreeMap;
use std::rc::Rc;

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
            Value::List(_) => "a list",
            Value::Tuple(_) => "a tuple",
            Value::Dict(_) => "a dict",
            Value::Global(_) => "a type",
        }
    }
}

/// A pickle's contents. May hold cycles: whoever walks it goes by a schema.
#[derive(Debug)]
pub struct Document {
    pub(super) strings: Vec<Rc<str>>,
    pub(super) known: BTreeMap<Rc<str>, u32>,
    pub(super) sequences: Vec<Vec<Value>>,
    pub(super) dicts: Vec<Vec<(Value, Value)>>,
    pub(super) root: Value,
}

impl Document {
    pub(super) fn new() -> Self {
        Document {
            strings: Vec::new(),
            known: BTreeMap::new(),
            sequences: Vec::new(),
            dicts: Vec::new(),
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
    pub fn items(&self, value: Value) -> Option<&[Value]> {
        match value {
            Value::List(at) | Value::Tuple(at) => self.sequences.get(at as usize).map(Vec::as_slice),
            _ => None,
        }
    }

    /// The entries of a dict in order of insertion; of a key set twice, the later counts.
    #[must_use]
    pub fn entries(&self, value: Value) -> Option<&[(Value, Value)]> {
        match value {
            Value::Dict(at) => self.dicts.get(at as usize).map(Vec::as_slice),
            _ => None,
        }
    }
}
