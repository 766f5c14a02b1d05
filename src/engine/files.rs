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
    let folder = path.parent().filter(|f| !f.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(fail)?;
    let mut builder = tempfile::Builder::new();
    builder.prefix(".poolproof-");
    // Temporary files are private by default; what is published follows the umask.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut draft = builder.tempfile_in(folder).map_err(fail)?;
    draft.write_all(bytes).map_err(fail)?;
    draft.persist(path).map_err(|e| fail(e.error))?;
    Ok(())
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
