//! Each recording in a process of its own: the library can be opened once in each, and may end it.
//!
//! Decides how this program is called for one of them.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::time::Duration;

use crate::child::{self, Program, Unfinished};
use crate::target::TargetName;

/// A recording that another process plays back: what that printed, and how it ended.
#[derive(Debug)]
pub struct Apart {
    /// Its lines.
    pub printed: String,
    /// What it complained of.
    pub complained: String,
    /// Its exit status; `None` where a signal ended it.
    pub code: Option<i32>,
}

/// Has this program, at that path, play one recording back in a process of its own, as the library can be opened once in each.
///
/// # Errors
/// It cannot be started, or takes more than an hour.
pub fn apart(program: &Path, path: &Path, name: &TargetName) -> Result<Apart, Unfinished> {
    let arguments: [&OsStr; 6] = [
        "replay".as_ref(),
        "--exact".as_ref(),
        "--here".as_ref(),
        "--target".as_ref(),
        &OsString::from(name.to_string()),
        path.as_os_str(),
    ];
    let ended = child::finish(&Program::new(program, arguments), Duration::from_secs(3600))?;
    Ok(Apart { printed: ended.text().into_owned(), code: ended.status.code(), complained: ended.stderr })
}
