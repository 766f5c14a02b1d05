//! PyTorch's allocator as it was released: which releases are known here, what is built beside one, and where it all lies.
//!
//! Decides the layout of an entry of the cache, and whether one is whole and of this program. How it gets there is `setup`'s; what
//! is asked of it is the target's. An entry holds
//!
//! ```text
//! libc10.so, libc10_cuda.so        PyTorch's own, untouched
//! libpoolproof_c10.so              the allocator behind plain C functions (workers/c10/shim.cpp)
//! forward/libcudart.so.12 or .13,
//!   libcuda.so.1, libnvidia-ml.so.1   functions that jump through slots (workers/c10/forward.c)
//! real/libcudart.so.12 or .13      NVIDIA's runtime, for a real GPU
//! include/                         PyTorch's headers
//! release.json                     what it is, where it came from and what was checked
//! ```
//!
//! Neither folder of libraries is that of libc10_cuda.so: it looks for NVML beside itself first (DT_RPATH), and must not find
//! the one that forwards where the GPU is real.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::packaged;

/// The releases that are known here, the newest first: the last patch of each minor version.
pub const RELEASES: [&str; 12] =
    ["2.15.0", "2.14.1", "2.13.0", "2.12.1", "2.11.0", "2.10.0", "2.9.1", "2.8.0", "2.7.1", "2.6.0", "2.5.1", "2.4.1"];

/// What the shim is built of.
pub const SHIM: [(&str, &str); 4] = [
    ("shim.cpp", include_str!("../../workers/c10/shim.cpp")),
    ("shim.h", include_str!("../../workers/c10/shim.h")),
    ("pools.h", include_str!("../../workers/c10/pools.h")),
    ("watch.h", include_str!("../../workers/c10/watch.h")),
];

/// What the forwarding libraries are built of.
pub const FORWARD: [(&str, &str); 2] = [
    ("forward.c", include_str!("../../workers/c10/forward.c")),
    ("functions.h", include_str!("../../workers/c10/functions.h")),
];

/// The folder of the libraries that forward.
pub const FORWARDERS: &str = "forward";

/// Raised when what is built of the same sources changes: another option of the compiler, another library.
const BUILT: &str = "2";

/// What `release.json` says of an entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The release, without what a build calls itself after `+`.
    pub version: String,
    /// What the build called itself, such as `2.11.0+cu130`.
    pub build: String,
    /// The major version of the CUDA runtime that it is linked against.
    pub cuda: u32,
    /// Whether it was built with the strings of before C++11.
    pub old_strings: bool,
    /// SHA-256 of what was built beside it, as source.
    pub built_from: String,
    /// What built it.
    pub compiler: String,
    /// Everything that was fetched, and what of it was checked.
    pub sources: Vec<Fetched>,
}

/// Something fetched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetched {
    /// The file.
    pub file: String,
    /// Where it was.
    pub from: String,
    /// How many bytes were read of it.
    pub bytes: u64,
    /// By which hash it was checked, and what was not.
    pub checked: String,
}

/// A release as it lies on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Released {
    /// Where: it is all there or not at all.
    pub folder: PathBuf,
    /// What it says of itself.
    pub record: Record,
}

/// The release that a version stands for: itself, or the last patch of `2.11`.
#[must_use]
pub fn known(asked: &str) -> Option<&'static str> {
    RELEASES
        .into_iter()
        .find(|&release| release == asked || release.rsplit_once('.').is_some_and(|(of, _)| of == asked))
}

/// The minor version of `2.minor.patch`, where it is one that the shim can be built for.
#[must_use]
pub fn minor(version: &str) -> Option<u32> {
    let minor: u32 = version.strip_prefix("2.")?.split('.').next()?.parse().ok()?;
    (4..=15).contains(&minor).then_some(minor)
}

/// Where the entry of a release lies, or would.
#[must_use]
pub fn folder(cache: &Path, version: &str) -> PathBuf {
    cache.join("poolproof").join(format!("torch-{version}"))
}

/// The entry of a release below the folder where programs keep what they can get again; `2.11` is the last patch of it.
#[must_use]
pub fn find(cache: &Path, version: &str) -> Option<Released> {
    let folder = folder(cache, known(version).unwrap_or(version));
    let record = serde_json::from_slice(&std::fs::read(folder.join("release.json")).ok()?).ok()?;
    let released = Released { folder, record };
    released.files().iter().all(|file| file.is_file()).then_some(released)
}

/// The same, below the folder that the program was told at its start.
#[must_use]
pub fn set_up(version: &str) -> Option<Released> {
    find(packaged::cache()?, version)
}

/// SHA-256 of the sources that this program would build, and of how.
#[must_use]
pub fn sources() -> String {
    let mut hash = Sha256::new();
    for text in SHIM.iter().chain(&FORWARD).flat_map(|(name, text)| [*name, *text]).chain([BUILT]) {
        hash.update(text.as_bytes());
        hash.update([0]);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Released {
    /// Of `2.minor.patch`.
    #[must_use]
    pub fn minor(&self) -> u32 {
        minor(&self.record.version).unwrap_or_default()
    }

    /// Whether what was built beside it is of the sources of this program.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.record.built_from == sources()
    }

    /// The runtime's name in the file system, such as `libcudart.so.13`.
    #[must_use]
    pub fn runtime_name(&self) -> String {
        runtime_name(self.record.cuda)
    }

    /// The libraries in the order in which they are opened, each for the global scope, where the program stands in for
    /// CUDA: runtime, driver, NVML, all forwarding; c10, c10_cuda; the shim.
    #[must_use]
    pub fn simulated(&self) -> [PathBuf; 6] {
        let forward = self.folder.join(FORWARDERS);
        let [runtime, driver, nvml] =
            [&self.runtime_name(), "libcuda.so.1", "libnvidia-ml.so.1"].map(|name| forward.join(name));
        let [c10, c10_cuda, shim] =
            ["libc10.so", "libc10_cuda.so", "libpoolproof_c10.so"].map(|name| self.folder.join(name));
        [runtime, driver, nvml, c10, c10_cuda, shim]
    }

    /// The same for a real GPU, whose driver and NVML are the system's: NVIDIA's runtime, c10, c10_cuda, the shim.
    #[must_use]
    pub fn real(&self) -> [PathBuf; 4] {
        let [_, _, _, c10, c10_cuda, shim] = self.simulated();
        [self.folder.join("real").join(self.runtime_name()), c10, c10_cuda, shim]
    }

    fn files(&self) -> Vec<PathBuf> {
        self.simulated().into_iter().chain(self.real()).collect()
    }
}

/// The CUDA runtime of a major version in the file system.
#[must_use]
pub fn runtime_name(cuda: u32) -> String {
    format!("libcudart.so.{cuda}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_may_leave_its_patch_out() {
        assert_eq!([known("2.11"), known("2.9"), known("2.14.1")], [Some("2.11.0"), Some("2.9.1"), Some("2.14.1")]);
        assert_eq!([known("2.1"), known("2"), known("2.14.0"), known("")], [None; 4]);
        assert!(RELEASES.iter().all(|release| minor(release).is_some()));
        assert_eq!([minor("2.3.1"), minor("2.16.0"), minor("1.13.0"), minor("2.9.0")], [None, None, None, Some(9)]);
    }

    #[test]
    fn an_entry_is_found_where_all_of_it_is() {
        let cache = tempfile::tempdir().expect("a folder");
        let record = Record {
            version: "2.11.0".to_owned(),
            build: "2.11.0+cu130".to_owned(),
            cuda: 13,
            old_strings: false,
            built_from: sources(),
            compiler: "c++".to_owned(),
            sources: Vec::new(),
        };
        let entry = Released { folder: folder(cache.path(), "2.11.0"), record };
        for folder in ["real", FORWARDERS] {
            std::fs::create_dir_all(entry.folder.join(folder)).expect("a folder of our own");
        }
        let text = serde_json::to_vec(&entry.record).expect("plain");
        std::fs::write(entry.folder.join("release.json"), text).expect("a folder of our own");
        assert_eq!(find(cache.path(), "2.11"), None);
        for file in entry.files() {
            std::fs::write(file, "").expect("a folder of our own");
        }
        assert_eq!(find(cache.path(), "2.11"), Some(entry.clone()));
        assert!(entry.is_current() && entry.minor() == 11);
        std::fs::remove_file(entry.folder.join("forward/libcuda.so.1")).expect("it is there");
        assert_eq!(find(cache.path(), "2.11.0"), None);
    }
}
