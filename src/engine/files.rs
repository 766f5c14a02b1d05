//! Files that a run writes and takes away, with its errors.

use std::path::Path;

use crate::files;

use super::EngineError;

/// As `files::write_whole`.
///
/// # Errors
/// `Write` with the path; no part of the file is left behind.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), EngineError> {
    files::write_whole(path, bytes).map_err(|source| EngineError::Write { path: path.to_owned(), source })
}

/// Removes a file, if there is one.
///
/// # Errors
/// `Write` with the path.
pub(super) fn remove(path: &Path) -> Result<(), EngineError> {
    match std::fs::remove_file(path) {
        Err(source) if !is_absent(&source) => Err(EngineError::Write { path: path.to_owned(), source }),
        _ => Ok(()),
    }
}

/// Removes a folder, if there is one and nothing is in it.
///
/// # Errors
/// `Write` with the path.
pub(super) fn remove_folder_if_empty(path: &Path) -> Result<(), EngineError> {
    match std::fs::remove_dir(path) {
        Err(source) if !is_absent(&source) && source.kind() != std::io::ErrorKind::DirectoryNotEmpty => {
            Err(EngineError::Write { path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}

fn is_absent(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_others_remove_is_made_again() {
        let root = tempfile::tempdir().expect("a temporary folder");
        let folder = root.path().join("running");
        let work = &|worker: usize| {
            for round in 0..500 {
                let path = folder.join(format!("{worker}.json"));
                write_whole(&path, b"{}").unwrap_or_else(|e| panic!("worker {worker}, round {round}: {e}"));
                remove(&path).expect("a file can be removed");
                remove_folder_if_empty(&folder).expect("a folder can be removed");
            }
        };
        std::thread::scope(|scope| (0..4).for_each(|worker| _ = scope.spawn(move || work(worker))));
    }
}
