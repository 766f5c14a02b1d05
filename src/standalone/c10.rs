//! A program against c10's library alone, over the stand-in for CUDA that is published with the trophies.
//!
//! Decides where the stand-in lies while it runs. The script that builds both is the one that readers of the trophies call.

use std::fs;
use std::path::Path;

use crate::child::Program;
use crate::target::{self, TargetName};

/// The stand-in, the head of each program, and the script.
const FILES: [(&str, &str); 3] = [
    ("standin.c", include_str!("../../reports/trophies/c10/standin.c")),
    ("begin.h", include_str!("../../reports/trophies/c10/begin.h")),
    ("run", include_str!("../../reports/trophies/c10/run")),
];

/// What builds and runs a program on the release that a target's name stands for.
pub(super) fn program(name: &TargetName, file: &Path, folder: &Path) -> Result<Program, String> {
    let release = target::released_as(name).ok_or("the release is not set up (`poolproof setup torch`)")?;
    for (file, text) in FILES {
        fs::write(folder.join(file), text).map_err(|error| format!("{}: {error}", folder.join(file).display()))?;
    }
    let script = folder.join("run");
    Ok(Program::new("sh", [script.as_os_str(), release.folder.as_os_str(), file.as_os_str()]))
}

/// How the program itself ended, as the script tells in its last line: a signal is 128 and its number there.
pub(super) fn ended(told: &str) -> Option<i32> {
    told.lines().next_back()?.rsplit_once(": exit ")?.1.parse().ok()
}
