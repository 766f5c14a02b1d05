//! Environments for allocators of PyPI: a release in a folder of its own, with its adapter, there whole or not at all.
//!
//! Decides what is run to make one, and what it means when that fails. Which releases there are is `target::packaged`'s.

pub mod torch;

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

#[cfg(unix)]
use crate::child::replace;
use crate::child::{Finished, Program, Unfinished, finish};
use crate::files::write_whole;
use crate::target::packaged::{Environment, Package, Release};

/// The oldest Python that every package here runs on.
const LEAST_PYTHON: (u32, u32) = (3, 11);

/// A server that answers nothing is not waited for any longer.
const LONGEST: Duration = Duration::from_secs(15 * 60);

/// What pip says where a server cannot be reached, or knows nothing of a package.
const NO_NETWORK: [&str; 7] = [
    "NewConnectionError",
    "NameResolutionError",
    "Temporary failure in name resolution",
    "ConnectTimeoutError",
    "ProxyError",
    "Connection refused",
    "(from versions: none)",
];

/// Why there is no environment.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the message of each says what is wrong")]
pub enum SetupError {
    #[error("{package} {version} is no release that is known here; known are {known}")]
    NoRelease { package: &'static str, version: String, known: String },
    #[error("{package} has packages for Linux on x86-64 and on 64-bit ARM; this is {os} on {processor}")]
    Platform { package: &'static str, os: &'static str, processor: &'static str },
    #[error("neither XDG_CACHE_HOME nor HOME says where programs keep what they can get again")]
    NoCache,
    #[error("there is no program `{python}`")]
    NoPython { python: String },
    #[error("`{python}` is Python {version}, and {package} needs {}.{} or later", LEAST_PYTHON.0, LEAST_PYTHON.1)]
    OldPython { python: String, version: String, package: &'static str },
    #[error("`{python}` has no pip")]
    NoPip { python: String },
    #[error("pip could not reach its server, or found no release at all there: {said}")]
    NoNetwork { said: String },
    #[error("there is no C compiler `cc`, and the adapter of {package} is built with it")]
    NoCompiler { package: &'static str },
    #[error("`{command}` failed ({status}): {said}")]
    Failed { command: String, status: String, said: String },
    #[error("`{command}`: {source}")]
    NotStarted { command: String, source: std::io::Error },
    #[error("`{command}` took more than {} and was stopped", humantime::format_duration(*.limit))]
    TooSlow { command: String, limit: Duration },
    #[error("{flag} is for torch, and not for {package}")]
    OnlyTorch { flag: &'static str, package: &'static str },
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: std::io::Error },
}

impl SetupError {
    /// What would help, where that is known.
    #[must_use]
    pub fn advice(&self) -> Option<&'static str> {
        match self {
            SetupError::NoPython { .. } | SetupError::OldPython { .. } => {
                Some("name another interpreter with --python, for example --python python3.12")
            }
            SetupError::NoPip { .. } => Some("`python3 -m ensurepip`, or the package python3-pip, brings it"),
            SetupError::NoNetwork { .. } => {
                Some("it is needed once; pip's own settings (PIP_INDEX_URL, PIP_FIND_LINKS) name another source")
            }
            SetupError::NoCompiler { .. } => Some("the package gcc or clang brings it"),
            _ => None,
        }
    }

    /// Whether the command line has to be put right, and not the machine.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        matches!(self, SetupError::NoRelease { .. } | SetupError::OnlyTorch { .. })
    }
}

/// Becomes the program that a command line names, with these variables set; comes back with the reason where it cannot.
#[cfg(unix)]
#[must_use]
pub fn instead(command: &[OsString], variables: Vec<(String, String)>) -> SetupError {
    let (program, arguments) = command.split_first().map_or((OsStr::new(""), &[][..]), |(first, rest)| (first, rest));
    let mut program = Program::new(program, arguments);
    program.environment = variables;
    let source = replace(&program);
    SetupError::NotStarted { command: program.path.display().to_string(), source }
}

/// Becoming another program is for systems that can.
#[cfg(not(unix))]
#[must_use]
pub fn instead(command: &[OsString], _variables: Vec<(String, String)>) -> SetupError {
    let source = std::io::Error::from(ErrorKind::Unsupported);
    let command = command.first().map(|word| word.to_string_lossy().into_owned());
    SetupError::NotStarted { command: command.unwrap_or_default(), source }
}

/// Where programs keep what they can get again: `XDG_CACHE_HOME`, else `.cache` at home.
///
/// # Errors
/// Neither is set.
pub fn cache() -> Result<PathBuf, SetupError> {
    let given = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let given =
        given("XDG_CACHE_HOME").filter(|path| path.is_absolute()).or_else(|| Some(given("HOME")?.join(".cache")));
    given.ok_or(SetupError::NoCache)
}

/// The release of that version, or the newest.
///
/// # Errors
/// There is none of that version.
pub fn release(package: Package, version: Option<&str>) -> Result<&'static Release, SetupError> {
    let releases = package.releases();
    let found = releases.iter().find(|release| version.is_none_or(|version| version == release.version));
    found.ok_or_else(|| SetupError::NoRelease {
        package: package.name(),
        version: version.unwrap_or_default().to_owned(),
        known: releases.iter().map(|release| release.version).collect::<Vec<_>>().join(", "),
    })
}

/// Makes an environment below `cache`, or renews the adapter of one that is there. `tell` is given each command before it runs.
///
/// # Errors
/// Whatever is missing, with nothing left behind.
pub fn make(
    package: Package,
    release: &Release,
    python: &str,
    cache: &Path,
    tell: &mut dyn FnMut(&str),
) -> Result<Environment, SetupError> {
    if !cfg!(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))) {
        let (os, processor) = (std::env::consts::OS, std::env::consts::ARCH);
        return Err(SetupError::Platform { package: package.name(), os, processor });
    }
    let environment = Environment::below(cache, package, release);
    if environment.is_there() {
        add_adapter(&environment, tell)?;
        return Ok(environment);
    }
    let file = |path: &Path| {
        let path = path.to_owned();
        |source| SetupError::File { path, source }
    };
    let interpreter = interpreter(python, package)?;
    let parent = environment.folder.parent().unwrap_or(cache).to_owned();
    fs::create_dir_all(&parent).map_err(file(&parent))?;
    let draft = tempfile::Builder::new().prefix(".draft-").tempdir_in(&parent).map_err(file(&parent))?;
    let made = Environment { folder: draft.path().to_owned(), ..environment.clone() };
    install(&made, release, &interpreter, python, tell)?;
    add_python(&made, &interpreter)?;
    add_adapter(&made, tell)?;
    check(&made, tell)?;
    match fs::rename(draft.path(), &environment.folder) {
        Ok(()) => drop(draft.keep()),
        // Somebody else was faster, with the same.
        Err(_) if environment.is_there() => {}
        Err(source) => return Err(file(&environment.folder)(source)),
    }
    Ok(environment)
}

/// Where the interpreter really is; it must be young enough.
fn interpreter(python: &str, package: Package) -> Result<PathBuf, SetupError> {
    const ASK: &str = "import sys; print(*sys.version_info[:3], sep='.'); print(sys.executable)";
    let output = match started(python.to_owned(), &Program::new(python, ["-c", ASK])) {
        Err(SetupError::NotStarted { source, .. }) if source.kind() == ErrorKind::NotFound => {
            return Err(SetupError::NoPython { python: python.to_owned() });
        }
        other => other?,
    };
    let said = output.text();
    let mut lines = said.lines();
    let (Some(version), Some(path), true) = (lines.next(), lines.next(), output.status.success()) else {
        return Err(failed(python, &output));
    };
    let mut parts = version.split('.').map_while(|part| part.parse::<u32>().ok());
    let is_young = (parts.next(), parts.next()) >= (Some(LEAST_PYTHON.0), Some(LEAST_PYTHON.1));
    if !is_young {
        let (python, version) = (python.to_owned(), version.to_owned());
        return Err(SetupError::OldPython { python, version, package: package.name() });
    }
    Ok(PathBuf::from(path))
}

/// Lets pip fetch the packages, and nothing that they would like to have besides.
fn install(
    made: &Environment,
    release: &Release,
    interpreter: &Path,
    python: &str,
    tell: &mut dyn FnMut(&str),
) -> Result<(), SetupError> {
    const PIP: &str = "-m pip install --no-deps --only-binary :all: --no-input --disable-pip-version-check \
                       --root-user-action ignore --no-compile --quiet --target";
    let mut command = Program::new(interpreter, PIP.split(' '));
    command.arguments.push(made.site().into());
    command.arguments.extend(release.wheels.iter().map(Into::into));
    tell(&format!("{python} -m pip install --no-deps {}", release.wheels.join(" ")));
    match run(&command) {
        Err(SetupError::Failed { said, .. }) if said.contains("No module named pip") => {
            Err(SetupError::NoPip { python: python.to_owned() })
        }
        Err(SetupError::Failed { said, .. }) if NO_NETWORK.iter().any(|words| said.contains(words)) => {
            let said =
                said.lines().rfind(|line| NO_NETWORK.iter().any(|words| line.contains(words))).unwrap_or_default();
            Err(SetupError::NoNetwork { said: said.trim().to_owned() })
        }
        other => other,
    }
}

/// A link to the interpreter that the packages were fetched for.
#[cfg(unix)]
fn add_python(made: &Environment, interpreter: &Path) -> Result<(), SetupError> {
    let path = made.folder.join("python3");
    std::os::unix::fs::symlink(interpreter, &path).map_err(|source| SetupError::File { path, source })
}

#[cfg(not(unix))]
fn add_python(_: &Environment, _: &Path) -> Result<(), SetupError> {
    Ok(())
}

/// Writes the adapter that this program has in it, and builds it where that has to be.
fn add_adapter(environment: &Environment, tell: &mut dyn FnMut(&str)) -> Result<(), SetupError> {
    let (name, text) = environment.package.adapter();
    let path = environment.folder.join(name);
    for (name, text) in environment.package.beside_adapter().iter().chain([&(name, text)]) {
        let path = environment.folder.join(name);
        write_whole(&path, text.as_bytes()).map_err(|source| SetupError::File { path, source })?;
    }
    if path.extension() != Some(OsStr::new("c")) {
        return Ok(());
    }
    let program = path.with_extension("");
    let draft = path.with_extension("draft");
    let arguments = ["-O2".as_ref(), path.as_os_str(), "-o".as_ref(), draft.as_os_str(), "-ldl".as_ref()];
    let command = Program::new("cc", arguments);
    tell(&format!("cc -O2 {name} -o {} -ldl", program.file_name().unwrap_or_default().to_string_lossy()));
    match run(&command) {
        Err(SetupError::NotStarted { source, .. }) if source.kind() == ErrorKind::NotFound => {
            return Err(SetupError::NoCompiler { package: environment.package.name() });
        }
        other => other?,
    }
    fs::rename(&draft, &program).map_err(|source| SetupError::File { path: program, source })
}

/// The adapter says the version of what it found: everything that it needs can be loaded.
fn check(made: &Environment, tell: &mut dyn FnMut(&str)) -> Result<(), SetupError> {
    let program = made.program();
    let Some((first, rest)) = program.split_first() else { return Ok(()) };
    let command = Program::new(first, rest.iter().map(|word| word.as_ref()).chain([OsStr::new("--version")]));
    tell(&format!("{} --version", first.file_name().unwrap_or_default().to_string_lossy()));
    run(&command)
}

/// Runs a command to its end; what it said is told only where it failed.
fn run(command: &Program) -> Result<(), SetupError> {
    let words = std::iter::once(command.path.as_os_str()).chain(command.arguments.iter().map(|word| word.as_os_str()));
    let words = words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ");
    let output = started(words.clone(), command)?;
    if output.status.success() { Ok(()) } else { Err(failed(&words, &output)) }
}

/// A command that has ended, well or not.
fn started(words: String, command: &Program) -> Result<Finished, SetupError> {
    finish(command, LONGEST).map_err(|error| match error {
        Unfinished::NotStarted(source) => SetupError::NotStarted { command: words, source },
        Unfinished::TooSlow(limit) => SetupError::TooSlow { command: words, limit },
    })
}

/// A command that ended otherwise than well, with the end of what it said.
fn failed(command: &str, output: &Finished) -> SetupError {
    const MOST_LINES: usize = 12;
    let said = format!("{}{}", output.text(), output.stderr);
    let lines: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).collect();
    let said = lines[lines.len().saturating_sub(MOST_LINES)..].join("\n");
    SetupError::Failed { command: command.to_owned(), status: output.status.to_string(), said }
}

#[cfg(all(test, target_os = "linux"))]
mod tests;
