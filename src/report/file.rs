//! Run records and reports as files: read one, write all of a run's.
//!
//! Decides which files a run's folder holds and that each appears whole. Does not decide what is in them.

use std::fs;
use std::io::{self, Write};
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Language, junit, markdown};
use crate::verdict::Finding;
use crate::verdict::record::RunRecord;

/// Why a run record could not be read, or a report not written.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{}:{line}:{column}: not JSON: {reason}", path.display())]
    NotJson { path: PathBuf, line: usize, column: usize, reason: String },
    #[error("{}: not a run record: it has no `format`; run.json of poolproof says `{expected}`", path.display())]
    NoFormat { path: PathBuf, expected: &'static str },
    #[error("{}: unknown format `{found}`; this version reads `{expected}`", path.display())]
    UnknownFormat { path: PathBuf, found: String, expected: &'static str },
    #[error("{}:{line}:{column}: not a run record: {reason}", path.display())]
    Malformed { path: PathBuf, line: usize, column: usize, reason: String },
    #[error("cannot write {}: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("finding {finding} names the file `{file}`, which is not below the run's folder")]
    Outside { finding: String, file: String },
    #[error("cannot put {what} into JSON: {source}")]
    Json { what: &'static str, source: serde_json::Error },
    #[error("cannot put the results into XML: {source}")]
    Xml { source: quick_junit::SerializeError },
}

const RUN_FILE: &str = "run.json";
const JUNIT_FILE: &str = "junit.xml";

/// Reads a `run.json` of any version of this program that wrote its format.
///
/// # Errors
/// A file that cannot be read, is not JSON, is of another format, or lacks what a run record has.
pub fn read(path: &Path) -> Result<RunRecord, ReportError> {
    /// `format` may be anything here, so that a foreign file is named as such.
    #[derive(Deserialize)]
    struct Head {
        #[serde(default)]
        format: serde_json::Value,
    }
    let bytes = fs::read(path).map_err(|source| ReportError::Read { path: path.to_owned(), source })?;
    let head: Head = serde_json::from_slice(&bytes).map_err(|e| refused(path, &e))?;
    match head.format {
        serde_json::Value::String(format) if format == RunRecord::FORMAT => {}
        serde_json::Value::Null => {
            return Err(ReportError::NoFormat { path: path.to_owned(), expected: RunRecord::FORMAT });
        }
        serde_json::Value::String(found) => {
            return Err(ReportError::UnknownFormat { path: path.to_owned(), found, expected: RunRecord::FORMAT });
        }
        other => {
            let found = other.to_string();
            return Err(ReportError::UnknownFormat { path: path.to_owned(), found, expected: RunRecord::FORMAT });
        }
    }
    serde_json::from_slice(&bytes).map_err(|e| refused(path, &e))
}

fn refused(path: &Path, error: &serde_json::Error) -> ReportError {
    let (path, line, column) = (path.to_owned(), error.line(), error.column());
    let text = error.to_string();
    let reason = text.split(" at line ").next().unwrap_or(&text).to_owned();
    if error.is_data() {
        ReportError::Malformed { path, line, column, reason }
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
        if !is_below(&finding.file) {
            return Err(ReportError::Outside { finding: finding.id.clone(), file: finding.file.clone() });
        }
    }
    let run_file = dir.join(RUN_FILE);
    let earlier = read(&run_file).ok();
    let mut written = Vec::new();
    for finding in &record.findings {
        written.push(whole(&dir.join(&finding.file), &json("a reproducer", &finding.reproducer)?)?);
    }
    for &language in languages {
        written.push(whole(&dir.join(language.file_name()), markdown(record, language).as_bytes())?);
    }
    written.push(whole(&dir.join(JUNIT_FILE), junit(record)?.as_bytes())?);
    written.push(whole(&run_file, &json("a run record", record)?)?);
    if let Some(earlier) = earlier {
        clear(&earlier, dir, &written)?;
    }
    Ok(written)
}

/// Removes what the earlier run of this folder wrote and this one did not.
fn clear(earlier: &RunRecord, dir: &Path, written: &[PathBuf]) -> Result<(), ReportError> {
    let findings = earlier.findings.iter().map(|f: &Finding| f.file.as_str()).filter(|file| is_below(file));
    let reports = Language::ALL.iter().map(|l| l.file_name());
    for path in findings.chain(reports).map(|file| dir.join(file)).filter(|path| !written.contains(path)) {
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

fn json<T: Serialize>(what: &'static str, value: &T) -> Result<Vec<u8>, ReportError> {
    let mut bytes = serde_json::to_vec_pretty(value).map_err(|source| ReportError::Json { what, source })?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Writes a file so that it appears whole or not at all.
fn whole(path: &Path, bytes: &[u8]) -> Result<PathBuf, ReportError> {
    let failed = |source| ReportError::Write { path: path.to_owned(), source };
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(failed)?;
    let mut builder = tempfile::Builder::new();
    builder.prefix(".poolproof-");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // A temporary file is private by default; a report is for everyone the umask allows.
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    let mut file = builder.tempfile_in(folder).map_err(failed)?;
    file.write_all(bytes).map_err(failed)?;
    file.persist(path).map_err(|e| failed(e.error))?;
    Ok(path.to_owned())
}

/// The JSON Schema of `run.json`, as published in `reports/run.schema.json`.
#[must_use]
pub fn run_schema() -> serde_json::Value {
    schemars::schema_for!(RunRecord).to_value()
}
