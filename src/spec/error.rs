//! What a person reads when a scenario file is wrong: place, message, hint.
//!
//! Decides how an error reads, the YAML library's included. Does not decide what is wrong.

use std::fmt;

use crate::input::shown;

/// Mistakes of one file that are told in full; of the rest their number.
pub(super) const MOST_TOLD: usize = 20;
/// Characters of a message or hint: what is quoted from a file may be the whole file.
const MOST_CHARACTERS: usize = 400;
/// Characters of a file's name; no path is longer on Linux.
const MOST_OF_A_NAME: usize = 4096;
/// No name that is known here is as long; what is longer is not compared with them.
const LONGEST_NAME: usize = 80;

/// One mistake in one file. `line` and `column` count from 1; both are 0 where the file could not be read at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct SpecError {
    /// As it was given.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// From 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What may have been meant.
    pub hint: Option<String>,
}

impl SpecError {
    /// Of the file as a whole.
    pub(super) fn of_file(file: &str, message: impl Into<String>) -> Self {
        SpecError { file: file.to_owned(), line: 0, column: 0, message: message.into(), hint: None }
    }

    /// At a place.
    pub(super) fn at(file: &str, (line, column): (usize, usize), complaint: &Complaint) -> Self {
        let message = shown(&complaint.message, MOST_CHARACTERS);
        let hint = complaint.hint.as_ref().map(|hint| shown(hint, MOST_CHARACTERS));
        SpecError { file: file.to_owned(), line, column, message, hint }
    }
}

/// The mistakes of one file: the first ones in full, the rest counted.
#[derive(Debug)]
pub(super) struct Told {
    file: String,
    errors: Vec<SpecError>,
    more: usize,
}

impl Told {
    pub(super) fn of(file: &str) -> Self {
        Told { file: file.to_owned(), errors: Vec::new(), more: 0 }
    }

    /// How many more are told in full.
    pub(super) fn room(&self) -> usize {
        MOST_TOLD - self.errors.len()
    }

    pub(super) fn push(&mut self, error: SpecError) {
        if self.room() > 0 { self.errors.push(error) } else { self.more += 1 }
    }

    /// So many that are not even looked up.
    pub(super) fn skip(&mut self, more: usize) {
        self.more += more;
    }

    /// Those told in full, and a line for the rest.
    pub(super) fn finish(mut self) -> Vec<SpecError> {
        if self.more > 0 {
            self.errors.push(SpecError::of_file(&self.file, format!("… and {} more", thousands(self.more))));
        }
        self.errors
    }
}

/// A number with commas.
pub(super) fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A file's name may be anything, too.
        let file = shown(&self.file, MOST_OF_A_NAME);
        match self.line {
            0 => write!(f, "{file}: {}", self.message)?,
            _ => write!(f, "{file}:{}:{}: {}", self.line, self.column, self.message)?,
        }
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, "\n  hint: {hint}"))
    }
}

/// Frames our own messages inside the YAML library's errors, which carry text and a place, and put a path in front.
const OPEN: char = '\u{1}';
const MIDDLE: char = '\u{2}';

/// A mistake and what to do about it, before its place is known.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Complaint {
    pub message: String,
    pub hint: Option<String>,
}

impl Complaint {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Complaint { message: message.into(), hint: None }
    }

    #[must_use]
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds "did you mean", if one of the names is near enough.
    #[must_use]
    pub(super) fn near<'a>(mut self, name: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        self.hint = nearest(name, known).or(self.hint);
        self
    }

    /// As an error of a deserializer, which adds the place.
    pub(super) fn raise<E: serde::de::Error>(self) -> E {
        E::custom(format!("{OPEN}{}{MIDDLE}{}", self.message, self.hint.unwrap_or_default()))
    }

    /// Reads the text of a deserializer's error: ours as raised, serde's own in our words.
    pub(super) fn read(text: &str) -> Self {
        if let Some((message, hint)) = text.split_once(OPEN).and_then(|(_, ours)| ours.split_once(MIDDLE)) {
            let hint = Some(hint.to_owned()).filter(|h| !h.is_empty());
            return Complaint { message: message.to_owned(), hint };
        }
        reword(text)
    }
}

/// "did you mean `x`?" for the nearest of the known names, if any is near.
pub(super) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    if name.len() > LONGEST_NAME {
        return None;
    }
    let distance = |known: &str| strsim::damerau_levenshtein(name, known);
    let best = known.into_iter().map(|k| (distance(k), k)).min()?;
    let letters = name.chars().count();
    (best.0 <= 1.max(letters / 3) && best.0 < letters).then(|| format!("did you mean `{}`?", best.1))
}

/// Every word between backquotes.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// What a person calls the types that serde expects.
const EXPECTED: &[(&str, &str)] = &[
    ("a YAML tag starting with '!'", "a word"),
    ("u8", "a whole number from 0 to 255"),
    ("u16", "a whole number from 0 to 65535"),
    ("u32", "a whole number from 0 to 4294967295"),
    ("u64", "a whole number, 0 or more"),
    ("usize", "a whole number, 0 or more"),
    ("i32", "a whole number"),
    ("i64", "a whole number"),
    ("f64", "a number"),
    ("a sequence", "a list"),
    ("struct Text", "a text in both languages, { en: ..., zh: ... }"),
    ("a boolean", "true or false"),
    ("a map", "a mapping"),
];

/// A key given twice, by serde's finding or by ours.
pub(super) fn twice(key: &str) -> Complaint {
    Complaint::new(format!("key `{key}` is given twice"))
}

fn reword(text: &str) -> Complaint {
    let of = |start: &str| text.find(start).map(|at| &text[at + start.len()..]);
    if let Some(rest) = of("unknown field `") {
        let (name, known) = rest.split_once('`').unwrap_or((rest, ""));
        let known = quoted(known);
        let hint = nearest(name, known.iter().copied()).unwrap_or_else(|| format!("known here: {}", known.join(", ")));
        return Complaint::new(format!("unknown key `{name}`")).hint(hint);
    }
    if let Some(rest) = of("unknown variant `") {
        let (name, known) = rest.split_once('`').unwrap_or((rest, ""));
        let known = quoted(known);
        let hint = nearest(name, known.iter().copied()).unwrap_or_else(|| format!("one of {}", known.join(", ")));
        return Complaint::new(format!("unknown value `{name}`")).hint(hint);
    }
    if let Some(rest) = of("missing field `") {
        return Complaint::new(format!("missing key `{}`", rest.trim_end_matches('`')));
    }
    if let Some(rest) = of("duplicate field `") {
        return twice(rest.trim_end_matches('`'));
    }
    for start in ["invalid type: ", "invalid value: "] {
        if let Some((found, expected)) = of(start).and_then(|rest| rest.rsplit_once(", expected ")) {
            let expected = EXPECTED.iter().find(|(serde, _)| *serde == expected).map_or(expected, |(_, ours)| ours);
            let found = found.replace("sequence", "a list").replace("unit value", "nothing");
            let found = if found == "map" { "a mapping" } else { &found };
            return Complaint::new(format!("expected {expected}, found {found}"));
        }
    }
    Complaint::new(text)
}

pub(super) const BEGINS_NOTHING: &str = "this character begins nothing in YAML";

/// The YAML library's own words, where ours are plainer.
const YAML_SAYS: &[(&str, &str, &str)] = &[
    (
        "found character that cannot start any token",
        BEGINS_NOTHING,
        "a value that begins with @, ` or % wants quotes, and a tab does not indent",
    ),
    (
        "repetition limit exceeded",
        "aliases repeat far more than the file holds",
        "write the values out, or use `repeat` and `for_each`",
    ),
    ("recursion limit exceeded", "nested more than 128 levels deep", "a scenario nests a few levels"),
];

/// The YAML library's error with its place taken out of the text.
pub(super) fn from_yaml(file: &str, error: &serde_yaml::Error) -> SpecError {
    let mut text = error.to_string();
    let place = error.location().map_or((1, 1), |at| (at.line(), at.column()));
    for noise in [format!(" at line {} column {}", place.0, place.1), " at position 0".to_owned()] {
        text = text.replacen(&noise, "", 1);
    }
    let words = YAML_SAYS.iter().find(|(says, _, _)| text.contains(says) && !text.contains(OPEN));
    let complaint = match words {
        Some((_, message, hint)) => Complaint::new(*message).hint(*hint),
        None => Complaint::read(&text),
    };
    SpecError::at(file, place, &complaint)
}
