//! A row of a contract as it is written, and what may be wrong with it.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::de::{Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::{Complaint, Firmness, Need, Part, Path, Problem, Row, Source, When, complain, nearest};
use crate::requirement::Area;

/// Rows about one library, with what holds for all of them unless they say otherwise.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping with `contract` and `rows`")]
pub(super) struct RawFile {
    /// What the rows are about: `torch.cuda.memory`.
    pub contract: String,
    #[serde(default)]
    pub defaults: RawDefaults,
    pub rows: Vec<RawRow>,
}

/// What each row of a file says that does not say it itself.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping of by, area, setup, cleanup and own_process")]
pub(super) struct RawDefaults {
    by: Option<Source>,
    area: Option<Area>,
    setup: Option<String>,
    cleanup: Option<String>,
    #[serde(default)]
    own_process: bool,
}

/// What a function owes its caller in one situation: at least one of `returns` and `raises`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "a mapping such as { id: function/what, call: ..., raises: ValueError, by: sense, area: ARG }"
)]
pub(super) struct RawRow {
    /// `function/what`.
    id: String,
    #[serde(default)]
    when: When,
    /// Variables of the process, with `when: start`.
    #[serde(default)]
    env: BTreeMap<String, String>,
    devices: Option<u32>,
    #[serde(default)]
    needs: Vec<Need>,
    #[serde(default)]
    gib: u32,
    own_process: Option<bool>,
    #[serde(default)]
    exclusive: bool,
    setup: Option<String>,
    call: String,
    returns: Option<String>,
    /// `ValueError | RuntimeError`.
    raises: Option<String>,
    #[serde(default)]
    names: Texts,
    #[serde(default)]
    then: Texts,
    #[serde(default)]
    changes: Vec<Part>,
    cleanup: Option<String>,
    afterwards: Option<bool>,
    #[serde(default)]
    level: Firmness,
    by: Option<Source>,
    area: Option<Area>,
}

/// A text, or a list of them.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub(super) struct Texts(Vec<String>);

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Wanted;
        impl<'de> Visitor<'de> for Wanted {
            type Value = Texts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, or a list of texts (numbers in quotes)")
            }

            fn visit_str<E>(self, text: &str) -> Result<Texts, E> {
                Ok(Texts(vec![text.to_owned()]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Texts, A::Error> {
                let mut texts = Vec::new();
                while let Some(text) = seq.next_element()? {
                    texts.push(text);
                }
                Ok(Texts(texts))
            }
        }
        deserializer.deserialize_any(Wanted)
    }
}

impl RawRow {
    /// The row, if nothing that it stands on is wrong; the rest is complained of.
    pub(super) fn lower(
        self,
        defaults: &RawDefaults,
        place: (String, usize),
        at: &Path<'_>,
        problems: &mut Vec<Problem>,
    ) -> Option<Row> {
        let known = problems.len();
        let raises = self.classes(at, problems);
        self.complain_of_itself(&raises, at, problems);
        let (by, area) = (self.by.or(defaults.by), self.area.or(defaults.area));
        for (key, is_missing) in [("by", by.is_none()), ("area", area.is_none())] {
            if is_missing {
                complain(at, &format!("`{key}` is missing, here and in `defaults`"), problems);
            }
        }
        if problems.len() > known {
            return None;
        }
        Some(Row {
            id: self.id,
            place,
            when: self.when,
            env: self.env,
            devices: self.devices.unwrap_or(1),
            needs: self.needs,
            gib: self.gib,
            own_process: self.own_process.unwrap_or(defaults.own_process),
            exclusive: self.exclusive,
            setup: self.setup.or_else(|| defaults.setup.clone()),
            call: self.call,
            returns: self.returns,
            raises,
            names: self.names.0,
            then: self.then.0,
            changes: self.changes,
            cleanup: self.cleanup.or_else(|| defaults.cleanup.clone()),
            afterwards: self.afterwards.unwrap_or(true),
            level: self.level,
            by: by?,
            area: area?,
        })
    }
}

impl RawRow {
    /// The classes of errors that it names.
    fn classes(&self, at: &Path<'_>, problems: &mut Vec<Problem>) -> Vec<String> {
        let texts = self.raises.iter().flat_map(|text| text.split('|'));
        let raises: Vec<String> = texts.map(|class| class.trim().to_owned()).collect();
        if let Some(wrong) = raises.iter().find(|class| !is_class(class)) {
            let complaint = Complaint::new(format!("`{wrong}` is not the name of a class of errors"));
            let path = at.key("raises").segments();
            problems.push(Problem { path, complaint: Complaint { hint: nearest(wrong, CLASSES), ..complaint } });
        }
        raises
    }

    /// What does not go together in it.
    fn complain_of_itself(&self, raises: &[String], at: &Path<'_>, problems: &mut Vec<Problem>) {
        if !is_id(&self.id) {
            let wanted = "an id is `function/what`, of letters, digits, `_`, `-` and `.`";
            complain(&at.key("id"), wanted, problems);
        }
        if self.returns.is_none() && raises.is_empty() {
            complain(at, "a row says `returns`, `raises` or both", problems);
        }
        if !self.names.0.is_empty() && raises.is_empty() {
            complain(
                &at.key("names"),
                "`names` is about the message of an error, and nothing is raised here",
                problems,
            );
        }
        if self.env.is_empty() != (self.when != When::Start) {
            complain(at, "`env` and `when: start` go together", problems);
        }
        if self.devices == Some(0) {
            complain(&at.key("devices"), "a row is about one device or more", problems);
        }
        for (key, text) in [("call", Some(&self.call)), ("returns", self.returns.as_ref())] {
            if text.is_some_and(|text| text.trim().is_empty()) {
                complain(&at.key(key), &format!("`{key}` is empty"), problems);
            }
        }
    }
}

/// For hints; any other class may be named, too.
const CLASSES: [&str; 10] = [
    "ValueError",
    "TypeError",
    "RuntimeError",
    "IndexError",
    "OverflowError",
    "OutOfMemoryError",
    "AttributeError",
    "NotImplementedError",
    "FileNotFoundError",
    "OSError",
];

fn is_id(id: &str) -> bool {
    let is_word = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c));
    id.split_once('/').is_some_and(|(function, what)| is_word(function) && is_word(what))
}

fn is_class(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_uppercase()) && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
