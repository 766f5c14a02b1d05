//! NVIDIA's headers and runtime, which PyTorch's headers and libraries are built on: packages of a few megabytes.
//!
//! Decides which packages belong to a major version. Every release of PyTorch of that version shares the folder.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::index::{Offer, Place, find};
use super::pip::Pip;
use super::web::{Web, Whole};
use super::{News, Tell, TorchError, appear, draft_beside, wheel};
use crate::target::released::{Fetched, runtime_name};

/// A package of an index.
struct Package {
    project: &'static str,
    version: &'static str,
    /// Whether only headers are wanted of it, which are a small part.
    is_large: bool,
}

/// Runtime and headers of one major version.
struct Cuda {
    major: u32,
    packages: [Package; 2],
}

/// Libraries of 12.1 and later run on 12.8, and c10 of 2.10 asks for functions of 12.8.
const KNOWN: [Cuda; 2] = [
    Cuda {
        major: 12,
        packages: [
            Package { project: "nvidia-cuda-runtime-cu12", version: "12.8.90", is_large: false },
            Package { project: "nvidia-cuda-nvcc-cu12", version: "12.8.93", is_large: true },
        ],
    },
    Cuda {
        major: 13,
        packages: [
            Package { project: "nvidia-cuda-runtime", version: "13.0.96", is_large: false },
            Package { project: "nvidia-cuda-crt", version: "13.0.88", is_large: false },
        ],
    },
];

/// These packages have some hundred members: their directories are short.
const DIRECTORY: u64 = 64 << 10;

/// Where headers and runtime are.
pub(super) struct Kit {
    pub include: PathBuf,
    pub runtime: PathBuf,
    pub sources: Vec<Fetched>,
}

/// The folder of a major version, fetched where it is not there.
pub(super) fn kit(major: u32, pip: &dyn Fn() -> Pip, cache: &Path, tell: Tell<'_>) -> Result<Kit, TorchError> {
    let known = KNOWN.iter().find(|cuda| cuda.major == major);
    let cuda = known.ok_or_else(|| TorchError::Runtime { file: "libc10_cuda.so".to_owned() })?;
    let folder = cache.join("poolproof").join(format!("cuda-{}", cuda.packages[0].version));
    let listed = folder.join("sources.json");
    let read = || serde_json::from_slice::<Vec<Fetched>>(&fs::read(&listed).ok()?).ok();
    let at = |sources| Kit { include: folder.join("include"), runtime: folder.join(runtime_name(major)), sources };
    if let Some(sources) = read() {
        return Ok(at(sources));
    }
    let pip = pip();
    let web = Web::new(&pip)?;
    let draft = draft_beside(&folder)?;
    let mut sources = Vec::new();
    for package in &cuda.packages {
        let offer = find(&web, &pip, package.project, package.version)?;
        sources.push(fetch(&web, package, &offer, draft.path(), tell)?);
    }
    let text = serde_json::to_vec_pretty(&sources).unwrap_or_default();
    let path = draft.path().join("sources.json");
    fs::write(&path, text).map_err(TorchError::file(&path))?;
    appear(draft, &folder, &|| read().is_some())?;
    Ok(at(sources))
}

/// A small package comes whole and is checked so; of a large one the headers come, where the server gives parts.
fn fetch(web: &Web, package: &Package, offer: &Offer, draft: &Path, tell: Tell<'_>) -> Result<Fetched, TorchError> {
    let (file, from) = (offer.file.clone(), offer.at.shown());
    let is_large = package.is_large;
    let wanted = move |name: &str| place(name, is_large);
    tell(News::Line(&format!("{from}{}", if is_large { " (headers)" } else { "" })));
    let url = match &offer.at {
        Place::File(path) => {
            wheel::from_file(path, &wanted, draft)?;
            let bytes = fs::metadata(path).map_or(0, |data| data.len());
            return Ok(Fetched { file, from, bytes, checked: wheel::CRC.to_owned() });
        }
        Place::Url(url) => url,
    };
    if is_large {
        let mut progress = |done, total| tell(News::Bytes { done, total });
        match wheel::from_server(web, url, DIRECTORY, &file, &wanted, draft, &mut progress) {
            Err(TorchError::NoRanges { .. }) => {}
            other => return Ok(Fetched { file, from, bytes: other?, checked: wheel::CRC.to_owned() }),
        }
    }
    let path = draft.join(".wheel");
    let mut whole = fs::File::create(&path).map_err(TorchError::file(&path))?;
    let (bytes, sha256) = web.whole(url, &mut whole, &mut |done, total| tell(News::Bytes { done, total })).map_err(
        |error| match error {
            Whole::Web(error) => error,
            Whole::Write(error) => TorchError::file(&path)(error),
        },
    )?;
    whole.flush().map_err(TorchError::file(&path))?;
    let checked = match &offer.sha256 {
        Some(expected) if *expected != sha256 => {
            return Err(TorchError::WrongHash { file, expected: expected.clone(), found: sha256 });
        }
        Some(_) => format!("SHA-256 {sha256} of the whole file, as the index gives it"),
        None => format!("{}; the index gives no SHA-256 (it is {sha256})", wheel::CRC),
    };
    wheel::from_file(&path, &wanted, draft)?;
    fs::remove_file(&path).map_err(TorchError::file(&path))?;
    Ok(Fetched { file, from, bytes, checked })
}

/// Headers, and the runtime itself.
fn place(name: &str, is_large: bool) -> Option<PathBuf> {
    let inside = name.strip_prefix("nvidia/")?.split_once('/')?.1;
    let header = inside.strip_prefix("include/").filter(|header| !is_large || header.starts_with("crt/"));
    if let Some(header) = header {
        return Some(Path::new("include").join(header));
    }
    let library = inside.strip_prefix("lib/").filter(|_| !is_large)?;
    let is_runtime = KNOWN.iter().any(|cuda| library == runtime_name(cuda.major));
    is_runtime.then(|| PathBuf::from(library))
}
