//! Scenario files: one text, a folder, or the ones built in.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path as FilePath, PathBuf};

use include_dir::{Dir, include_dir};
use serde::Deserialize;

use super::error::{self, Complaint, SpecError, Told};
use super::locate::{self, Segment};
use super::lower::{self, Found, Problem};
use super::meter::Meter;
use super::raw::RawScenario;
use super::scenario::Scenario;
use super::text::{self, Document};

/// Bytes of a document that are read again for the places of its mistakes.
const READ_AGAIN: usize = 16 << 20;

static BUILT_IN: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/specs");

/// Reads one file of one or more documents.
///
/// # Errors
/// What is wrong, document by document; at least one error for each file that is wrong, and no more than a person
/// reads: of the rest the number.
pub fn parse(file: &str, text: &str) -> Result<Vec<Scenario>, Vec<SpecError>> {
    let mut loading = Loading::default();
    loading.add(file, text);
    loading.finish()
}

/// Reads every `.yaml` and `.yml` file of a folder and of the folders in it, or the one file given, sorted by path.
/// Files of expected failures and of contracts are passed over.
///
/// # Errors
/// What is wrong in any of them, files that cannot be read included.
pub fn load_dir(path: impl AsRef<FilePath>) -> Result<Vec<Scenario>, Vec<SpecError>> {
    let path = path.as_ref();
    let mut loading = Loading::default();
    let mut any = false;
    for file in yaml_files(path, &mut loading.errors) {
        match read(&file) {
            Ok(Contents::Scenarios(text)) => {
                any = true;
                loading.add(&file.display().to_string(), &text);
            }
            Ok(Contents::Expectations(_) | Contents::Contract(_)) => {}
            Err(error) => loading.errors.push(error),
        }
    }
    if !any && loading.errors.is_empty() {
        let message = if path.is_file() {
            "this file lists expected failures or rows of a contract; it has no scenario"
        } else {
            "no scenario files (.yaml) in this folder"
        };
        loading.errors.push(SpecError::of_file(&path.display().to_string(), message));
    }
    loading.finish()
}

/// Whether a folder's or a command line's files are well formed, scenarios and expected failures alike.
#[derive(Debug, Default)]
pub struct Checked {
    /// In the order of the files.
    pub scenarios: Vec<Scenario>,
    /// Entries of files of expected failures, and how many such files there are.
    pub expected: usize,
    /// See `expected`.
    pub expectations: usize,
    /// Rows of contracts.
    pub rows: Vec<super::contract::Row>,
    /// What is not well formed.
    pub errors: Vec<SpecError>,
}

/// Reads files and the `.yaml` and `.yml` files of folders, each file once, for what its contents show it to be.
#[must_use]
pub fn check(paths: &[PathBuf]) -> Checked {
    let mut checked = Checked::default();
    let mut loading = Loading::default();
    let mut rows = super::contract::Rows::default();
    let mut seen = BTreeSet::new();
    for path in paths {
        let files = yaml_files(path, &mut loading.errors);
        if files.is_empty() && path.is_dir() {
            let message = "no scenario files (.yaml) in this folder";
            loading.errors.push(SpecError::of_file(&path.display().to_string(), message));
        }
        for file in files {
            if !seen.insert(fs::canonicalize(&file).unwrap_or_else(|_| file.clone())) {
                continue;
            }
            let name = file.display().to_string();
            match read(&file) {
                Ok(Contents::Scenarios(text)) => loading.add(&name, &text),
                Ok(Contents::Contract(text)) => rows.add(&name, &text),
                Ok(Contents::Expectations(text)) => match super::expect::parse(&name, &text) {
                    Ok(read) => {
                        (checked.expected, checked.expectations) =
                            (checked.expected + read.entries.len(), checked.expectations + 1)
                    }
                    Err(errors) => loading.errors.extend(errors),
                },
                Err(error) => loading.errors.push(error),
            }
        }
    }
    checked.scenarios = loading.scenarios;
    checked.rows = rows.rows;
    checked.errors = loading.errors;
    checked.errors.extend(rows.errors);
    checked
}

/// The text of a file, by what it is about.
enum Contents {
    Scenarios(String),
    Expectations(String),
    Contract(String),
}

/// A file is told by its keys; one whose keys say nothing, by its folder.
fn read(file: &FilePath) -> Result<Contents, SpecError> {
    let text = text::read(file)?;
    if super::contract::is_meant(&text) {
        return Ok(Contents::Contract(text));
    }
    let in_folder = || file.parent().is_some_and(is_of_expectations);
    let expects = super::expect::is_meant(&text).unwrap_or_else(in_folder);
    Ok(if expects { Contents::Expectations(text) } else { Contents::Scenarios(text) })
}

/// The scenarios that come with poolproof, sorted by path.
///
/// # Panics
/// Never in a build that passed its tests: one of them reads every built-in file.
#[must_use]
pub fn built_in() -> Vec<Scenario> {
    let mut loading = Loading::default();
    built_in_texts().iter().for_each(|(file, text)| loading.add(file, text));
    loading.finish().unwrap_or_else(|errors| {
        let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
        panic!("a built-in scenario is wrong:\n{}", lines.join("\n"))
    })
}

/// Path and text of the files that come with poolproof, sorted by path.
pub(super) fn built_in_texts() -> Vec<(String, String)> {
    fn walk(dir: &Dir<'_>, into: &mut Vec<(String, String)>) {
        for file in dir.files().filter(|f| f.path().extension().is_some_and(|e| e == "yaml")) {
            let text = file.contents_utf8().unwrap_or_default();
            into.push((format!("specs/{}", file.path().display()), text.to_owned()));
        }
        let is_other = |d: &Dir<'_>| is_of_expectations(d.path()) || d.path().ends_with(super::contract::FOLDER);
        dir.dirs().filter(|d| !is_other(d)).for_each(|d| walk(d, into));
    }
    let mut texts = Vec::new();
    walk(&BUILT_IN, &mut texts);
    texts.sort();
    texts
}

/// The text of one file that comes with poolproof, by its path below `specs`.
pub(super) fn built_in_text(path: &str) -> Option<&'static str> {
    BUILT_IN.get_file(path).and_then(|file| file.contents_utf8())
}

/// Path and text of the contracts that come with poolproof, sorted by path.
pub(super) fn built_in_contracts() -> Vec<(String, &'static str)> {
    let folders = BUILT_IN.get_dir(super::contract::FOLDER).map(Dir::dirs).into_iter().flatten();
    let texts = folders.flat_map(Dir::files).filter_map(|f| Some((f.path().display(), f.contents_utf8()?)));
    let mut texts: Vec<_> = texts.map(|(path, text)| (format!("specs/{path}"), text)).collect();
    texts.sort();
    texts
}

/// Path and text of the expected failures that come with poolproof.
#[cfg(test)]
pub(super) fn built_in_expectations() -> Vec<(String, &'static str)> {
    let files = BUILT_IN.get_dir(super::expect::FOLDER).map(Dir::files).into_iter().flatten();
    files.filter_map(|f| Some((format!("specs/{}", f.path().display()), f.contents_utf8()?))).collect()
}

fn is_of_expectations(path: &FilePath) -> bool {
    path.file_name().is_some_and(|name| name == super::expect::FOLDER)
}

/// The files that a path stands for, sorted.
fn yaml_files(path: &FilePath, errors: &mut Vec<SpecError>) -> Vec<PathBuf> {
    let mut files = Vec::new();
    collect(path, &mut BTreeSet::new(), &mut files, errors);
    files.sort();
    files
}

/// `seen` has the folders that were looked into, under their own names: links may go round in a circle.
fn collect(path: &FilePath, seen: &mut BTreeSet<PathBuf>, files: &mut Vec<PathBuf>, errors: &mut Vec<SpecError>) {
    let failed = |e: &std::io::Error| SpecError::of_file(&path.display().to_string(), format!("cannot be read: {e}"));
    if !path.is_dir() {
        files.push(path.to_owned());
        return;
    }
    if !seen.insert(fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())) {
        return;
    }
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(e) => return errors.push(failed(&e)),
    };
    for entry in entries {
        match entry.map(|entry| entry.path()) {
            Ok(inner) if inner.is_dir() => collect(&inner, seen, files, errors),
            Ok(inner) if inner.extension().is_some_and(|e| e == "yaml" || e == "yml") => files.push(inner),
            Ok(_) => {}
            Err(e) => errors.push(failed(&e)),
        }
    }
}

/// Files being read; an id that is given twice, wherever, is refused.
#[derive(Default)]
struct Loading {
    errors: Vec<SpecError>,
    scenarios: Vec<Scenario>,
    /// The file of each id.
    seen: BTreeMap<String, String>,
}

impl Loading {
    fn add(&mut self, file: &str, text: &str) {
        let mut told = Told::of(file);
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        for document in text::documents(text) {
            if let Some(error) = document.refused(file) {
                told.push(error);
                continue;
            }
            for scenario in scenarios(file, document, &mut told) {
                self.keep(scenario, document, &mut told);
            }
        }
        self.errors.extend(told.finish());
    }

    fn keep(&mut self, scenario: Scenario, document: Document<'_>, told: &mut Told) {
        let Some(first) = self.seen.get(&scenario.id) else {
            self.seen.insert(scenario.id.clone(), scenario.file.clone());
            return self.scenarios.push(scenario);
        };
        let complaint = Complaint::new(format!("there are two scenarios `{}`", scenario.id));
        let complaint = complaint.hint(format!("the first is in {first}"));
        let path = vec![Segment::Key("scenario".to_owned())];
        placed(&scenario.file, document, Found { kept: vec![Problem { path, complaint }], more: 0 }, told);
    }

    fn finish(self) -> Result<Vec<Scenario>, Vec<SpecError>> {
        if self.errors.is_empty() { Ok(self.scenarios) } else { Err(self.errors) }
    }
}

/// What a document holds: one scenario if it is right.
fn scenarios(file: &str, document: Document<'_>, told: &mut Told) -> Vec<Scenario> {
    let mut scenarios = Vec::new();
    for (number, deserializer) in locate::yaml(document.text).enumerate() {
        let meter = Meter::of(document.text);
        let raw = RawScenario::deserialize(meter.read(deserializer));
        match raw {
            Err(e) => {
                let again = || locate::yaml(document.text).nth(number);
                told.push(refusal(file, document, &e, &again));
                // The reader does not recover from broken YAML: it would offer the same document for ever.
                if !again().is_some_and(locate::is_yaml) {
                    break;
                }
            }
            Ok(raw) => match lower::scenario(&raw, file) {
                Ok(scenario) => scenarios.push(scenario),
                Err(found) => placed(file, document, found, told),
            },
        }
    }
    scenarios
}

/// The reader's refusal of a document, at its place in the file.
fn refusal<'t>(
    file: &str,
    document: Document<'t>,
    error: &serde_yaml::Error,
    again: &dyn Fn() -> Option<serde_yaml::Deserializer<'t>>,
) -> SpecError {
    let mut error = error::from_yaml(file, error);
    if again().is_some_and(locate::is_empty) {
        error.message = "this document is empty".to_owned();
        error.hint = Some("a scenario begins with `scenario: its-name`".to_owned());
    }
    if error.message.ends_with("is given twice") {
        (error.line, error.column) = again()
            .and_then(|document_again| locate::duplicate(document_again, document.text))
            .unwrap_or((error.line, error.column));
    }
    if error.message.starts_with(error::BEGINS_NOTHING) && is_tab(document.text, error.line, error.column) {
        error.message = "a tab stands here, and YAML indents with spaces".to_owned();
        error.hint = None;
    }
    // The reader takes more characters for line ends than editors do.
    error.line = error.line.min(document.lines()) + document.lines_before;
    error
}

fn is_tab(text: &str, line: usize, column: usize) -> bool {
    text.lines().nth(line.saturating_sub(1)).and_then(|l| l.chars().nth(column.saturating_sub(1))) == Some('\t')
}

/// Looks up where the problems stand, and tells them in that order. Each costs reading the document again up to its
/// place: of a large one fewer are told.
pub(super) fn placed(file: &str, document: Document<'_>, found: Found, told: &mut Told) {
    let affordable = (READ_AGAIN / document.text.len().max(1)).max(1);
    let room = told.room().min(affordable).min(found.kept.len());
    let mut errors: Vec<SpecError> = Vec::new();
    for problem in &found.kept[..room] {
        let (line, column) = locate::locate(document.text, &problem.path);
        errors.push(SpecError::at(file, (line + document.lines_before, column), &problem.complaint));
    }
    errors.sort_by_key(|e| (e.line, e.column));
    errors.into_iter().for_each(|error| told.push(error));
    told.skip(found.kept.len() - room + found.more);
}
