//! Simulated CUDA devices for a whole program: the library that brings them, and beside it those that carry CUDA's names.
//!
//! Decides where the library is looked for, and which folder of the cache holds all of it. `crates/simcuda` is the library: cargo builds
//! it beside this program, and it is no part of this program's file. The others are built here with the compiler of this machine.

use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::{TorchError, appear, build, draft_beside};
use crate::target::released::FORWARD;

/// What a program is started with (`LD_PRELOAD`).
pub const LIBRARY: &str = "libpoolproof_simcuda.so";

/// The functions that a whole PyTorch asks for beside those of its allocator.
const MORE_FUNCTIONS: &str = include_str!("../../../workers/simcuda/functions.h");

/// What the library opens beside itself.
const BESIDE: [&str; 4] = ["libcudart.so.12", "libcudart.so.13", "libcuda.so.1", "libnvidia-ml.so.1"];

/// Raised when the same sources are built otherwise.
const BUILT: &str = "1";

/// Makes the folder below `cache`, or finds it there; answers the library in it. `named` is another place of the library than beside
/// this program.
///
/// # Errors
/// The library is nowhere, there is no compiler, or a file cannot be written. Nothing is left behind.
pub fn simulated(named: Option<&Path>, cache: &Path) -> Result<PathBuf, TorchError> {
    if !cfg!(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))) {
        return Err(TorchError::Platform { os: std::env::consts::OS, processor: std::env::consts::ARCH });
    }
    let own = std::env::current_exe().ok();
    let places: Vec<PathBuf> = match named {
        Some(file) => vec![file.to_owned()],
        None => beside(own.as_deref()),
    };
    let library = places.iter().find(|place| place.is_file()).ok_or_else(|| TorchError::NoSimulated {
        library: LIBRARY,
        places: places.iter().map(|place| place.display().to_string()).collect(),
    })?;
    let bytes = fs::read(library).map_err(TorchError::file(library))?;
    let folder = cache.join("poolproof").join(format!("simcuda-{}", key(&bytes)));
    let is_there = || BESIDE.iter().chain([&LIBRARY]).all(|name| folder.join(name).is_file());
    if !is_there() {
        make(&bytes, &folder, &is_there)?;
    }
    Ok(folder.join(LIBRARY))
}

/// Where cargo puts it: beside the program, or among what the program was built of.
fn beside(program: Option<&Path>) -> Vec<PathBuf> {
    let folder = program.and_then(Path::parent);
    folder.map(|folder| vec![folder.join(LIBRARY), folder.join("deps").join(LIBRARY)]).unwrap_or_default()
}

/// The first digits of what the folder is made of.
fn key(library: &[u8]) -> String {
    let mut hash = Sha256::new();
    hash.update(library);
    for text in FORWARD.iter().map(|(_, text)| *text).chain([MORE_FUNCTIONS, BUILT]) {
        hash.update(text.as_bytes());
        hash.update([0]);
    }
    hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

fn make(library: &[u8], folder: &Path, is_there: &dyn Fn() -> bool) -> Result<(), TorchError> {
    let compiler = build::compiler()?;
    let draft = draft_beside(folder)?;
    let sources = tempfile::Builder::new().prefix(".source-").tempdir_in(draft.path());
    let sources = sources.map_err(TorchError::file(draft.path()))?;
    for (name, text) in FORWARD {
        let path = sources.path().join(name);
        let more = if name == "functions.h" { MORE_FUNCTIONS } else { "" };
        fs::write(&path, format!("{text}{more}")).map_err(TorchError::file(&path))?;
    }
    build::forwarders(&compiler, sources.path(), &[12, 13], draft.path())?;
    drop(sources);
    let path = draft.path().join(LIBRARY);
    fs::write(&path, library).map_err(TorchError::file(&path))?;
    appear(draft, folder, is_there)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_that_is_nowhere_is_missed_with_the_places() {
        let folder = tempfile::tempdir().expect("a folder");
        let named = folder.path().join("none.so");
        let error = simulated(Some(&named), folder.path()).expect_err("it is not there");
        assert!(error.to_string().contains("none.so"), "{error}");
        assert!(error.advice().is_some_and(|advice| advice.contains("poolproof-simcuda")));
        let places = beside(Some(Path::new("/a/b/poolproof")));
        assert_eq!(places, [Path::new("/a/b").join(LIBRARY), Path::new("/a/b/deps").join(LIBRARY)]);
        assert!(beside(None).is_empty());
    }

    #[test]
    fn no_function_is_listed_twice() {
        let all: Vec<&str> = FORWARD
            .iter()
            .map(|(_, text)| *text)
            .chain([MORE_FUNCTIONS])
            .flat_map(str::lines)
            .filter(|line| ["RUNTIME", "DRIVER", "MANAGEMENT"].iter().any(|word| line.starts_with(word)))
            .collect();
        let mut once = all.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), all.len());
    }
}
