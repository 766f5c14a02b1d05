//! The opcodes of protocols 0 and 1 whose operands are lines of text.
//!
//! Decides how numbers and strings are read from text, as Python writes them.

use std::io::{BufRead, Read};

use super::PickleError;
use super::document::Value;
use super::machine::Machine;

/// No number that a snapshot holds has as many digits.
const LONGEST_NUMBER: u64 = 64;

impl<R: BufRead> Machine<'_, R> {
    /// A line into the buffer, without its end.
    fn text_line(&mut self, most: u64) -> Result<(), PickleError> {
        self.buffer.clear();
        let read = self.input.by_ref().take(most).read_until(b'\n', &mut self.buffer);
        let read = read.map_err(|source| self.unreadable(source))? as u64;
        self.offset += read;
        if self.buffer.last() == Some(&b'\n') {
            self.buffer.pop();
            if self.buffer.last() == Some(&b'\r') {
                self.buffer.pop();
            }
            return Ok(());
        }
        Err(if read < most { PickleError::Cut { offset: self.offset } } else { self.malformed("a line without end") })
    }

    fn number_line(&mut self) -> Result<String, PickleError> {
        self.text_line(LONGEST_NUMBER)?;
        Ok(String::from_utf8_lossy(&self.buffer).trim().to_owned())
    }

    /// `INT`, `LONG` and `FLOAT`.
    pub(super) fn number_in_text(&mut self) -> Result<(), PickleError> {
        let text = self.number_line()?;
        let value = match text.as_str() {
            "00" => Value::Bool(false),
            "01" => Value::Bool(true),
            text => {
                let digits = text.strip_suffix('L').unwrap_or(text);
                let is_whole = digits.strip_prefix('-').unwrap_or(digits).bytes().all(|b| b.is_ascii_digit());
                match (digits.parse(), text.parse()) {
                    (Ok(number), _) => Value::Int(number),
                    (Err(_), _) if is_whole && !digits.is_empty() => Value::Huge,
                    (Err(_), Ok(number)) => Value::Float(number),
                    _ => return Err(self.malformed("a number that is none")),
                }
            }
        };
        self.push(value)
    }

    /// The number of what is kept in the memo or taken from it.
    pub(super) fn memo_in_text(&mut self) -> Result<u32, PickleError> {
        let text = self.number_line()?;
        text.parse().map_err(|_| self.malformed("the number of what is kept is none"))
    }

    /// `UNICODE` and `STRING`.
    pub(super) fn string_in_text(&mut self, code: u8) -> Result<(), PickleError> {
        let most = self.budget.left().saturating_add(1);
        self.text_line(most)?;
        let buffer = std::mem::take(&mut self.buffer);
        let text = if code == b'V' { raw_unicode(&buffer) } else { quoted(&buffer) };
        self.buffer = buffer;
        match text {
            Some(text) => self.push_text(&text),
            None => Err(self.malformed("a string without its quotes")),
        }
    }
}

/// Latin-1, with `\\uXXXX` and `\\UXXXXXXXX` for what that has not; a lone surrogate is replaced.
fn raw_unicode(bytes: &[u8]) -> Option<String> {
    let mut text = String::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&first, after)) = rest.split_first() {
        let digits = match (first, after.first()) {
            (b'\\', Some(b'u')) => 4,
            (b'\\', Some(b'U')) => 8,
            _ => 0,
        };
        let number = after.get(1..=digits).filter(|_| digits > 0).and_then(|d| std::str::from_utf8(d).ok());
        if let Some(number) = number.and_then(|d| u32::from_str_radix(d, 16).ok()) {
            text.push(char::from_u32(number).unwrap_or(char::REPLACEMENT_CHARACTER));
            rest = &after[1 + digits..];
        } else {
            text.push(char::from(first));
            rest = after;
        }
    }
    Some(text)
}

/// A string as Python 2 prints it: in quotes, with escapes.
fn quoted(bytes: &[u8]) -> Option<String> {
    let quote = *bytes.first().filter(|b| matches!(b, b'\'' | b'"'))?;
    let inside = bytes.get(1..)?.strip_suffix(&[quote])?;
    let mut plain = Vec::with_capacity(inside.len());
    let mut rest = inside;
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        if first != b'\\' {
            plain.push(first);
            continue;
        }
        let (&escaped, after) = rest.split_first()?;
        rest = after;
        match escaped {
            b'n' => plain.push(b'\n'),
            b't' => plain.push(b'\t'),
            b'r' => plain.push(b'\r'),
            b'x' => {
                let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
                plain.push(u8::from_str_radix(digits, 16).ok()?);
                rest = &rest[2..];
            }
            other => plain.push(other),
        }
    }
    Some(String::from_utf8_lossy(&plain).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_of_protocol_0_are_read_as_python_writes_them() {
        let raw = |bytes: &[u8]| raw_unicode(bytes).expect("it is text");
        assert_eq!(raw(b"a\\u000ab \\U0001f600 \xfc \\ud800 \\x \\u12"), "a\nb \u{1f600} ü \u{fffd} \\x \\u12");
        assert_eq!(quoted(b"'it\\'s\\n\\xc3\\xbc'").as_deref(), Some("it's\nü"));
        assert_eq!((quoted(b"'open"), quoted(b"bare"), quoted(b"'\\xz'")), (None, None, None));
    }
}
