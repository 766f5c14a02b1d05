//! Pickles, as far as plain data goes: what Python's `pickle` writes for dicts, lists, tuples, strings and numbers.
//!
//! Decides which opcodes are data and which are refused. Never runs anything a pickle names, and knows
//! nothing of what the data means.
//!
//! Read, of protocols 0 to 5 (with the names of Python's `pickletools`):
//!
//! | what for | opcodes |
//! | --- | --- |
//! | frame of the whole | `PROTO FRAME STOP` |
//! | the stack | `MARK POP POP_MARK DUP` |
//! | what comes again | `MEMOIZE PUT BINPUT LONG_BINPUT GET BINGET LONG_BINGET` |
//! | plain values | `NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 LONG4 BINFLOAT INT LONG FLOAT` |
//! | strings and bytes | `STRING BINSTRING SHORT_BINSTRING UNICODE SHORT_BINUNICODE BINUNICODE BINUNICODE8 SHORT_BINBYTES BINBYTES BINBYTES8` |
//! | containers | `EMPTY_LIST APPEND APPENDS LIST EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_DICT SETITEM SETITEMS DICT` |
//! | `OrderedDict` and `defaultdict` alone | `GLOBAL STACK_GLOBAL REDUCE` |
//!
//! A hostile file costs no more than its size allows: values are indices into arenas (so that a value met
//! a million times is stored once, and depth costs no stack), cycles are refused, claimed lengths are held
//! against the budget before anything is read for them, and the budget grows with the file.

mod document;
mod machine;
mod named;
mod open;
#[cfg(test)]
mod tests;
mod text;
mod writer;

pub use document::{Document, Entries, Items, Value};
#[cfg(test)]
pub use machine::read;
pub use machine::read_telling;
pub use writer::Writer;

use crate::op::size::human;

/// Why a pickle could not be read.
#[derive(Debug, thiserror::Error)]
pub enum PickleError {
    #[error("byte {offset}: {source}")]
    Read { offset: u64, source: std::io::Error },
    #[error("the file is empty")]
    Empty,
    #[error("no pickle: it begins with {first:#04x}, and no pickle begins so")]
    NotAPickle { first: u8 },
    #[error("pickle protocol {version}; this program reads 0 to 5")]
    Protocol { version: u8 },
    #[error("the pickle ends in the middle, at byte {offset}")]
    Cut { offset: u64 },
    #[error("byte {offset}: opcode {code:#04x} is not one that plain data needs")]
    Opcode { offset: u64, code: u8 },
    #[error("byte {offset}: {name} would run code or reach outside the file; refused")]
    Code { offset: u64, name: &'static str },
    #[error("byte {offset}: the pickle names `{module}.{name}`; only plain data is read")]
    Global { offset: u64, module: String, name: String },
    #[error("byte {offset}: {what}")]
    Malformed { offset: u64, what: &'static str },
    #[error("byte {offset}: what it claims to hold takes over {}, more than a file of {} can hold honestly", human(*limit), human(*file))]
    Memory { offset: u64, limit: u64, file: u64 },
}

/// Memory that a pickle may take: what any file gets, and what a file gets for each of its bytes
/// (compressed, snapshots grow twentyfold to fortyfold, and some fivefold again as values).
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    file: u64,
    limit: u64,
    used: u64,
}

impl Budget {
    const BASE: u64 = 128 << 20;
    const BY_BYTE: u64 = 400;

    /// For a file of that many bytes, compressed if it is.
    #[must_use]
    pub fn for_file(bytes: u64) -> Self {
        Budget { file: bytes, limit: bytes.saturating_mul(Self::BY_BYTE).saturating_add(Self::BASE), used: 0 }
    }

    /// Takes `bytes` from what is left, for something met at `offset`.
    ///
    /// # Errors
    /// `Memory` if not that much is left.
    #[inline]
    pub fn charge(&mut self, bytes: u64, offset: u64) -> Result<(), PickleError> {
        self.used = self.used.saturating_add(bytes);
        self.check(0, offset)
    }

    /// What may still be taken.
    pub(super) fn left(&self) -> u64 {
        self.limit.saturating_sub(self.used)
    }

    /// As [`Budget::charge`] with `extra` on top, which is not kept.
    #[inline]
    pub(super) fn check(&self, extra: u64, offset: u64) -> Result<(), PickleError> {
        if self.used.saturating_add(extra) > self.limit {
            return Err(PickleError::Memory { offset, limit: self.limit, file: self.file });
        }
        Ok(())
    }
}
