//! Results as files: they appear whole or not at all.

use std::io::{ErrorKind, Result, Write};
use std::path::{Path, PathBuf};

/// Writes a file by way of a temporary one beside it; makes its folder first.
///
/// # Errors
/// What the system says; no part of the file is left behind.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    Draft::new(path, bytes)?.persist()
}

/// A file that is written and does not appear yet: several of them can appear as good as together.
#[derive(Debug)]
pub struct Draft {
    file: tempfile::NamedTempFile,
    path: PathBuf,
}

impl Draft {
    /// # Errors
    /// What the system says; no part of the file is left behind.
    pub fn new(path: &Path, bytes: &[u8]) -> Result<Self> {
        let mut file = draft_beside(path)?;
        file.write_all(bytes)?;
        Ok(Draft { file, path: path.to_owned() })
    }

    /// Lets the file appear.
    ///
    /// # Errors
    /// What the system says; no part of the file is left behind.
    pub fn persist(self) -> Result<()> {
        self.file.persist(self.path)?;
        Ok(())
    }
}

/// An empty temporary file in the folder of `path`, which is made first.
fn draft_beside(path: &Path) -> Result<tempfile::NamedTempFile> {
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
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::AlreadyExists)
}
