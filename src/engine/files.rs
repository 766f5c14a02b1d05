//! Files that appear whole or not at all.

use std::io::Write;
use std::path::Path;

use super::EngineError;

/// Writes a file by way of a temporary one beside it; makes its folder first.
///
/// # Errors
/// `Write` with the path; no part of the file is left behind.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), EngineError> {
    let fail = |source| EngineError::Write { path: path.to_owned(), source };
    let mut draft = draft_beside(path).map_err(fail)?;
    draft.write_all(bytes).map_err(fail)?;
    draft.persist(path).map_err(|e| fail(e.error))?;
    Ok(())
}

/// An empty temporary file in the folder of `path`, which is made first.
fn draft_beside(path: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    /// Another run into the same results may remove the folder, while it is empty, just after it was made here.
    const ATTEMPTS: usize = 1_000;
    let folder = path.parent().filter(|f| !f.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    builder.prefix(".poolproof-");
    // Temporary files are private by default; what is published follows the umask.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let made = || std::fs::create_dir_all(folder).and_then(|()| builder.tempfile_in(folder));
    (1..ATTEMPTS).map(|_| made()).find(|made| !made.as_ref().is_err_and(is_race)).unwrap_or_else(made)
}

/// What making a folder, or a file in it, answers when the folder goes away under it.
fn is_race(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::AlreadyExists)
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
