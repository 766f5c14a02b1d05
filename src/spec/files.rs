//! Scenario files: one text, a folder, or the ones built in.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path as FilePath, PathBuf};

use include_dir::{Dir, include_dir};
use serde::Deserialize;

use super::error::{self, SpecError};
use super::locate::{self, Segment};
use super::lower::{self, Problem};
use super::raw::RawScenario;
use super::scenario::Scenario;

static BUILT_IN: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/specs");

/// A scenario with the number of its document.
struct Read {
    document: usize,
    scenario: Scenario,
}

/// Reads one file of one or more documents.
///
/// # Errors
/// Everything that is wrong, document by document; at least one error for each document that is wrong.
pub fn parse(file: &str, text: &str) -> Result<Vec<Scenario>, Vec<SpecError>> {
    join(&[(file.to_owned(), text.to_owned())])
}

/// Reads every `.yaml` and `.yml` file of a folder and of the folders in it, or the one file given, sorted by path.
/// Folders called `expect` hold expected failures and are passed over.
///
/// # Errors
/// Everything that is wrong in any of them, files that cannot be read included.
pub fn load_dir(path: impl AsRef<FilePath>) -> Result<Vec<Scenario>, Vec<SpecError>> {
    let path = path.as_ref();
    let mut files = Vec::new();
    let mut errors = Vec::new();
    collect(path, &mut files, &mut errors);
    files.sort();
    let mut texts = Vec::new();
    for file in files {
        match fs::read_to_string(&file) {
            Ok(text) => texts.push((file.display().to_string(), text)),
            Err(e) => errors.push(unreadable(&file, &e)),
        }
    }
    if texts.is_empty() && errors.is_empty() {
        let message = "no scenario files (.yaml) in this folder".to_owned();
        errors.push(SpecError { file: path.display().to_string(), line: 0, column: 0, message, hint: None });
    }
    match join(&texts) {
        Ok(scenarios) if errors.is_empty() => Ok(scenarios),
        Ok(_) => Err(errors),
        Err(more) => Err(errors.into_iter().chain(more).collect()),
    }
}

/// The scenarios that come with poolproof, sorted by path.
///
/// # Panics
/// Never in a build that passed its tests: one of them reads every built-in file.
#[must_use]
pub fn built_in() -> Vec<Scenario> {
    join(&built_in_texts()).unwrap_or_else(|errors| {
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
        dir.dirs().filter(|d| !is_of_expectations(d.path())).for_each(|d| walk(d, into));
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

/// Path and text of the expected failures that come with poolproof.
#[cfg(test)]
pub(super) fn built_in_expectations() -> Vec<(String, &'static str)> {
    let files = BUILT_IN.get_dir(super::expect::FOLDER).map(Dir::files).into_iter().flatten();
    files.filter_map(|f| Some((format!("specs/{}", f.path().display()), f.contents_utf8()?))).collect()
}

fn is_of_expectations(path: &FilePath) -> bool {
    path.file_name().is_some_and(|name| name == super::expect::FOLDER)
}

pub(super) fn unreadable(file: &FilePath, error: &std::io::Error) -> SpecError {
    let message = format!("cannot be read: {error}");
    SpecError { file: file.display().to_string(), line: 0, column: 0, message, hint: None }
}

fn collect(path: &FilePath, files: &mut Vec<PathBuf>, errors: &mut Vec<SpecError>) {
    if path.is_file() {
        files.push(path.to_owned());
        return;
    }
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(e) => return errors.push(unreadable(path, &e)),
    };
    for entry in entries {
        match entry {
            Ok(entry) if is_of_expectations(&entry.path()) => {}
            Ok(entry) if entry.path().is_dir() => collect(&entry.path(), files, errors),
            Ok(entry) if entry.path().extension().is_some_and(|e| e == "yaml" || e == "yml") => {
                files.push(entry.path())
            }
            Ok(_) => {}
            Err(e) => errors.push(unreadable(path, &e)),
        }
    }
}

/// Reads the files and refuses an id that is given twice, wherever.
fn join(texts: &[(String, String)]) -> Result<Vec<Scenario>, Vec<SpecError>> {
    let mut errors = Vec::new();
    let mut scenarios = Vec::new();
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    for (file, text) in texts {
        for Read { document, scenario } in documents(file, text, &mut errors) {
            if let Some(first) = seen.get(&scenario.id) {
                let at = [Segment::Key("scenario".to_owned())];
                let (line, column) = locate::locate(text, document, &at);
                let message = format!("there are two scenarios `{}`", scenario.id);
                let hint = Some(format!("the first is in {first}"));
                errors.push(SpecError { file: file.clone(), line, column, message, hint });
                continue;
            }
            seen.insert(scenario.id.clone(), file.clone());
            scenarios.push(scenario);
        }
    }
    if errors.is_empty() { Ok(scenarios) } else { Err(errors) }
}

fn documents(file: &str, text: &str, errors: &mut Vec<SpecError>) -> Vec<Read> {
    let mut scenarios = Vec::new();
    for (document, deserializer) in serde_yaml::Deserializer::from_str(text).enumerate() {
        match RawScenario::deserialize(deserializer) {
            Err(e) => {
                let again = || serde_yaml::Deserializer::from_str(text).nth(document);
                let mut error = error::from_yaml(file, &e);
                // The reader takes more characters for line ends than editors do.
                error.line = error.line.min(text.lines().count() + 1);
                if again().is_some_and(locate::is_empty) {
                    error.message = "this document is empty".to_owned();
                    error.hint = Some("a scenario begins with `scenario: its-name`".to_owned());
                }
                if error.message.ends_with("is given twice") {
                    (error.line, error.column) =
                        again().and_then(locate::duplicate).unwrap_or((error.line, error.column));
                }
                errors.push(error);
                // The reader does not recover from broken YAML: it would offer the same document for ever.
                if !again().is_some_and(locate::is_yaml) {
                    break;
                }
            }
            Ok(raw) => match lower::scenario(&raw, file) {
                Ok(scenario) => scenarios.push(Read { document, scenario }),
                Err(problems) => errors.extend(placed(file, text, document, problems)),
            },
        }
    }
    scenarios
}

/// Looks up where the problems stand, and sorts them so.
pub(super) fn placed(file: &str, text: &str, document: usize, problems: Vec<Problem>) -> Vec<SpecError> {
    let mut errors: Vec<SpecError> = problems
        .into_iter()
        .map(|problem| {
            let (line, column) = locate::locate(text, document, &problem.path);
            let (message, hint) = (problem.complaint.message, problem.complaint.hint);
            SpecError { file: file.to_owned(), line, column, message, hint }
        })
        .collect();
    errors.sort_by_key(|e| (e.line, e.column));
    errors
}
