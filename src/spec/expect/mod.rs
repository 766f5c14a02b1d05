//! Expected failures: which scenarios fail on a target and why that is accepted, for how long and by whom.
//!
//! Decides what such a file may say. Whether an entry is met, stale or expired is the engine's to find out.

mod range;
mod scope;
#[cfg(test)]
mod tests;

use std::path::Path as FilePath;

use globset::{Glob, GlobMatcher};
use jiff::civil::Date;
use schemars::JsonSchema;
use serde::Deserialize;

use self::range::Range;
pub use self::scope::{Reach, Scope};
use super::error::{self, Complaint, MOST_TOLD, SpecError, Told, nearest};
use super::files;
use super::keys;
use super::locate::{self, Path};
use super::lower::{Found, Problem};
use super::meter::Meter;
use super::raw::RawCapability;
use super::text::{self, Document};
use crate::input::shown;
use crate::op::Text;
use crate::requirement::{ALL, RequirementId};

/// The folder of these files, below that of the scenarios.
pub const FOLDER: &str = "expect";

/// The keys of such a file, and some of a scenario that it does not have.
const KEYS: [&str; 2] = ["target", "expect"];
const SCENARIO_KEYS: [&str; 4] = ["scenario", "requirement", "steps", "generate"];

/// No glob that anyone writes is as long, and all up to here can be compiled.
const LONGEST_GLOB: usize = 1000;

/// One file: the expected failures of one target, or of several alike.
#[derive(Debug, Clone)]
pub struct Expectations {
    /// As it was given.
    pub file: String,
    /// Which targets it speaks of, by `allocator@where` without options.
    target: GlobMatcher,
    /// In the order of the file.
    pub entries: Vec<Expectation>,
    /// It comes with poolproof, and speaks of the scenarios that do.
    pub built_in: bool,
}

impl Expectations {
    /// Whether the file speaks of this target.
    #[must_use]
    pub fn concerns(&self, allocator: &str, place: &str) -> bool {
        self.target.is_match(format!("{allocator}@{place}"))
    }
}

/// One failure that is expected.
#[derive(Debug, Clone)]
pub struct Expectation {
    /// Where the entry begins, from 1.
    pub line: usize,
    /// What fails.
    pub about: About,
    /// Why.
    pub reason: Text,
    /// Where more is said.
    pub link: Option<String>,
    /// Who sees to it.
    pub owner: String,
    /// The last day that it holds.
    pub expires: Date,
    /// It may also pass: whether it fails depends on settings or on what is drawn.
    pub sometimes: bool,
    /// Where it fails.
    pub scope: Scope,
}

/// What is expected to fail.
#[derive(Debug, Clone)]
pub enum About {
    /// Every scenario whose id matches.
    Scenario(GlobMatcher),
    /// At least one scenario, with a finding that breaks this promise.
    Requirement(RequirementId),
}

impl About {
    /// Whether this scenario of that requirement is meant.
    #[must_use]
    pub fn is_about(&self, scenario: &str, requirement: RequirementId) -> bool {
        match self {
            About::Scenario(glob) => glob.is_match(scenario),
            About::Requirement(id) => *id == requirement,
        }
    }
}

/// The failures that are expected of a target.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping with `target` and `expect`")]
struct RawFile {
    /// `allocator@where` without options, or a glob of it.
    target: String,
    expect: Vec<RawEntry>,
}

/// One failure, or a glob of failures, that is expected: exactly one of `scenario` and `requirement`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping such as { scenario: ..., reason: ..., owner: ..., expires: ... }")]
struct RawEntry {
    /// A glob over ids; every scenario that it matches must fail.
    #[serde(default)]
    scenario: Option<String>,
    /// A finding must name it.
    #[serde(default)]
    requirement: Option<String>,
    reason: Text,
    /// Where it is reported.
    #[serde(default)]
    link: Option<String>,
    /// Who looks after it.
    owner: String,
    /// The last day on which it holds, `2030-01-31`.
    expires: String,
    /// It may also pass. False unless given: then a pass is a surprise.
    #[serde(default)]
    sometimes: bool,
    #[serde(default)]
    scope: Option<RawScope>,
}

/// Where the failure is expected.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping of allocator, device, driver, options and lacks")]
struct RawScope {
    /// Versions: `2.12`, or comparisons such as `>=2.11, <2.13`.
    #[serde(default)]
    allocator: Option<String>,
    /// A glob over device names.
    #[serde(default)]
    device: Option<String>,
    /// Versions, as for `allocator`.
    #[serde(default)]
    driver: Option<String>,
    /// A glob over what follows `?` in the target's name: `*expandable_segments:True*`.
    #[serde(default)]
    options: Option<String>,
    /// A capability that the target does not offer, by its settings for instance: `fixed_segments`.
    #[serde(default)]
    lacks: Option<RawCapability>,
}

/// The JSON Schema of such a file.
#[must_use]
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(RawFile).to_value()
}

/// Reads a file.
///
/// # Errors
/// What is wrong, with its place.
pub fn load(path: &FilePath) -> Result<Expectations, Vec<SpecError>> {
    let text = text::read(path).map_err(|error| vec![error])?;
    parse(&path.display().to_string(), &text)
}

/// Whether a text is meant as a file of expected failures, by the keys that it begins lines with; `None` where they
/// do not say.
pub(super) fn is_meant(text: &str) -> Option<bool> {
    let begins = |line: &str, keys: &[&str]| {
        let line = line.trim_start_matches(['"', '\'']);
        let after = keys.iter().find_map(|key| line.strip_prefix(key));
        after.is_some_and(|rest| rest.trim_start_matches(['"', '\'']).trim_start().starts_with(':'))
    };
    if text.lines().any(|line| begins(line, &SCENARIO_KEYS)) {
        return Some(false);
    }
    if text.lines().any(|line| begins(line, &KEYS)) {
        return Some(true);
    }
    // Between braces, keys stand anywhere.
    let document = *text::documents(text).first()?;
    let is_flow = document.text.contains('{') && document.refused("").is_none();
    let has = |keys: &[&str]| keys::has_key(document.text, keys) == Some(true);
    let expects = is_flow && !has(&SCENARIO_KEYS) && has(&KEYS);
    expects.then_some(true)
}

/// The expected failures that come with poolproof for this target, if there are any.
///
/// # Errors
/// As `load`; none in a build that passed its tests.
pub fn built_in(allocator: &str, place: &str) -> Result<Option<Expectations>, Vec<SpecError>> {
    let path = format!("{FOLDER}/{allocator}.yaml");
    let file = files::built_in_text(&path).map(|text| parse(&format!("specs/{path}"), text)).transpose()?;
    Ok(file.filter(|file| file.concerns(allocator, place)).map(|file| Expectations { built_in: true, ..file }))
}

/// Reads the text of a file.
///
/// # Errors
/// Everything that is wrong, with its place.
pub fn parse(file: &str, text: &str) -> Result<Expectations, Vec<SpecError>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let documents = text::documents(text);
    let mut told = Told::of(file);
    let document = documents[0];
    if let Some(error) = document.refused(file) {
        return Err(vec![error]);
    }
    let raw = read(file, document).map_err(|error| vec![error])?;
    let mut problems = Vec::new();
    if documents.len() > 1 {
        problems
            .push(Problem { path: Vec::new(), complaint: Complaint::new("there are several documents in this file") });
    }
    match lower(file, document, &raw, &mut problems) {
        Some(read) if problems.is_empty() => Ok(read),
        _ => {
            files::placed(file, document, Found { kept: problems, more: 0 }, &mut told);
            Err(told.finish())
        }
    }
}

/// The document as it is written.
fn read(file: &str, document: Document<'_>) -> Result<RawFile, SpecError> {
    let again = || locate::yaml(document.text).next();
    let meter = Meter::of(document.text);
    let error = match again().map(|yaml| RawFile::deserialize(meter.read(yaml))) {
        Some(Ok(raw)) => return Ok(raw),
        Some(Err(e)) if !again().is_some_and(locate::is_empty) => e,
        _ => {
            let complaint = Complaint::new("this file is empty").hint("it begins with `target: allocator@where`");
            return Err(SpecError::at(file, (1, 1), &complaint));
        }
    };
    let mut error = error::from_yaml(file, &error);
    if error.message.ends_with("is given twice") {
        (error.line, error.column) =
            again().and_then(|yaml| locate::duplicate(yaml, document.text)).unwrap_or((error.line, error.column));
    }
    Err(error)
}

fn lower(file: &str, document: Document<'_>, raw: &RawFile, problems: &mut Vec<Problem>) -> Option<Expectations> {
    let root = Path::ROOT;
    let target = glob(&raw.target, &root.key("target"), problems);
    let list = root.key("expect");
    let lines = keys::lines_of_elements(document.text, "expect");
    let mut entries = Vec::new();
    for (index, entry) in raw.expect.iter().enumerate() {
        let line = lines.get(index).copied().unwrap_or(0);
        entries.extend(lower_entry(line, entry, &list.index(index), problems));
    }
    Some(Expectations { file: file.to_owned(), target: target?, entries, built_in: false })
}

fn lower_entry(line: usize, raw: &RawEntry, at: &Path<'_>, problems: &mut Vec<Problem>) -> Option<Expectation> {
    let about = match (&raw.scenario, &raw.requirement) {
        (Some(text), None) => glob(text, &at.key("scenario"), problems).map(About::Scenario),
        (None, Some(id)) => match id.parse() {
            Ok(id) => Some(About::Requirement(id)),
            Err(unknown) => {
                let ids: Vec<String> = ALL.iter().map(|r| r.id.to_string()).collect();
                let mut complaint = Complaint::new(format!("{unknown}"));
                if problems.len() < MOST_TOLD {
                    complaint.hint = nearest(id, ids.iter().map(String::as_str));
                }
                complain(&at.key("requirement"), complaint, problems)
            }
        },
        _ => complain(at, Complaint::new("an entry has exactly one of `scenario` and `requirement`"), problems),
    };
    for (key, text) in [("owner", &raw.owner), ("reason", &raw.reason.en), ("reason", &raw.reason.zh)] {
        if text.trim().is_empty() {
            let hint =
                if key == "owner" { "say who looks after it" } else { "say why it is accepted, in both languages" };
            complain::<()>(&at.key(key), Complaint::new(format!("`{key}` is empty")).hint(hint), problems);
        }
    }
    let expires = raw.expires.parse().ok().or_else(|| {
        let complaint = Complaint::new(format!("`{}` is not a date", raw.expires));
        complain(&at.key("expires"), complaint.hint("write year-month-day, for example 2030-01-31"), problems)
    });
    let mut scope = Scope::default();
    if let Some(raw) = &raw.scope {
        let at = at.key("scope");
        scope.allocator = range(raw.allocator.as_deref(), &at.key("allocator"), problems);
        scope.driver = range(raw.driver.as_deref(), &at.key("driver"), problems);
        scope.options = raw.options.as_ref().and_then(|text| glob(text, &at.key("options"), problems));
        scope.lacks = raw.lacks.as_ref().map(|capability| capability.0);
        scope.device = raw.device.as_ref().and_then(|text| glob(text, &at.key("device"), problems));
    }
    Some(Expectation {
        line,
        about: about?,
        reason: raw.reason.clone(),
        link: raw.link.clone().filter(|link| !link.trim().is_empty()),
        owner: raw.owner.clone(),
        expires: expires?,
        sometimes: raw.sometimes,
        scope,
    })
}

fn complain<T>(at: &Path<'_>, complaint: Complaint, problems: &mut Vec<Problem>) -> Option<T> {
    problems.push(Problem { path: at.segments(), complaint });
    None
}

fn glob(text: &str, at: &Path<'_>, problems: &mut Vec<Problem>) -> Option<GlobMatcher> {
    if text.len() > LONGEST_GLOB {
        return complain(at, Complaint::new(format!("a glob of more than {LONGEST_GLOB} bytes")), problems);
    }
    match Glob::new(text) {
        Ok(glob) if !text.is_empty() => Some(glob.compile_matcher()),
        Ok(_) => complain(at, Complaint::new("this is empty"), problems),
        Err(e) => complain(at, Complaint::new(format!("`{text}` is not a glob: {}", e.kind())), problems),
    }
}

fn range(text: Option<&str>, at: &Path<'_>, problems: &mut Vec<Problem>) -> Option<Range> {
    let text = text?;
    text.parse().ok().or_else(|| {
        let complaint = Complaint::new(format!("`{text}` is not a range of versions"));
        complain(at, complaint.hint("write 2.12, or comparisons such as >=2.11, <2.13"), problems)
    })
}

/// Whose failures a draft is of.
#[derive(Debug, Clone)]
pub struct Drafted {
    /// The target with its options, for the reader.
    pub name: String,
    /// `allocator@where`.
    pub target: String,
    /// A glob over its options, if it has any.
    pub options: Option<String>,
}

/// A file that expects what was found: complete but for who looks after it, which a person has to say.
#[must_use]
pub fn draft(of: &Drafted, expires: Date, failures: &[(&str, &Text)]) -> String {
    let quoted = |text: &str| serde_json::to_string(text).unwrap_or_default();
    let mut text = format!(
        "# Expected failures of {}. Each needs an owner before it counts.\ntarget: {}\nexpect:",
        shown(&of.name, 200),
        quoted(&of.target)
    );
    let scope =
        of.options.as_ref().map_or_else(String::new, |glob| format!("    scope: {{ options: {} }}\n", quoted(glob)));
    if failures.is_empty() {
        text.push_str(" []");
    }
    text.push('\n');
    for (scenario, reason) in failures {
        text.push_str(&format!(
            "  - scenario: {}\n    reason:\n      en: {}\n      zh: {}\n    link: \"\"\n    owner: \"\"\n    expires: {expires}\n{scope}",
            quoted(scenario),
            quoted(&reason.en),
            quoted(&reason.zh),
        ));
    }
    text
}
