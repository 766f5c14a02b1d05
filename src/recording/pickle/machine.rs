//! The stack machine that a pickle is a program for, cut down to what makes data.

use std::collections::BTreeMap;
use std::io::{BufRead, Read};
use std::rc::Rc;

use super::document::{Document, Value, Word};
use super::open::Filling;
use super::{Budget, PickleError};

/// What a container costs empty, and what each value in it costs (vectors grow by doubling).
pub(super) const CONTAINER: u64 = 64;
const ITEM: u64 = 2 * size_of::<Value>() as u64;
/// What a string costs beside its text, twice indexed; what a memo entry costs.
const STRING: u64 = 96;
const MEMO: u64 = 48;
/// Whoever waits is told after so many bytes how far it is.
const TOLD_EVERY: u64 = 1 << 20;

/// Reads a pickle; what follows its end is not looked at.
///
/// # Errors
/// Anything but a pickle of plain data within the budget.
#[cfg(test)]
pub fn read(input: impl BufRead, budget: &mut Budget) -> Result<Document, PickleError> {
    read_telling(input, budget, &mut |_| {})
}

/// The same; `told` is given how many bytes were read, from time to time.
///
/// # Errors
/// Anything but a pickle of plain data within the budget.
pub fn read_telling(
    input: impl BufRead,
    budget: &mut Budget,
    told: &mut dyn FnMut(u64),
) -> Result<Document, PickleError> {
    let mut machine = Machine {
        input,
        offset: 0,
        start: 0,
        budget,
        stack: Vec::new(),
        marks: Vec::new(),
        memo: Vec::new(),
        stray: BTreeMap::new(),
        document: Document::new(),
        filling: Filling::default(),
        buffer: Vec::new(),
    };
    machine.header()?;
    let mut next = TOLD_EVERY;
    while !machine.step()? {
        if machine.offset >= next {
            told(machine.offset);
            next = machine.offset + TOLD_EVERY;
        }
    }
    Ok(machine.document)
}

pub(super) struct Machine<'b, R> {
    pub(super) input: R,
    /// Bytes read so far, and where the opcode at hand begins.
    pub(super) offset: u64,
    pub(super) start: u64,
    pub(super) budget: &'b mut Budget,
    pub(super) stack: Vec<Value>,
    marks: Vec<usize>,
    /// What was kept, by number; numbers that were left out at first are beside it.
    pub(super) memo: Vec<Word>,
    pub(super) stray: BTreeMap<u32, Word>,
    pub(super) document: Document,
    /// Lists and dicts that are not yet put into another.
    pub(super) filling: Filling,
    pub(super) buffer: Vec<u8>,
}

impl<R: BufRead> Machine<'_, R> {
    /// Protocols 0 and 1 say nothing of themselves: they begin with their first value.
    fn header(&mut self) -> Result<(), PickleError> {
        let first = match self.input.fill_buf() {
            Ok(bytes) => bytes.first().copied().ok_or(PickleError::Empty)?,
            Err(source) => return Err(self.unreadable(source)),
        };
        match first {
            0x80 => {
                self.byte()?;
                self.protocol()
            }
            b'(' | b']' | b'}' | b')' | b'c' | b'N' | b'I' | b'V' | b'S' | b'F' | b'L' => Ok(()),
            _ => Err(PickleError::NotAPickle { first }),
        }
    }

    fn protocol(&mut self) -> Result<(), PickleError> {
        let version = self.byte()?;
        if (2..=5).contains(&version) { Ok(()) } else { Err(PickleError::Protocol { version }) }
    }

    /// One opcode; `true` at the end.
    fn step(&mut self) -> Result<bool, PickleError> {
        self.start = self.offset;
        let code = self.byte()?;
        match code {
            0x80 => self.protocol()?,
            0x95 => self.skip_frame_length()?,
            b'.' => {
                let root = self.pop()?;
                self.document.root = self.whole(root)?;
                return Ok(true);
            }
            b'(' => {
                self.budget.check(self.standing() + 16, self.start)?;
                self.marks.push(self.stack.len());
            }
            b'0' => self.discard()?,
            b'1' => {
                let first = self.mark()?;
                self.stack.truncate(first);
            }
            b'2' => {
                let top = self.top()?;
                self.filling.share(top);
                self.push(top)?;
            }
            b'N' => self.push(Value::None)?,
            0x88 => self.push(Value::Bool(true))?,
            0x89 => self.push(Value::Bool(false))?,
            b'J' | b'K' | b'M' | b'G' | 0x8a | 0x8b => self.number(code)?,
            b'I' | b'L' | b'F' => self.number_in_text()?,
            0x8c | b'X' | 0x8d | b'C' | b'B' | 0x8e | b'U' | b'T' => self.string(code)?,
            b'V' | b'S' => self.string_in_text(code)?,
            0x94 | b'q' | b'r' | b'h' | b'j' | b'p' | b'g' => self.remember(code)?,
            b']' | b'l' | b')' | b't' | 0x85..=0x87 | b'}' | b'd' => self.container(code)?,
            b'a' | b'e' | b's' | b'u' => self.fill(code)?,
            b'c' | 0x93 => self.global(code)?,
            b'R' => self.reduce()?,
            _ => return Err(self.refused(code)),
        }
        Ok(false)
    }

    fn refused(&self, code: u8) -> PickleError {
        let name = match code {
            b'b' => "BUILD",
            b'i' => "INST",
            b'o' => "OBJ",
            0x81 => "NEWOBJ",
            0x92 => "NEWOBJ_EX",
            b'P' => "PERSID",
            b'Q' => "BINPERSID",
            0x82..=0x84 => "EXT",
            0x97 => "NEXT_BUFFER",
            _ => return PickleError::Opcode { offset: self.start, code },
        };
        PickleError::Code { offset: self.start, name }
    }

    fn number(&mut self, code: u8) -> Result<(), PickleError> {
        let value = match code {
            b'J' => Value::Int(i64::from(i32::from_le_bytes(self.array()?))),
            b'K' => Value::Int(i64::from(self.byte()?)),
            b'M' => Value::Int(i64::from(u16::from_le_bytes(self.array()?))),
            b'G' => Value::Float(f64::from_be_bytes(self.array()?)),
            _ => {
                let length = self.length(code == 0x8b)?;
                self.bytes(length)?;
                Value::integer(&self.buffer)
            }
        };
        self.push(value)
    }

    fn length(&mut self, four_bytes: bool) -> Result<u64, PickleError> {
        Ok(if four_bytes { u64::from(u32::from_le_bytes(self.array()?)) } else { u64::from(self.byte()?) })
    }

    fn string(&mut self, code: u8) -> Result<(), PickleError> {
        let length = match code {
            0x8d | 0x8e => u64::from_le_bytes(self.array()?),
            _ => self.length(matches!(code, b'X' | b'B' | b'T'))?,
        };
        self.bytes(length)?;
        if matches!(code, b'C' | b'B' | 0x8e) {
            return self.push(Value::Bytes);
        }
        let buffer = std::mem::take(&mut self.buffer);
        // Lone surrogates, which Python keeps where a file's name had bytes that are no text, are replaced.
        let pushed = self.push_text(&String::from_utf8_lossy(&buffer));
        self.buffer = buffer;
        pushed
    }

    pub(super) fn push_text(&mut self, text: &str) -> Result<(), PickleError> {
        if let Some(&at) = self.document.known.get(text) {
            return self.push(Value::Str(at));
        }
        self.budget.charge(STRING + text.len() as u64, self.start)?;
        let text: Rc<str> = text.into();
        let at = self.next(self.document.strings.len())?;
        self.document.strings.push(Rc::clone(&text));
        self.document.known.insert(text, at);
        self.push(Value::Str(at))
    }

    /// What is kept in the memo and taken from it.
    fn remember(&mut self, code: u8) -> Result<(), PickleError> {
        let index = match code {
            0x94 => self.next(self.memo.len() + self.stray.len())?,
            b'q' | b'h' => u32::from(self.byte()?),
            b'p' | b'g' => self.memo_in_text()?,
            _ => u32::from_le_bytes(self.array()?),
        };
        if matches!(code, b'h' | b'j' | b'g') {
            let known = self.memo.get(index as usize).or_else(|| self.stray.get(&index)).copied();
            let word = known.ok_or_else(|| self.malformed("it refers to something it has not said yet"))?;
            let value = self.document.value(word);
            self.filling.share(value);
            return self.push(value);
        }
        let value = self.top()?;
        self.filling.remember(value, index);
        let word = self.document.word(value).ok_or_else(|| self.too_many())?;
        match self.memo.get_mut(index as usize) {
            Some(known) => *known = word,
            None => {
                self.budget.charge(MEMO, self.start)?;
                if index as usize == self.memo.len() {
                    self.memo.push(word);
                } else {
                    self.stray.insert(index, word);
                }
            }
        }
        Ok(())
    }

    fn container(&mut self, code: u8) -> Result<(), PickleError> {
        let first = match code {
            b']' | b')' | b'}' => self.stack.len(),
            b'l' | b't' | b'd' => self.mark()?,
            _ => {
                let count = usize::from(code - 0x84);
                if self.stack.len() - self.floor() < count {
                    return Err(self.malformed("a tuple of more values than there are"));
                }
                self.stack.len() - count
            }
        };
        let count = self.stack.len() - first;
        self.budget.charge(CONTAINER + ITEM * count as u64, self.start)?;
        if matches!(code, b'}' | b'd') {
            return self.new_container(true, first);
        }
        if matches!(code, b']' | b'l') {
            return self.new_container(false, first);
        }
        self.make_whole(first)?;
        let at = self.document.close(&self.stack[first..]).ok_or_else(|| self.too_many())?;
        self.stack.truncate(first);
        self.push(Value::Tuple(at))
    }

    /// Values put into the list or dict below them.
    fn fill(&mut self, code: u8) -> Result<(), PickleError> {
        let first = match code {
            b'a' => self.stack.len().saturating_sub(1),
            b's' => self.stack.len().saturating_sub(2),
            _ => self.mark()?,
        };
        if first < self.floor() || first == self.stack.len() && matches!(code, b'a' | b's') {
            return Err(self.malformed("a value is missing"));
        }
        self.budget.charge(ITEM * (self.stack.len() - first) as u64, self.start)?;
        let under = self.stack[self.floor()..first].last().copied();
        let under = under.ok_or_else(|| self.malformed("a value is missing"))?;
        self.put(under, matches!(code, b's' | b'u'), first)
    }

    pub(super) fn malformed(&self, what: &'static str) -> PickleError {
        PickleError::Malformed { offset: self.start, what }
    }

    pub(super) fn too_many(&self) -> PickleError {
        self.malformed("more values than can be numbered")
    }

    /// The index of what is put into an arena of that length.
    fn next(&self, length: usize) -> Result<u32, PickleError> {
        u32::try_from(length).map_err(|_| self.too_many())
    }

    /// Memory in the stack, which comes and goes.
    fn standing(&self) -> u64 {
        (self.stack.len() as u64) * ITEM + (self.marks.len() as u64) * 16
    }

    pub(super) fn push(&mut self, value: Value) -> Result<(), PickleError> {
        self.budget.check(self.standing(), self.start)?;
        self.stack.push(value);
        Ok(())
    }

    /// The stack below the innermost mark is not to be touched.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn top(&self) -> Result<Value, PickleError> {
        let above = self.stack.get(self.floor()..).and_then(<[Value]>::last);
        above.copied().ok_or_else(|| self.malformed("a value is missing"))
    }

    pub(super) fn pop(&mut self) -> Result<Value, PickleError> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    /// `POP`, which also takes a mark with nothing above it.
    fn discard(&mut self) -> Result<(), PickleError> {
        if self.marks.last() == Some(&self.stack.len()) {
            self.marks.pop();
            return Ok(());
        }
        self.pop().map(|_| ())
    }

    /// Takes the innermost mark; answers where the values above it begin.
    fn mark(&mut self) -> Result<usize, PickleError> {
        let mark = self.marks.pop().ok_or_else(|| self.malformed("a mark is missing"))?;
        Ok(mark.min(self.stack.len()))
    }

    fn skip_frame_length(&mut self) -> Result<(), PickleError> {
        self.array::<8>().map(|_| ())
    }

    pub(super) fn byte(&mut self) -> Result<u8, PickleError> {
        Ok(self.array::<1>()?[0])
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], PickleError> {
        let mut bytes = [0; N];
        self.input.read_exact(&mut bytes).map_err(|source| self.unreadable(source))?;
        self.offset += N as u64;
        Ok(bytes)
    }

    pub(super) fn unreadable(&self, source: std::io::Error) -> PickleError {
        match source.kind() {
            std::io::ErrorKind::UnexpectedEof => PickleError::Cut { offset: self.offset },
            _ => PickleError::Read { offset: self.offset, source },
        }
    }

    /// Reads `length` bytes into the buffer, if the budget has room for what is claimed.
    fn bytes(&mut self, length: u64) -> Result<(), PickleError> {
        self.budget.check(length.saturating_add(self.standing()), self.start)?;
        self.buffer.clear();
        let read = self.input.by_ref().take(length).read_to_end(&mut self.buffer);
        let read = read.map_err(|source| self.unreadable(source))? as u64;
        self.offset += read;
        if read < length {
            return Err(PickleError::Cut { offset: self.offset });
        }
        Ok(())
    }
}
