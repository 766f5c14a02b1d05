//! PyTorch's released allocator, fetched by the megabyte out of wheels of hundreds, with what drives it built beside it.
//!
//! Decides where a release may come from, in which order things are done, and that an entry appears whole or not at all. What an
//! entry holds is `target::released`'s.

mod build;
mod cuda;
mod error;
mod index;
mod pip;
mod remote;
pub mod simulated;
mod web;
mod wheel;

#[cfg(all(test, target_os = "linux"))]
mod server;
#[cfg(all(test, target_os = "linux"))]
mod tests;

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::{SetupError, started};
use crate::child::Program;
use crate::files::write_whole;
use crate::target::released::{self, Fetched, RELEASES, Record, Released, minor, runtime_name};

pub use error::TorchError;
use pip::Pip;
use web::Web;

/// What is told while it works.
#[derive(Debug, Clone, Copy)]
pub enum News<'a> {
    /// What begins.
    Line(&'a str),
    /// Bytes that have come, of how many.
    Bytes {
        /// So far.
        done: u64,
        /// In all, as far as is known.
        total: u64,
    },
}

/// Is told them; where bytes come, whether to go on is its answer.
pub type Tell<'a> = &'a mut dyn FnMut(News<'_>) -> bool;

/// Where a release comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The index that pip of this interpreter would ask.
    Index {
        /// The interpreter whose pip is asked for its settings.
        python: String,
    },
    /// A wheel that lies here.
    Wheel(PathBuf),
    /// What this interpreter has installed.
    Installed {
        /// The interpreter.
        python: String,
    },
}

/// The libraries that are wanted of PyTorch.
const LIBRARIES: [&str; 2] = ["libc10.so", "libc10_cuda.so"];

/// And its headers.
const HEADERS: [&str; 2] = ["include/c10/", "include/torch/headeronly/"];

/// The directory of a wheel of PyTorch lies at its end and takes up to 1.4 MB: one answer has it.
const DIRECTORY: u64 = 1408 << 10;

/// Where it says how it is called.
const VERSION: &str = "version.py";

/// The release that is meant: the newest where nothing is said.
///
/// # Errors
/// It is not known.
pub fn release(version: Option<&str>) -> Result<&'static str, TorchError> {
    let asked = version.unwrap_or(RELEASES[0]);
    released::known(asked)
        .ok_or_else(|| TorchError::NoRelease { version: asked.to_owned(), known: RELEASES.join(", ") })
}

/// Makes the entry of a release below `cache`, or builds anew what this program would build otherwise. Without a version it is
/// the newest, or whatever the wheel or the interpreter has.
///
/// # Errors
/// Whatever is missing or wrong, with nothing left behind.
pub fn make(source: &Source, version: Option<&str>, cache: &Path, tell: Tell<'_>) -> Result<Released, TorchError> {
    if !cfg!(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))) {
        let (os, processor) = (std::env::consts::OS, std::env::consts::ARCH);
        return Err(TorchError::Platform { os, processor });
    }
    if let Source::Wheel(path) = source
        && !path.is_file()
    {
        return Err(TorchError::NoWheel { path: path.clone() });
    }
    if let Source::Index { .. } = source {
        let version = release(version)?;
        if let Some(there) = released::find(cache, version) {
            return renew(source, there, cache, tell);
        }
    }
    // Whoever has no compiler learns it before anything is fetched.
    let compiler = build::compiler()?;
    let draft = draft_beside(&released::folder(cache, "any"))?;
    let fetched = fetch(source, version, draft.path(), tell)?;
    let said = draft.path().join(VERSION);
    let build = fs::read_to_string(&said).ok().and_then(|text| own_version(&text)).unwrap_or_default();
    let found = build.split('+').next().unwrap_or_default().to_owned();
    check_version(&fetched.file, &found, version)?;
    let folder = released::folder(cache, &found);
    if let Some(there) = released::find(cache, &found) {
        let from = there.record.sources.first().map_or_else(String::new, |first| first.from.clone());
        return if from == fetched.from {
            renew(source, there, cache, tell)
        } else {
            Err(TorchError::There { folder, from })
        };
    }
    fs::remove_file(&said).map_err(TorchError::file(&said))?;
    let facts = build::facts(draft.path())?;
    let kit = cuda::kit(facts.cuda, &|| source.pip(), cache, tell)?;
    let real = draft.path().join("real");
    fs::create_dir(&real).map_err(TorchError::file(&real))?;
    let runtime = real.join(runtime_name(facts.cuda));
    fs::copy(&kit.runtime, &runtime).map_err(TorchError::file(&runtime))?;
    build::build(&compiler, &found, facts, (&draft.path().join("include"), &kit.include), draft.path(), tell)?;
    let sources = std::iter::once(fetched).chain(kit.sources).collect();
    let record = Record {
        version: found.clone(),
        build,
        cuda: facts.cuda,
        old_strings: facts.old_strings,
        built_from: released::sources(),
        compiler: compiler.version,
        sources,
    };
    write_record(draft.path(), &record)?;
    appear(draft, &folder, &|| released::find(cache, &found).is_some())?;
    Ok(Released { folder, record })
}

/// An entry that another poolproof made is built anew; one of this program is left as it is.
fn renew(source: &Source, there: Released, cache: &Path, tell: Tell<'_>) -> Result<Released, TorchError> {
    if there.is_current() {
        return Ok(there);
    }
    let compiler = build::compiler()?;
    let Released { folder, mut record } = there;
    let kit = cuda::kit(record.cuda, &|| source.pip(), cache, tell)?;
    let facts = build::Facts { cuda: record.cuda, old_strings: record.old_strings };
    build::build(&compiler, &record.version, facts, (&folder.join("include"), &kit.include), &folder, tell)?;
    record.built_from = released::sources();
    record.compiler = compiler.version;
    write_record(&folder, &record)?;
    Ok(Released { folder, record })
}

impl Source {
    fn pip(&self) -> Pip {
        match self {
            Source::Index { python } | Source::Installed { python } => Pip::read(python),
            Source::Wheel(_) => Pip::read("python3"),
        }
    }
}

/// Libraries and headers of PyTorch, out of where they are.
fn fetch(source: &Source, version: Option<&str>, draft: &Path, tell: Tell<'_>) -> Result<Fetched, TorchError> {
    let (file, from, bytes, checked) = match source {
        Source::Index { .. } => from_index(&source.pip(), release(version)?, draft, tell)?,
        Source::Wheel(path) => {
            tell(News::Line(&path.display().to_string()));
            wheel::from_file(path, &wanted, draft)?;
            let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let bytes = fs::metadata(path).map_or(0, |data| data.len());
            let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
            (file, path.display().to_string(), bytes, wheel::CRC.to_owned())
        }
        Source::Installed { python } => {
            let torch = installed(python)?;
            tell(News::Line(&torch.display().to_string()));
            let bytes = copy_installed(&torch, draft)?;
            ("torch".to_owned(), torch.display().to_string(), bytes, "nothing: copied as it is installed".to_owned())
        }
    };
    let missing = LIBRARIES.iter().find(|library| !draft.join(library).is_file());
    match missing {
        Some(&"libc10.so") => Err(TorchError::NotAWheel { file, reason: "no PyTorch is in it".to_owned() }),
        Some(library) => Err(TorchError::NoCuda { file, member: format!("torch/lib/{library}") }),
        None => Ok(Fetched { file, from, bytes, checked }),
    }
}

fn from_index(
    pip: &Pip,
    version: &str,
    draft: &Path,
    tell: Tell<'_>,
) -> Result<(String, String, u64, String), TorchError> {
    let web = Web::new(pip)?;
    let offer = index::find(&web, pip, "torch", version)?;
    tell(News::Line(&offer.at.shown()));
    let bytes = match &offer.at {
        index::Place::Url(url) => {
            let mut progress = |done, total| tell(News::Bytes { done, total });
            wheel::from_server(&web, url, DIRECTORY, &offer.file, &wanted, draft, &mut progress)?
        }
        index::Place::File(path) => {
            wheel::from_file(path, &wanted, draft)?;
            fs::metadata(path).map_or(0, |data| data.len())
        }
    };
    Ok((offer.file, offer.at.shown(), bytes, wheel::CRC.to_owned()))
}

/// Where a member of PyTorch's wheel goes.
fn wanted(name: &str) -> Option<PathBuf> {
    let inside = name.strip_prefix("torch/")?;
    let library = inside.strip_prefix("lib/").filter(|library| LIBRARIES.contains(library));
    let is_header = HEADERS.iter().any(|folder| inside.starts_with(folder)) && !inside.ends_with('/');
    let other = (is_header || inside == VERSION).then_some(inside);
    library.or(other).map(PathBuf::from)
}

/// The folder of an installed torch; it is not imported.
fn installed(python: &str) -> Result<PathBuf, TorchError> {
    const ASK: &str =
        "import importlib.util as u; s = u.find_spec('torch'); print(s.submodule_search_locations[0] if s else '')";
    let output = match started(python.to_owned(), &Program::new(python, ["-c", ASK])) {
        Err(SetupError::NotStarted { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            return Err(SetupError::NoPython { python: python.to_owned() }.into());
        }
        other => other?,
    };
    let said = output.text();
    match (output.status.success(), said.trim()) {
        (true, "") | (false, _) => Err(TorchError::NotInstalled { python: python.to_owned() }),
        (true, folder) => Ok(PathBuf::from(folder)),
    }
}

fn copy_installed(torch: &Path, draft: &Path) -> Result<u64, TorchError> {
    let mut files = vec![PathBuf::from(VERSION)];
    files.extend(LIBRARIES.iter().map(|library| Path::new("lib").join(library)));
    let mut folders: Vec<PathBuf> = HEADERS.iter().map(PathBuf::from).collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(torch.join(&folder)).into_iter().flatten().flatten() {
            let path = folder.join(entry.file_name());
            if entry.path().is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    let mut bytes = 0;
    for file in files.iter().filter(|file| torch.join(file).is_file()) {
        let name = format!("torch/{}", file.display());
        let Some(to) = wanted(&name).map(|to| draft.join(to)) else { continue };
        let folder = to.parent().unwrap_or(draft);
        fs::create_dir_all(folder).map_err(TorchError::file(folder))?;
        bytes += fs::copy(torch.join(file), &to).map_err(TorchError::file(&to))?;
    }
    Ok(bytes)
}

/// `__version__ = '2.11.0+cu130'`.
fn own_version(text: &str) -> Option<String> {
    let value = text.lines().find_map(|line| line.strip_prefix("__version__"))?.split_once('=')?.1.trim();
    let version = value.trim_matches(['\'', '"']);
    let is_plain = |c: char| c.is_ascii_alphanumeric() || ".+_".contains(c);
    (!version.is_empty() && version.chars().all(is_plain)).then(|| version.to_owned())
}

/// What came must be what was asked for, and what the shim can be built for.
fn check_version(file: &str, found: &str, asked: Option<&str>) -> Result<(), TorchError> {
    let (file, found_text) = (file.to_owned(), found.to_owned());
    if minor(found).is_none() {
        return Err(TorchError::NotKnown { file, version: found_text });
    }
    let is_asked =
        asked.is_none_or(|asked| found == asked || released::known(asked) == Some(found) || is_patch(found, asked));
    if is_asked {
        Ok(())
    } else {
        Err(TorchError::AnotherRelease { file, found: found_text, wanted: asked.unwrap_or_default().to_owned() })
    }
}

/// Whether `2.9.0` is one of `2.9`.
fn is_patch(version: &str, of: &str) -> bool {
    version.rsplit_once('.').is_some_and(|(minor, _)| minor == of)
}

fn write_record(folder: &Path, record: &Record) -> Result<(), TorchError> {
    let path = folder.join("release.json");
    let mut text = serde_json::to_vec_pretty(record).unwrap_or_default();
    text.push(b'\n');
    write_whole(&path, &text).map_err(TorchError::file(&path))
}

/// A folder beside the one that is to be, which goes away if nothing comes of it.
fn draft_beside(folder: &Path) -> Result<TempDir, TorchError> {
    let parent = folder.parent().unwrap_or(folder);
    fs::create_dir_all(parent).map_err(TorchError::file(parent))?;
    tempfile::Builder::new().prefix(".draft-").tempdir_in(parent).map_err(TorchError::file(parent))
}

/// Lets a draft appear under its name; somebody else may have been faster, with the same.
fn appear(draft: TempDir, folder: &Path, is_there: &dyn Fn() -> bool) -> Result<(), TorchError> {
    match fs::rename(draft.path(), folder) {
        Ok(()) => {
            let _ = draft.keep();
            Ok(())
        }
        Err(_) if is_there() => Ok(()),
        Err(_) => {
            // What is there under that name is not whole: an entry of before, or one that somebody took parts of.
            fs::remove_dir_all(folder).map_err(TorchError::file(folder))?;
            fs::rename(draft.path(), folder).map_err(TorchError::file(folder))?;
            let _ = draft.keep();
            Ok(())
        }
    }
}
