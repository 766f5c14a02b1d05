//! Argument contracts: what the functions of a library owe a caller who gives them this or that argument, one row a case.
//!
//! Decides what a row may say. What a promise means, and what a library makes of it, is the worker's to find out
//! (`workers/torch/contract_row.py`).

mod raw;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::raw::RawFile;
use super::error::{self, Complaint, SpecError, Told, nearest};
use super::files;
use super::keys;
use super::locate::{self, Path};
use super::lower::{Found, Problem};
use super::meter::Meter;
use super::text::{self, Document};
use crate::requirement::Area;

/// The folder of these files, below that of the scenarios.
pub const FOLDER: &str = "contract";

/// What the rows that come with poolproof are about; a file names it.
pub const SUBJECT: &str = "torch.cuda.memory";

/// What a function owes its caller in one situation. Serialised as the worker reads it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// `function/what`, once in all files.
    pub id: String,
    /// The file as it was given, and the line on which the row begins.
    #[serde(skip)]
    pub place: (String, usize),
    /// In which situation the call is made.
    pub when: When,
    /// Variables of the process; only of one that starts for the row.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Fewer devices than this, and the row does not apply.
    pub devices: u32,
    /// What else the machine must have.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<Need>,
    /// A device must be as large, in GiB.
    pub gib: u32,
    /// It shares its process with no other row.
    pub own_process: bool,
    /// Nobody else is on the device meanwhile.
    pub exclusive: bool,
    /// Statements before the call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub setup: Option<String>,
    /// What is called: statements, of which the last one's value is `r`.
    pub call: String,
    /// What holds of `r` if it returns; it may not return where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub returns: Option<String>,
    /// The classes of errors that it may end in; it may not raise where nothing is said.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub raises: Vec<String>,
    /// What the message of an error must have; alternatives are parted by `|`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// What holds after the call, whatever it answered.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub then: Vec<String>,
    /// What it may change if it returns.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Part>,
    /// Statements that undo what it did; all that was held before must be as before then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cleanup: Option<String>,
    /// Whether anything is asked of the process afterwards.
    pub afterwards: bool,
    /// How firmly it is promised.
    pub level: Firmness,
    /// Who promises it.
    pub by: Source,
    /// What it is about.
    pub area: Area,
}

impl Row {
    /// The function that it is about.
    #[must_use]
    pub fn function(&self) -> &str {
        self.id.split_once('/').map_or(&self.id, |(function, _)| function)
    }
}

/// The situation of a call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// CUDA is initialised in this process, and nothing is held.
    #[default]
    Initialised,
    /// Nothing has touched CUDA in this process.
    Before,
    /// As before, in a process that was started with variables of the row's.
    Start,
    /// A request was just refused for lack of memory.
    AfterOom,
    /// In a copy of a process that has used CUDA.
    Forked,
    /// On another thread than the main one.
    Thread,
    /// While a stream captures a graph.
    Capturing,
    /// Inside `use_mem_pool`.
    InPool,
}

impl When {
    /// As files write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            When::Initialised => "initialised",
            When::Before => "before",
            When::Start => "start",
            When::AfterOom => "after_oom",
            When::Forked => "forked",
            When::Thread => "thread",
            When::Capturing => "capturing",
            When::InPool => "in_pool",
        }
    }
}

/// What a machine may lack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Need {
    /// Devices that compute.
    Kernels,
    /// Graphs that can be captured and replayed.
    Capture,
    /// The Python package `numpy`.
    Numpy,
    /// The Python package `nvidia-ml-py`.
    Pynvml,
    /// Devices that have memory pools of their own, for `backend:cudaMallocAsync`.
    Async,
}

/// A part of the state that a call may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// Any figure of `memory_stats`.
    Statistics,
    /// Segments and blocks.
    Segments,
    /// The memory fraction of any device.
    Fraction,
    /// The current device.
    Device,
    /// The current stream of any device.
    Stream,
    /// The settings in force.
    Settings,
}

/// How firmly something is promised.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Firmness {
    /// Breaking it is a defect.
    #[default]
    Must,
    /// Breaking it is a nuisance.
    Should,
}

impl Firmness {
    /// As files write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Firmness::Must => "must",
            Firmness::Should => "should",
        }
    }
}

/// Who promises it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The docstring of the function.
    Docstring,
    /// The library's other documentation.
    Docs,
    /// The library's own tests.
    Test,
    /// Common sense.
    Sense,
}

impl Source {
    /// As files write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Source::Docstring => "docstring",
            Source::Docs => "docs",
            Source::Test => "test",
            Source::Sense => "sense",
        }
    }
}

/// Whether a text is meant as such a file.
pub(super) fn is_meant(text: &str) -> bool {
    text.lines().any(|line| line.starts_with("contract:"))
}

/// The rows that come with poolproof, in the order of their files and lines.
///
/// # Errors
/// What is wrong in any file; nothing in a build that passed its tests.
pub fn built_in() -> Result<Vec<Row>, Vec<SpecError>> {
    let mut read = Rows::default();
    for (file, text) in files::built_in_contracts() {
        read.add(&file, text);
    }
    if read.errors.is_empty() { Ok(read.rows) } else { Err(read.errors) }
}

/// Rows of several files; an id that is given twice, wherever, is refused.
#[derive(Debug, Default)]
pub(super) struct Rows {
    pub rows: Vec<Row>,
    pub errors: Vec<SpecError>,
    /// The place of each id.
    seen: BTreeMap<String, String>,
}

impl Rows {
    /// Reads the text of one more file.
    pub(super) fn add(&mut self, file: &str, text: &str) {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let documents = text::documents(text);
        let document = documents[0];
        let mut told = Told::of(file);
        let mut problems = Vec::new();
        match document.refused(file).map_or_else(|| read(file, document), Err) {
            Err(error) => told.push(error),
            Ok(raw) => {
                if documents.len() > 1 {
                    complain(&Path::ROOT, "there are several documents in this file", &mut problems);
                }
                self.keep(file, document, raw, &mut problems);
            }
        }
        files::placed(file, document, Found { kept: problems, more: 0 }, &mut told);
        self.errors.extend(told.finish());
    }

    fn keep(&mut self, file: &str, document: Document<'_>, raw: RawFile, problems: &mut Vec<Problem>) {
        if raw.contract != SUBJECT {
            complain(&Path::ROOT.key("contract"), &format!("the contracts here are about {SUBJECT}"), problems);
        }
        let list = Path::ROOT.key("rows");
        let lines = keys::lines_of_elements(document.text, "rows");
        for (index, row) in raw.rows.into_iter().enumerate() {
            let place = (file.to_owned(), lines.get(index).copied().unwrap_or(0));
            let at = list.index(index);
            let Some(row) = row.lower(&raw.defaults, place, &at, problems) else { continue };
            let place = format!("{}:{}", row.place.0, row.place.1);
            match self.seen.insert(row.id.clone(), place) {
                None => self.rows.push(row),
                Some(first) => {
                    complain(&at.key("id"), &format!("`{}` is the id of the row at {first}", row.id), problems)
                }
            }
        }
    }
}

fn complain(at: &Path<'_>, message: &str, problems: &mut Vec<Problem>) {
    problems.push(Problem { path: at.segments(), complaint: Complaint::new(message) });
}

/// The document as it is written.
fn read(file: &str, document: Document<'_>) -> Result<RawFile, SpecError> {
    let again = || locate::yaml(document.text).next();
    let meter = Meter::of(document.text);
    match again().map(|yaml| RawFile::deserialize(meter.read(yaml))) {
        Some(Ok(raw)) => Ok(raw),
        Some(Err(e)) if !again().is_some_and(locate::is_empty) => Err(error::from_yaml(file, &e)),
        _ => {
            let complaint = Complaint::new("this file is empty").hint(format!("it begins with `contract: {SUBJECT}`"));
            Err(SpecError::at(file, (1, 1), &complaint))
        }
    }
}
