//! Sequences that failed once, kept to be run first next time: `proptest-regressions/<target>/<area>-<name>.json`, in
//! the current folder where it is there already, and else below the results.
//!
//! Decides where they are and when one is kept. They are operations, not seeds: a change of the
//! generators does not make them mean something else.

use std::path::{Path, PathBuf};

use crate::input;
use crate::spec::{Body, Scenario};
use crate::target::TargetName;
use crate::verdict::Reproducer;

use super::EngineError;
use super::files::write_whole;
use super::tally::Tally;

/// The folder's usual name.
pub const FOLDER: &str = "proptest-regressions";

/// Where sequences are kept of a run that names no folder for them and puts its results into `out`. A folder of that
/// name in the current one is taken if it can be written; none is made there, as that folder is the user's.
#[must_use]
pub fn usual_folder(out: &Path) -> PathBuf {
    let here = Path::new(FOLDER);
    let is_usable = here.is_dir() && tempfile::tempfile_in(here).is_ok();
    if is_usable { here.to_owned() } else { out.join(FOLDER) }
}

/// `frac-out-of-range` for `frac::out-of-range`: the form of an id in file names.
#[must_use]
pub fn slug(id: &str) -> String {
    id.replace("::", "-")
}

fn file(root: &Path, target: &TargetName, id: &str) -> PathBuf {
    root.join(target.folder()).join(format!("{}.json", slug(id)))
}

/// The stored sequence of a scenario, if there is one.
///
/// # Errors
/// `Read` or `NotASequence` with the path: a stored failure is never passed over in silence.
pub(super) fn load(root: &Path, target: &TargetName, scenario: &Scenario) -> Result<Option<Reproducer>, EngineError> {
    let path = file(root, target, &scenario.id);
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(EngineError::Read { path, source }),
    };
    parse(&path, &text).map(Some)
}

/// Reads a reproducer.
///
/// # Errors
/// `NotASequence` with the place in the file.
pub(super) fn parse(path: &Path, text: &[u8]) -> Result<Reproducer, EngineError> {
    let wrong = |reason: String| EngineError::NotASequence { path: path.to_owned(), reason };
    let reproducer: Reproducer = serde_json::from_slice(input::without_mark(text)).map_err(|e| wrong(e.to_string()))?;
    if reproducer.format != Reproducer::FORMAT {
        return Err(wrong(format!("its format is `{}`, not `{}`", reproducer.format, Reproducer::FORMAT)));
    }
    Ok(reproducer)
}

/// Keeps the generated sequence that failed, unless the one kept before fails still.
pub(super) fn store(root: &Path, target: &TargetName, scenario: &Scenario, tally: &Tally) -> Result<(), EngineError> {
    let (Body::Generate(_), Some(caught), None) = (&scenario.body, &tally.caught, &tally.caught_again) else {
        return Ok(());
    };
    write_whole(&file(root, target, &scenario.id), &to_json(&caught.reproducer))
}

/// A reproducer as its file has it.
#[must_use]
pub fn to_json(reproducer: &Reproducer) -> Vec<u8> {
    let mut text = serde_json::to_vec_pretty(reproducer)
        .expect("a reproducer has string keys and no value that JSON lacks, so it always serialises");
    text.push(b'\n');
    text
}
