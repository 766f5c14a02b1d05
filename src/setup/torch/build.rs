//! What is built beside a release with the compiler of this machine: three libraries that forward, and the shim.
//!
//! Decides the commands. What the sources say is `workers/c10`'s.

use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::{News, Tell, TorchError};
use crate::child::Program;
use crate::setup::{SetupError, run, started};
use crate::target::released::{FORWARD, FORWARDERS, SHIM, minor, runtime_name};

/// A C++ compiler, and how it calls itself.
pub(super) struct Compiler {
    words: Vec<String>,
    pub version: String,
}

/// What the libraries of a release say of how they were built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Facts {
    pub cuda: u32,
    pub old_strings: bool,
}

/// `CXX`, or what a system usually has.
pub(super) fn compiler() -> Result<Compiler, TorchError> {
    let named = std::env::var("CXX").ok().and_then(|words| shlex::split(&words)).filter(|words| !words.is_empty());
    let choices = match named {
        Some(words) => vec![words],
        None => ["c++", "g++", "clang++"].map(|name| vec![name.to_owned()]).to_vec(),
    };
    for words in &choices {
        let arguments = words[1..].iter().cloned().chain(["--version".to_owned()]);
        match started(words.join(" "), &Program::new(&words[0], arguments)) {
            Err(SetupError::NotStarted { source, .. })
                if matches!(source.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied) => {}
            Err(error) => return Err(error.into()),
            Ok(output) => {
                let version = output.text().lines().next().unwrap_or_default().trim().to_owned();
                return Ok(Compiler { words: words.clone(), version });
            }
        }
    }
    Err(TorchError::NoCompiler { tried: choices.iter().map(|words| words.join(" ")).collect() })
}

/// Reads the two libraries for how they were built; they must be for this processor.
pub(super) fn facts(folder: &Path) -> Result<Facts, TorchError> {
    // Where an ELF file names its processor, and the numbers of the two that are known here.
    const MACHINE: std::ops::Range<usize> = 18..20;
    let machine: u16 = if cfg!(target_arch = "aarch64") { 183 } else { 62 };
    let read = |name: &str| {
        let path = folder.join(name);
        let bytes = fs::read(&path).map_err(TorchError::file(&path))?;
        let is_ours = bytes.starts_with(b"\x7fELF") && bytes.get(MACHINE) == Some(&machine.to_le_bytes());
        if is_ours { Ok(bytes) } else { Err(TorchError::Processor { file: name.to_owned() }) }
    };
    let (c10, c10_cuda) = (read("libc10.so")?, read("libc10_cuda.so")?);
    let holds = |bytes: &[u8], text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    let cuda = [12, 13].into_iter().find(|&cuda| holds(&c10_cuda, &format!("{}\0", runtime_name(cuda))));
    let cuda = cuda.ok_or_else(|| TorchError::Runtime { file: "libc10_cuda.so".to_owned() })?;
    // c10::Error(SourceLocation, std::string), where std::string is the one of before C++11.
    let old_strings = holds(&c10, "_ZN3c105ErrorC1ENS_14SourceLocationESs\0");
    Ok(Facts { cuda, old_strings })
}

/// Builds all four into `into`, which has the libraries and headers of the release.
pub(super) fn build(
    compiler: &Compiler,
    version: &str,
    facts: Facts,
    headers: (&Path, &Path),
    into: &Path,
    tell: Tell<'_>,
) -> Result<(), TorchError> {
    let sources = tempfile::Builder::new().prefix(".source-").tempdir_in(into).map_err(TorchError::file(into))?;
    for (name, text) in SHIM.iter().chain(&FORWARD) {
        let path = sources.path().join(name);
        fs::write(&path, text).map_err(TorchError::file(&path))?;
    }
    let forward = into.join(FORWARDERS);
    fs::create_dir_all(&forward).map_err(TorchError::file(&forward))?;
    forwarders(compiler, sources.path(), &[facts.cuda], &forward)?;
    let number = minor(version).unwrap_or_default();
    let (major, number) = ("-DTORCH_MAJOR=2", format!("-DTORCH_MINOR={number}"));
    let mut options = vec!["-std=c++20", "-O2", "-shared", "-fPIC", "-fvisibility=hidden", major, &number];
    if facts.old_strings {
        options.push("-D_GLIBCXX_USE_CXX11_ABI=0");
    }
    let libraries = format!("-L{}", into.display());
    let link = [&libraries, "-lc10_cuda", "-lc10", "-Wl,--unresolved-symbols=ignore-in-shared-libs"];
    let named = compiler.words.join(" ");
    tell(News::Line(&format!("{named} -std=c++20 -O2 -shared -fPIC {number} shim.cpp -o libpoolproof_c10.so")));
    let source = sources.path().join("shim.cpp");
    compiler.compile(&options, &[headers.0, headers.1], &source, &into.join("libpoolproof_c10.so"), &link)
}

/// Builds the libraries that forward into `into`, of `forward.c` and `functions.h` in `sources`: the runtime of each of these major
/// versions of CUDA, the driver and NVML.
pub(super) fn forwarders(compiler: &Compiler, sources: &Path, runtimes: &[u32], into: &Path) -> Result<(), TorchError> {
    let source = sources.join("forward.c");
    let build = |name: &str, which: &str, more: &[&str]| {
        let soname = format!("-Wl,-soname,{name}");
        let mut options = vec!["-x", "c", "-O2", "-shared", "-fPIC", which, &soname, "-Wl,-z,noexecstack"];
        options.extend(more);
        compiler.compile(&options, &[], &source, &into.join(name), &["-Wl,--as-needed"])
    };
    for &cuda in runtimes {
        let runtime = runtime_name(cuda);
        let versions = sources.join("versions");
        fs::write(&versions, format!("{runtime} {{ global: *; }};\n")).map_err(TorchError::file(&versions))?;
        let script = format!("-Wl,--version-script={}", versions.display());
        build(&runtime, "-DPOOLPROOF_RUNTIME", &[&script])?;
    }
    build("libcuda.so.1", "-DPOOLPROOF_DRIVER", &[])?;
    build("libnvidia-ml.so.1", "-DPOOLPROOF_MANAGEMENT", &[])
}

impl Compiler {
    /// The library appears whole, in place of one that may be there.
    fn compile(
        &self,
        options: &[&str],
        headers: &[&Path],
        source: &Path,
        library: &Path,
        link: &[&str],
    ) -> Result<(), TorchError> {
        let draft = PathBuf::from(format!("{}.draft", library.display()));
        let mut arguments: Vec<OsString> = self.words[1..].iter().map(Into::into).collect();
        arguments.extend(options.iter().map(Into::into));
        for folder in headers {
            arguments.extend(["-isystem".into(), folder.as_os_str().to_owned()]);
        }
        arguments.extend([source.into(), "-o".into(), draft.as_os_str().to_owned()]);
        arguments.extend(link.iter().map(Into::into));
        run(&Program::new(&self.words[0], arguments))?;
        fs::rename(&draft, library).map_err(TorchError::file(library))
    }
}
