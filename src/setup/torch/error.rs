//! Why a released allocator could not be fetched or built, and what would help.

use std::path::{Path, PathBuf};

use crate::setup::SetupError;

/// Nothing is left behind by any of them.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the message of each says what is wrong")]
pub enum TorchError {
    #[error("PyTorch {version} is no release that is known here; known are {known}")]
    NoRelease { version: String, known: String },
    #[error("{file} is PyTorch {version}, and what is built beside it knows 2.4 to 2.15")]
    NotKnown { file: String, version: String },
    #[error("{file} is PyTorch {found}, and {wanted} was asked for")]
    AnotherRelease { file: String, found: String, wanted: String },
    #[error("{}: there is no such file", path.display())]
    NoWheel { path: PathBuf },
    #[error("{} is there already, from {from}", folder.display())]
    There { folder: PathBuf, from: String },
    #[error("PyTorch's allocator for CUDA runs on Linux on x86-64 and on 64-bit ARM; this is {os} on {processor}")]
    Platform { os: &'static str, processor: &'static str },
    #[error("{file} has no {member}: it was built without CUDA")]
    NoCuda { file: String, member: String },
    #[error("{file} is not for this machine's processor")]
    Processor { file: String },
    #[error("{file} is linked against no CUDA runtime that is known here (libcudart.so.12, libcudart.so.13)")]
    Runtime { file: String },
    #[error("no wheel of {what} for {processor} at {}", places.join(", "))]
    NotOffered { what: String, processor: &'static str, places: Vec<String> },
    #[error("{url}: {reason}")]
    Unreachable { url: String, reason: String },
    #[error("{url}: the server answers {status}")]
    Refused { url: String, status: u16 },
    #[error("{url}: the server does not give out parts of a file (range requests)")]
    NoRanges { url: String },
    #[error("{url}: the connection was cut after {got} of {wanted} bytes, {attempts} times")]
    Cut { url: String, got: u64, wanted: u64, attempts: u32 },
    #[error("{file}: its SHA-256 is {found}, and the index says {expected}")]
    WrongHash { file: String, expected: String, found: String },
    #[error("{file}: {member} does not have the CRC-32 that the wheel states")]
    Damaged { file: String, member: String },
    #[error("{file}: no wheel that can be read: {reason}")]
    NotAWheel { file: String, reason: String },
    #[error("{url}: no page of a package index that can be read: {reason}")]
    NotAnIndex { url: String, reason: String },
    #[error("`{python}` has no torch installed")]
    NotInstalled { python: String },
    #[error("no certificates can be read in {}: {reason}", path.display())]
    Certificates { path: PathBuf, reason: String },
    #[error("`{proxy}` is no proxy that can be used")]
    Proxy { proxy: String },
    #[error("{library} is not there; looked at {}", places.join(", "))]
    NoSimulated { library: &'static str, places: Vec<String> },
    #[error("there is no C++ compiler: {} cannot be started", tried.join(", "))]
    NoCompiler { tried: Vec<String> },
    #[error("stopped before all was there; what was under way was given up")]
    Stopped,
    #[error(transparent)]
    Setup(#[from] SetupError),
}

impl TorchError {
    /// A file that cannot be read or written.
    pub(super) fn file(path: &Path) -> impl FnOnce(std::io::Error) -> TorchError {
        let path = path.to_owned();
        |source| TorchError::Setup(SetupError::File { path, source })
    }

    /// What would help, where that is known.
    #[must_use]
    pub fn advice(&self) -> Option<&'static str> {
        Some(match self {
            TorchError::NoCuda { .. } if cfg!(target_arch = "aarch64") => {
                "PyPI's wheels for 64-bit ARM have CUDA from 2.11 on; --wheel FILE takes one from elsewhere"
            }
            TorchError::NoCuda { .. } => {
                "an index of builds with CUDA, or a wheel of one, has it: PIP_INDEX_URL, --wheel FILE"
            }
            TorchError::NotOffered { .. } => {
                "the index is the one that pip uses (`pip config list`, PIP_INDEX_URL, PIP_EXTRA_INDEX_URL, PIP_FIND_LINKS)"
            }
            TorchError::NoRanges { .. } => {
                "fetch the whole wheel (`pip download --no-deps torch==VERSION`, 500 to 900 MB) and name it with --wheel FILE, \
                 or name an interpreter that has torch with --python"
            }
            TorchError::Unreachable { .. } | TorchError::Refused { .. } => {
                "it is needed once; pip's settings (PIP_INDEX_URL, PIP_CERT, HTTPS_PROXY) count here, and --wheel FILE or --python PROGRAM \
                 do with less of it"
            }
            TorchError::Cut { .. } => "a proxy may end long answers; --wheel FILE takes a wheel that came another way",
            TorchError::WrongHash { .. } | TorchError::Damaged { .. } => {
                "what arrived is not what was published: nothing of it was kept; try again, or another index (PIP_INDEX_URL)"
            }
            TorchError::NotInstalled { .. } => "leave --python out, and it is fetched from the index that pip uses",
            TorchError::There { .. } => "delete the folder to have it made anew",
            TorchError::NoSimulated { .. } => {
                "`cargo build --release -p poolproof-simcuda` builds it in a checkout, beside the program; --library FILE names another place"
            }
            TorchError::NoCompiler { .. } => "the package g++ or clang brings one; CXX names another",
            TorchError::Certificates { .. } => "PIP_CERT and SSL_CERT_FILE name a file of certificates (PEM)",
            TorchError::Setup(SetupError::File { source, .. }) if source.kind() == std::io::ErrorKind::StorageFull => {
                "the disk is full: a release takes 6 MB; XDG_CACHE_HOME names another place"
            }
            TorchError::Setup(error) => return error.advice(),
            _ => return None,
        })
    }

    /// Whether the command line has to be put right, and not the machine.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        match self {
            TorchError::NoRelease { .. } | TorchError::NotKnown { .. } | TorchError::AnotherRelease { .. } => true,
            TorchError::There { .. } | TorchError::NoWheel { .. } => true,
            TorchError::Setup(error) => error.is_usage(),
            _ => false,
        }
    }
}
