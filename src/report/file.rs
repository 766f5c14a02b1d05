//! Run records and reports as files: read one, write all of a run's.
//!
//! Decides which files a run's folder holds and that each appears whole. Does not decide what is in them.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Language;
use super::export::exporters;
use crate::files::{Draft, write_whole};
use crate::input::{self, Looks};
use crate::verdict::comparison::Comparison;
use crate::verdict::record::RunRecord;
use crate::verdict::releases::ReleaseMatrix;
use crate::verdict::survival::{GuidedHunt, Survival};

/// Why a run record could not be read, or a report not written.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the message of each says what happened")]
pub enum ReportError {
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{}:{line}:{column}: not JSON: {reason}", path.display())]
    NotJson { path: PathBuf, line: usize, column: usize, reason: String },
    #[error("{}: this is {}, and a record of poolproof is wanted (`{expected}`)", path.display(), looks.name())]
    Foreign { path: PathBuf, looks: Looks, expected: &'static str },
    #[error("{}: not a record of poolproof: it has no `format`; `{expected}` is expected", path.display())]
    NoFormat { path: PathBuf, expected: &'static str },
    #[error("{}: unknown format `{found}`; this version reads `{expected}`", path.display())]
    UnknownFormat { path: PathBuf, found: String, expected: &'static str },
    #[error("{}:{line}:{column}: not `{expected}`: {reason}", path.display())]
    Malformed { path: PathBuf, line: usize, column: usize, expected: &'static str, reason: String },
    #[error("{}: there is no {RUN_FILE} in this folder, packed or not", path.display())]
    NoRecord { path: PathBuf, below: Option<PathBuf> },
    #[error("cannot write {}: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("finding {finding} names the file `{file}`, which is not below the run's folder")]
    Outside { finding: String, file: String },
    #[error("cannot put {what} into JSON: {source}")]
    Json { what: &'static str, source: serde_json::Error },
    #[error("cannot put the results into XML: {source}")]
    Xml { source: quick_junit::SerializeError },
}

/// The record of a run in its folder.
pub(super) const RUN_FILE: &str = "run.json";

/// Reads a `run.json` of any version of this program that wrote its format.
///
/// # Errors
/// A file that cannot be read, is not JSON, is of another format, or lacks what a run record has.
pub fn read(path: &Path) -> Result<RunRecord, ReportError> {
    let mut record: RunRecord = read_as(path, &[RunRecord::FORMAT, RunRecord::FORMAT_1])?;
    if record.is_format_1() {
        complete(&mut record);
    }
    Ok(record)
}

/// Reads the record of a run by its file, or by the folder that the run left.
///
/// # Errors
/// As `read`, and a folder without a record.
pub fn read_folder(path: &Path) -> Result<RunRecord, ReportError> {
    if !path.is_dir() {
        return read(path);
    }
    match record_in(path) {
        Some(file) => read(&file),
        None => {
            // A run leaves a folder for each of its targets, and people name the one above.
            let mut below: Vec<PathBuf> =
                fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
            below.sort();
            let below = below.into_iter().find(|folder| record_in(folder).is_some());
            Err(ReportError::NoRecord { path: path.to_owned(), below })
        }
    }
}

fn record_in(folder: &Path) -> Option<PathBuf> {
    let names = [RUN_FILE.to_owned(), format!("{RUN_FILE}.gz")];
    names.into_iter().map(|name| folder.join(name)).find(|path| path.is_file())
}

/// What a record of format 1 says in other words: a filter was a skip, and the selection told of globs and shares.
fn complete(record: &mut RunRecord) {
    for entry in &record.selection {
        match entry.split_once(' ') {
            Some(("--scenario", glob)) => record.scope.scenarios.push(glob.to_owned()),
            Some(("--shard", share)) => record.scope.shard = Some(share.to_owned()),
            _ => {}
        }
    }
}

/// Reads a `survival.json`.
///
/// # Errors
/// As `read`.
pub fn read_survival(path: &Path) -> Result<Survival, ReportError> {
    read_as(path, &[Survival::FORMAT])
}

/// A survival record as it is kept: a line, since most of it are long lists of numbers.
///
/// # Errors
/// `Json`, which cannot happen to a record that was measured.
pub fn survival_json(survival: &Survival) -> Result<Vec<u8>, ReportError> {
    let mut bytes =
        serde_json::to_vec(survival).map_err(|source| ReportError::Json { what: "a survival record", source })?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// The matrix of releases as it is kept.
///
/// # Errors
/// `Json`, which cannot happen to one that was made here.
pub fn releases_json(matrix: &ReleaseMatrix) -> Result<Vec<u8>, ReportError> {
    json("a matrix of releases", matrix)
}

/// A comparison as it is kept.
///
/// # Errors
/// `Json`, which cannot happen to one that was made here.
pub fn comparison_json(comparison: &Comparison) -> Result<Vec<u8>, ReportError> {
    json("a comparison", comparison)
}

/// Adds hunts that were led by coverage: an object a line, in any order; the same defect and seed twice
/// counts once, the last time.
///
/// # Errors
/// A file that cannot be read, or a line that is no hunt of a defect of the record.
pub fn add_guided(survival: &mut Survival, path: &Path) -> Result<(), ReportError> {
    const FORMAT: &str = "a coverage-guided hunt";
    let unreadable = |source| ReportError::Read { path: path.to_owned(), source };
    let bytes = input::read(path).map_err(unreadable)?;
    let text = String::from_utf8(bytes).map_err(|e| unreadable(io::Error::new(io::ErrorKind::InvalidData, e)))?;
    let mut all: BTreeMap<(String, u64), GuidedHunt> = BTreeMap::new();
    for (i, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let at = |error: ReportError| match error {
            ReportError::Malformed { path, column, expected, reason, .. } => {
                ReportError::Malformed { path, line: i + 1, column, expected, reason }
            }
            ReportError::NotJson { path, column, reason, .. } => {
                ReportError::NotJson { path, line: i + 1, column, reason }
            }
            other => other,
        };
        let hunt: GuidedHunt = serde_json::from_str(line).map_err(|e| at(refused(path, FORMAT, &e)))?;
        if !survival.defects.iter().any(|d| d.name == hunt.defect) {
            let reason = format!("`{}` is no defect of this record", hunt.defect);
            let (path, line, column) = (path.to_owned(), i + 1, 1);
            return Err(ReportError::Malformed { path, line, column, expected: FORMAT, reason });
        }
        all.insert((hunt.defect.clone(), hunt.seed), hunt);
    }
    survival.set_guided(all.into_values());
    Ok(())
}

fn read_as<T: DeserializeOwned>(path: &Path, known: &[&'static str]) -> Result<T, ReportError> {
    /// `format` may be anything here, so that a foreign file is named as such.
    #[derive(Deserialize)]
    struct Head {
        #[serde(default)]
        format: serde_json::Value,
    }
    let expected = known.first().copied().unwrap_or_default();
    let bytes = input::read_unpacked(path).map_err(|source| ReportError::Read { path: path.to_owned(), source })?;
    if let Some(looks) = input::looks(&bytes[..bytes.len().min(input::HEAD)]) {
        return Err(ReportError::Foreign { path: path.to_owned(), looks, expected });
    }
    let bytes = input::without_mark(&bytes);
    let head: Head = serde_json::from_slice(bytes).map_err(|e| refused(path, expected, &e))?;
    match head.format {
        serde_json::Value::String(format) if known.contains(&format.as_str()) => {}
        serde_json::Value::Null => return Err(ReportError::NoFormat { path: path.to_owned(), expected }),
        other => {
            let found = other.as_str().map_or_else(|| other.to_string(), str::to_owned);
            return Err(ReportError::UnknownFormat { path: path.to_owned(), found, expected });
        }
    }
    serde_json::from_slice(bytes).map_err(|e| refused(path, expected, &e))
}

fn refused(path: &Path, expected: &'static str, error: &serde_json::Error) -> ReportError {
    let (path, line, column) = (path.to_owned(), error.line(), error.column());
    let text = error.to_string();
    let reason = text.split(" at line ").next().unwrap_or(&text).to_owned();
    if error.is_data() {
        ReportError::Malformed { path, line, column, expected, reason }
    } else {
        ReportError::NotJson { path, line, column, reason }
    }
}

/// Writes a run's folder: a reproducer for each finding, the reports, `junit.xml` and `run.json`, the
/// last of all. What an earlier run left there and this one does not have goes away, so that the folder
/// shows one run. Answers the files in the order they were written.
///
/// # Errors
/// A folder or file that cannot be written, or a finding whose file lies outside the folder (checked first).
pub fn write(record: &RunRecord, dir: &Path, languages: &[Language]) -> Result<Vec<PathBuf>, ReportError> {
    for finding in &record.findings {
        if let Some(file) = finding.files().find(|file| !is_below(file)) {
            return Err(ReportError::Outside { finding: finding.id.clone(), file: file.to_owned() });
        }
    }
    let earlier = read(&dir.join(RUN_FILE)).ok();
    let mut written = Vec::new();
    for finding in &record.findings {
        let (path, text) = (dir.join(&finding.file), json("a reproducer", &finding.reproducer)?);
        // A run under way writes its findings again and again, and few of them change.
        if fs::read(&path).is_ok_and(|there| there == text) {
            written.push(path);
        } else {
            written.push(whole(&path, &text)?);
        }
        // Programs were written when they were run.
        written.extend(finding.files().skip(1).map(|file| dir.join(file)));
    }
    // One after the other at once, so that a process that is killed leaves files that agree.
    let mut drafts = Vec::new();
    for format in exporters(languages) {
        drafts.push(draft(dir.join(format.file_name()), &format.export(record)?)?);
    }
    for (path, draft) in drafts {
        draft.persist().map_err(|source| ReportError::Write { path: path.clone(), source })?;
        written.push(path);
    }
    if let Some(earlier) = earlier {
        clear(&earlier, dir, &written)?;
    }
    Ok(written)
}

/// Removes what the earlier run of this folder wrote and this one did not.
fn clear(earlier: &RunRecord, dir: &Path, written: &[PathBuf]) -> Result<(), ReportError> {
    let findings = earlier.findings.iter().flat_map(|finding| finding.files()).filter(|file| is_below(file));
    let reports = exporters(&Language::ALL);
    for path in findings
        .chain(reports.iter().map(|format| format.file_name()))
        .map(|file| dir.join(file))
        .filter(|path| !written.contains(path))
    {
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => return Err(ReportError::Write { path, source }),
            _ => {}
        }
    }
    Ok(())
}

/// A relative path that stays below where it starts.
fn is_below(file: &str) -> bool {
    !file.is_empty() && Path::new(file).components().all(|c| matches!(c, Component::Normal(_)))
}

pub(super) fn json<T: Serialize>(what: &'static str, value: &T) -> Result<Vec<u8>, ReportError> {
    let mut bytes = serde_json::to_vec_pretty(value).map_err(|source| ReportError::Json { what, source })?;
    bytes.push(b'\n');
    Ok(bytes)
}

fn draft(path: PathBuf, bytes: &[u8]) -> Result<(PathBuf, Draft), ReportError> {
    match Draft::new(&path, bytes) {
        Ok(draft) => Ok((path, draft)),
        Err(source) => Err(ReportError::Write { path, source }),
    }
}

fn whole(path: &Path, bytes: &[u8]) -> Result<PathBuf, ReportError> {
    write_whole(path, bytes).map_err(|source| ReportError::Write { path: path.to_owned(), source })?;
    Ok(path.to_owned())
}

/// The JSON Schema of `run.json`, as published in `reports/run.schema.json`.
#[must_use]
pub fn run_schema() -> serde_json::Value {
    schemars::schema_for!(RunRecord).to_value()
}

/// The JSON Schema of `compare.json`, as published in `reports/compare.schema.json`.
#[must_use]
pub fn comparison_schema() -> serde_json::Value {
    schemars::schema_for!(Comparison).to_value()
}
