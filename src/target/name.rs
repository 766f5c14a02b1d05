//! Target names: `allocator@where[?key=value[&key=value]]`. The allocator may be one behind `worker:`, a command behind
//! `exec:`, or the path of a library behind `plugin:`; what holds an odd character is put in quotes.
//!
//! Decides how a name is written and read back. What it names is the registry's to say.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::registry::{Isolation, TargetKind};

/// A target as a user names it: `reference@sim?defect=stale-peak`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetName {
    /// What stands before `@`, `worker:` included.
    pub allocator: String,
    /// Where it allocates: `sim`, `cuda`.
    pub place: String,
    /// Everything after `?`, in order. `torch@cuda?expandable_segments:True` has one key without a value.
    pub options: Vec<(String, Option<String>)>,
}

/// Why a target name was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the message of each says what is wrong")]
pub enum TargetNameError {
    /// No `@`, or nothing on one side of it.
    #[error("`{name}` is not a target name: write allocator@where, for example reference@sim")]
    Malformed { name: String },
    #[error(
        "`{name}` is not a target name: `{place}`, after its last @, is no place; put what holds an @ in quotes, for example exec:\"python3 me@work.py\"@host"
    )]
    NoPlace { name: String, place: String },
    #[error("`{name}` is not a target name: a quote is opened and not closed")]
    OpenQuote { name: String },
}

/// The bytes of a text that stand in no quotes; `None` if the last quote is not closed.
fn unquoted(text: &str) -> Option<Vec<(usize, u8)>> {
    let (mut open, mut plain) = (None, Vec::new());
    for (at, byte) in text.bytes().enumerate() {
        match (open, byte) {
            (None, b'"' | b'\'') => open = Some(byte),
            (None, _) => plain.push((at, byte)),
            (Some(quote), _) if quote == byte => open = None,
            (Some(_), _) => {}
        }
    }
    open.is_none().then_some(plain)
}

/// The parts of a text between separators that stand in no quotes.
fn split(text: &str, separator: u8) -> Vec<&str> {
    let plain = unquoted(text).unwrap_or_default();
    let ends = plain.iter().filter(|(_, byte)| *byte == separator).map(|(at, _)| *at).chain([text.len()]);
    let mut start = 0;
    ends.map(|end| std::mem::replace(&mut start, end + 1)..end).filter_map(|range| text.get(range)).collect()
}

/// A value without the quotes around it.
fn bare(value: &str) -> String {
    let inner = ['"', '\''].iter().find_map(|&quote| value.strip_prefix(quote)?.strip_suffix(quote));
    inner.unwrap_or(value).to_owned()
}

/// A value in quotes where it would not be read back without.
fn quoted(value: &str) -> Cow<'_, str> {
    let quote = if value.contains('"') { '\'' } else { '"' };
    let is_odd = value.contains(['&', '@', '"', '\'', ' ']);
    if is_odd { format!("{quote}{value}{quote}").into() } else { value.into() }
}

fn option(text: &str) -> (String, Option<String>) {
    let at = unquoted(text).unwrap_or_default().iter().find(|(_, byte)| *byte == b'=').map(|(at, _)| *at);
    match at {
        Some(at) => (text[..at].to_owned(), Some(bare(&text[at + 1..]))),
        None => (bare(text), None),
    }
}

impl FromStr for TargetName {
    type Err = TargetNameError;

    /// Splits at the last `@` that stands in no quotes: a command or a path may hold others.
    fn from_str(name: &str) -> Result<Self, TargetNameError> {
        let plain = unquoted(name).ok_or_else(|| TargetNameError::OpenQuote { name: name.to_owned() })?;
        let at = plain.iter().rfind(|(_, byte)| *byte == b'@').map(|(at, _)| *at);
        let malformed = || TargetNameError::Malformed { name: name.to_owned() };
        let at = at.filter(|at| *at > 0).ok_or_else(malformed)?;
        let (allocator, rest) = (&name[..at], &name[at + 1..]);
        let (place, options) = rest.split_once('?').map_or((rest, ""), |(place, options)| (place, options));
        if place.is_empty() {
            return Err(malformed());
        }
        if !place.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            return Err(TargetNameError::NoPlace { name: name.to_owned(), place: place.to_owned() });
        }
        let options = split(options, b'&').into_iter().filter(|o| !o.is_empty()).map(option).collect();
        Ok(TargetName { allocator: allocator.to_owned(), place: place.to_owned(), options })
    }
}

impl fmt::Display for TargetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.allocator, self.place)?;
        for (i, (key, value)) in self.options.iter().enumerate() {
            let separator = if i == 0 { '?' } else { '&' };
            match value {
                Some(value) => write!(f, "{separator}{key}={}", quoted(value))?,
                None => write!(f, "{separator}{}", quoted(key))?,
            }
        }
        Ok(())
    }
}

/// In front of a name: the target runs in a process of its own.
const APART: &str = "worker:";

/// In front of a name: each sequence is judged in a process of its own.
const FORKED: &str = "forked:";

/// In front of a command: the target is whatever that starts.
const COMMAND: &str = "exec:";

/// In front of a path: the target is the shared library there.
const LIBRARY: &str = "plugin:";

impl TargetName {
    /// Whether the target runs in a process of its own: `worker:reference@sim`, and whatever kind always does.
    #[must_use]
    pub fn is_apart(&self) -> bool {
        let always = || TargetKind::of(self).is_some_and(|kind| kind.isolation == Isolation::Child);
        self.is_behind_worker() || !self.is_forked() && always()
    }

    /// Whether each sequence is judged in a process of its own: `forked:reference@sim`, and whatever kind always is.
    #[must_use]
    pub fn is_forked(&self) -> bool {
        let always = || TargetKind::of(self).is_some_and(|kind| kind.isolation == Isolation::Forked);
        self.allocator.starts_with(FORKED) || !self.is_behind_worker() && always()
    }

    /// Whether `worker:` or `forked:` stands in front.
    pub(super) fn is_behind_prefix(&self) -> bool {
        self.is_behind_worker() || self.allocator.starts_with(FORKED)
    }

    /// Whether `worker:` stands in front.
    #[must_use]
    pub fn is_behind_worker(&self) -> bool {
        self.allocator.starts_with(APART)
    }

    /// The command that starts the target, as it was written, where it is somebody else's.
    #[must_use]
    pub fn command(&self) -> Option<&str> {
        self.allocator.strip_prefix(COMMAND)
    }

    /// The path of the shared library that the target is, without the quotes around it.
    #[must_use]
    pub fn library(&self) -> Option<PathBuf> {
        self.allocator.strip_prefix(LIBRARY).map(|path| PathBuf::from(bare(path)))
    }

    /// The last value of an option, `None` inside where it stands without one.
    #[must_use]
    pub fn option(&self, key: &str) -> Option<Option<&str>> {
        self.options.iter().rfind(|(known, _)| known == key).map(|(_, value)| value.as_deref())
    }

    /// The name without `worker:` or `forked:`, and without the options in `taken`.
    #[must_use]
    pub fn inner(&self, taken: &[&str]) -> TargetName {
        let plain = [APART, FORKED].into_iter().find_map(|prefix| self.allocator.strip_prefix(prefix));
        let allocator = plain.unwrap_or(&self.allocator).to_owned();
        let options = self.options.iter().filter(|(key, _)| !taken.contains(&key.as_str())).cloned().collect();
        TargetName { allocator, place: self.place.clone(), options }
    }

    /// A name for a folder: everything but letters, digits, `@`, `.` and `-` becomes `_`.
    #[must_use]
    pub fn folder(&self) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() || "@.-".contains(c) { c } else { '_' };
        self.to_string().chars().map(plain).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        for name in ["reference@sim", "reference@sim?defect=stale-peak", "torch@cuda?expandable_segments:True"] {
            assert_eq!(name.parse::<TargetName>().expect("well formed").to_string(), name);
        }
        assert!("reference".parse::<TargetName>().is_err());
        assert!("@sim".parse::<TargetName>().is_err());
    }

    #[test]
    fn a_command_may_hold_anything_in_quotes() {
        let name = |text: &str| text.parse::<TargetName>().expect(text);
        for (text, command, place) in [
            ("exec:python3 adapter.py@host", "python3 adapter.py", "host"),
            ("exec:ssh me@work ./a.out@host", "ssh me@work ./a.out", "host"),
            ("exec:\"/tmp/my dir/a?b@c\" -x@sim?deadline=2s", "\"/tmp/my dir/a?b@c\" -x", "sim"),
            ("exec:./a?b@host", "./a?b", "host"),
        ] {
            let read = name(text);
            assert_eq!((read.command(), read.place.as_str(), read.to_string().as_str()), (Some(command), place, text));
            assert!(read.is_apart());
        }
        let path = name("plugin:\"/tmp/my dir/a@b.so\"@host?alloc=take").library();
        assert_eq!(path, Some("/tmp/my dir/a@b.so".into()));
        let odd = name("exec:./a@host?env=\"X=a@b&c\"&deadline=1s");
        assert_eq!(odd.options[0], ("env".to_owned(), Some("X=a@b&c".to_owned())));
        assert_eq!(name(&odd.to_string()), odd);
        assert!(matches!("exec:./a@host?env=X=a@b.c".parse::<TargetName>(), Err(TargetNameError::NoPlace { .. })));
        assert!(matches!("exec:\"./a@host".parse::<TargetName>(), Err(TargetNameError::OpenQuote { .. })));
    }

    #[test]
    fn a_name_says_where_it_runs() {
        let name = |text: &str| text.parse::<TargetName>().expect("well formed");
        let apart = name("worker:reference@sim?deadline=2s&defect=stale-peak");
        assert!(apart.is_apart() && name("reference@cuda").is_apart() && !name("reference@sim").is_apart());
        let forked = name("forked:reference@sim");
        assert!(forked.is_forked() && !forked.is_apart() && !apart.is_forked() && !name("reference@sim").is_forked());
        assert_eq!(forked.inner(&[]).to_string(), "reference@sim");
        assert_eq!(apart.inner(&["deadline"]).to_string(), "reference@sim?defect=stale-peak");
        assert_eq!(apart.folder(), "worker_reference@sim_deadline_2s_defect_stale-peak");
    }

    #[test]
    fn folders_are_plain() {
        let name: TargetName = "reference@sim?defect=stale-peak".parse().expect("well formed");
        assert_eq!(name.folder(), "reference@sim_defect_stale-peak");
    }
}
