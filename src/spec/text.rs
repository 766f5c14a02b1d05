//! From the bytes of a file to the texts of its documents.
//!
//! Decides what is text that the YAML reader can be given: UTF-8 without control characters, not nested past all
//! sense, cut at the lines that part documents. Reads no YAML.
//!
//! Each document is read, and read again for the places of its mistakes, by itself: a file of many documents costs
//! what its length says.

use std::path::Path;

use super::error::{SpecError, thousands};
use crate::input::{self, Looks};

/// Larger scenario files are a mistake; one document of that size still fits in memory as YAML.
const MOST_BYTES: u64 = 64 << 20;
/// Brackets that may be open at once. The YAML reader's time grows with their square, and it refuses 128 levels.
const MOST_OPEN: usize = 4000;

/// Reads a file as text.
///
/// # Errors
/// A file that cannot be read, or that is no text; with the place, if it is text up to there.
pub(super) fn read(path: &Path) -> Result<String, SpecError> {
    let file = path.display().to_string();
    match input::read_up_to(path, MOST_BYTES) {
        Ok(bytes) => of_bytes(&file, bytes),
        Err(e) => Err(SpecError::of_file(&file, format!("cannot be read: {e}"))),
    }
}

/// The text, without a byte order mark.
fn of_bytes(file: &str, bytes: Vec<u8>) -> Result<String, SpecError> {
    let head = &bytes[..bytes.len().min(input::HEAD)];
    // Empty files and XML are left to the YAML reader, whose words fit them.
    let looks = input::looks(head).filter(|l| !matches!(l, Looks::Empty | Looks::Xml));
    if let Some(looks) = looks {
        let mut error = SpecError::of_file(file, format!("this is {}, and YAML is wanted", looks.name()));
        error.hint = looks.advice().map(str::to_owned);
        return Err(error);
    }
    let marked = bytes.len() - input::without_mark(&bytes).len();
    match String::from_utf8(bytes) {
        Ok(text) if marked == 0 => Ok(text),
        Ok(text) => Ok(text[marked..].to_owned()),
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            let bytes = error.into_bytes();
            let before = String::from_utf8_lossy(&bytes[marked.min(at)..at]).into_owned();
            let message = format!("byte {:#04x} is not UTF-8", bytes[at]);
            let hint = Some("save the file as UTF-8; other encodings (Latin-1, GBK) are not read".to_owned());
            let (line, column) = place(&before, before.len());
            Err(SpecError { file: file.to_owned(), line, column, message, hint })
        }
    }
}

/// Line and column of a place in a text, both from 1; columns count characters.
fn place(text: &str, at: usize) -> (usize, usize) {
    let before = &text[..at];
    let start = before.rfind('\n').map_or(0, |end| end + 1);
    (before.matches('\n').count() + 1, before[start..].chars().count() + 1)
}

/// One document of a file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Document<'t> {
    pub text: &'t str,
    /// Lines of the file before it.
    pub lines_before: usize,
}

/// The documents of a text, at least one. A line that begins with `---` begins one, wherever it stands: YAML allows
/// it nowhere else. Directives and comments in front of it belong to it.
pub(super) fn documents(text: &str) -> Vec<Document<'_>> {
    let mut found = Vec::new();
    let (mut start, mut lines_before) = (0, 0);
    // Where what may belong to the next document begins: at the start, or after `...`.
    let mut prelude = Some((0, 0));
    let mut at = 0;
    for (number, line) in text.split_inclusive('\n').enumerate() {
        if is_marker(line, "---") {
            let (cut, lines) = prelude.unwrap_or((at, number));
            if cut > start {
                found.push(Document { text: &text[start..cut], lines_before });
                (start, lines_before) = (cut, lines);
            }
            prelude = None;
        } else if is_marker(line, "...") {
            prelude = Some((at + line.len(), number + 1));
        } else if !(line.trim().is_empty() || line.starts_with(['#', '%'])) {
            prelude = None;
        }
        at += line.len();
    }
    found.push(Document { text: &text[start..], lines_before });
    found
}

fn is_marker(line: &str, marker: &str) -> bool {
    line.strip_prefix(marker).is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
}

impl Document<'_> {
    /// What the YAML reader must not be given, with its place in the file.
    pub(super) fn refused(&self, file: &str) -> Option<SpecError> {
        let (at, message, hint) = forbidden(self.text).or_else(|| too_deep(self.text))?;
        let (line, column) = place(self.text, at);
        Some(SpecError { file: file.to_owned(), line: line + self.lines_before, column, message, hint })
    }

    /// Lines, and the one that an editor shows after the last line's end.
    pub(super) fn lines(&self) -> usize {
        self.text.matches('\n').count() + 1
    }
}

type Refusal = (usize, String, Option<String>);

/// The first control character, if there is one.
fn forbidden(text: &str) -> Option<Refusal> {
    let is_allowed = |c: char| !c.is_control() || matches!(c, '\t' | '\n' | '\r' | '\u{85}');
    let (at, c) = text.char_indices().find(|(_, c)| !is_allowed(*c))?;
    let name =
        if c == '\0' { "a NUL byte".to_owned() } else { format!("the control character U+{:04X}", u32::from(c)) };
    let hint = "text has no such character; in double quotes YAML writes it as an escape, such as \"\\x07\"";
    Some((at, format!("{name} stands here"), Some(hint.to_owned())))
}

/// Where more brackets are open than anyone means. Brackets in quotes count as well: this is a bound, not a reading.
fn too_deep(text: &str) -> Option<Refusal> {
    let mut open = 0_usize;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'[' | b'{' => open += 1,
            b']' | b'}' => open = open.saturating_sub(1),
            _ => continue,
        }
        if open > MOST_OPEN {
            let message = format!("more than {} brackets are open here", thousands(MOST_OPEN));
            return Some((at, message, Some("is a closing bracket missing? a scenario nests a few levels".to_owned())));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str) -> Vec<(usize, &str)> {
        documents(text).iter().map(|d| (d.lines_before, d.text)).collect()
    }

    #[test]
    fn documents_are_cut_at_their_marks() {
        assert_eq!(cut(""), [(0, "")]);
        assert_eq!(cut("a: 1\n"), [(0, "a: 1\n")]);
        assert_eq!(cut("# c\n---\na: 1\n--- # d\nb: 1"), [(0, "# c\n---\na: 1\n"), (3, "--- # d\nb: 1")]);
        assert_eq!(cut("---\r\na\r\n---\r\n"), [(0, "---\r\na\r\n"), (2, "---\r\n")]);
        assert_eq!(cut("a\n...\n%YAML 1.2\n---\nb\n"), [(0, "a\n...\n"), (2, "%YAML 1.2\n---\nb\n")]);
        assert_eq!(cut("a: |\n  x\n ---\n----\n---b\n"), [(0, "a: |\n  x\n ---\n----\n---b\n")]);
        assert_eq!(cut("a\n# c\n---\nb"), [(0, "a\n# c\n"), (2, "---\nb")]);
    }

    #[test]
    fn bytes_that_are_no_text_are_told_by_place_and_cause() {
        let told = |bytes: &[u8]| of_bytes("x", bytes.to_vec()).map_err(|e| e.to_string());
        assert_eq!(told(b"\xef\xbb\xbfa: 1").as_deref(), Ok("a: 1"));
        let latin = told(b"\xef\xbb\xbfa: 1\nb: caf\xe9\n").expect_err("Latin-1");
        assert!(latin.starts_with("x:2:7: byte 0xe9 is not UTF-8\n  hint: save the file as UTF-8"), "{latin}");
        let utf16: Vec<u8> = "\u{feff}a: 1\n".encode_utf16().flat_map(u16::to_be_bytes).collect();
        assert_eq!(
            told(&utf16).expect_err("UTF-16"),
            "x: this is text in UTF-16, and YAML is wanted\n  hint: save it as UTF-8"
        );
        let nul = documents("a: 1\n---\nb: x\0y\n")[1].refused("x").expect("NUL");
        assert_eq!((nul.line, nul.column, nul.message.as_str()), (3, 5, "a NUL byte stands here"));
        let deep = documents(&"[".repeat(MOST_OPEN + 1))[0].refused("x").expect("deep");
        assert_eq!((deep.line, deep.column), (1, MOST_OPEN + 1));
        assert!(documents(&"[".repeat(MOST_OPEN))[0].refused("x").is_none());
        assert!(documents("a:\t\"b\"\r\n")[0].refused("x").is_none());
    }
}
