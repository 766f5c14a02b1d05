//! Allocators that PyPI has: which releases are known here, where the environment of one lies, and the target that drives it.
//!
//! Decides the command of that target. How the environment comes about is `engine::setup`'s. The adapters are embedded in the
//! program and lie beside what they drive, so that a command names nothing of a source tree.

use std::path::{Path, PathBuf};

use super::TargetName;

/// An allocator that comes as packages of PyPI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Package {
    /// RMM's memory resources over made-up addresses.
    Rmm,
    /// ONNX Runtime's BFC arena on the host.
    Onnx,
}

/// A release, with everything that is installed for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Release {
    /// As its users name it.
    pub version: &'static str,
    /// What pip is asked for; nothing else comes along.
    pub wheels: &'static [&'static str],
}

/// The newest first: what is set up where no version is named.
const RMM: &[Release] = &[
    Release {
        version: "26.10.0",
        wheels: &[
            "rmm-cu13==26.10.0",
            "librmm-cu13==26.10.0",
            "rapids-logger==0.3.0",
            "cuda-bindings==13.0.3",
            "cuda-pathfinder==1.9.1",
            "numpy==2.4.6",
        ],
    },
    Release {
        version: "26.6.0",
        wheels: &[
            "rmm-cu13==26.6.0",
            "librmm-cu13==26.6.0",
            "rapids-logger==0.2.3",
            "cuda-bindings==13.0.3",
            "cuda-pathfinder==1.9.1",
            "numpy==2.4.6",
        ],
    },
];

// NumPy is for scripts that import the package; the adapter needs the library alone.
const ONNX: &[Release] = &[Release { version: "1.32.0", wheels: &["onnxruntime==1.32.0", "numpy==2.4.6"] }];

impl Package {
    /// All of them.
    pub const ALL: [Package; 2] = [Package::Rmm, Package::Onnx];

    /// What it is called on the command line and in the names of files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Package::Rmm => "rmm",
            Package::Onnx => "onnx",
        }
    }

    /// The releases that are known here, the newest first.
    #[must_use]
    pub fn releases(self) -> &'static [Release] {
        match self {
            Package::Rmm => RMM,
            Package::Onnx => ONNX,
        }
    }

    /// The file of its adapter, and what stands in it.
    #[must_use]
    pub fn adapter(self) -> (&'static str, &'static str) {
        match self {
            Package::Rmm => ("rmm_resources.py", include_str!("../../workers/rmm_resources.py")),
            Package::Onnx => ("onnx_arena.c", include_str!("../../workers/onnx_arena.c")),
        }
    }

    /// What the command of a target ends with where nothing else is said: what is asked of the adapter.
    #[must_use]
    pub fn usual(self) -> &'static str {
        match self {
            Package::Rmm => "pool:initial=1MiB",
            Package::Onnx => "extend=same",
        }
    }

    /// The package whose adapter a command starts.
    #[must_use]
    pub fn of(name: &TargetName) -> Option<Package> {
        let words = shlex::split(name.command()?)?;
        let file = |word: &String| Path::new(word).file_name().and_then(|name| name.to_str()).map(str::to_owned);
        let files: Vec<String> = words.iter().take(2).filter_map(file).collect();
        Package::ALL.into_iter().find(|package| {
            let (source, _) = package.adapter();
            files.iter().any(|file| file == source || Some(file.as_str()) == source.strip_suffix(".c"))
        })
    }
}

/// A release as it lies on this machine, or would.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment {
    /// Of what.
    pub package: Package,
    /// Which release.
    pub version: &'static str,
    /// Where: it is all there or not at all.
    pub folder: PathBuf,
}

impl Environment {
    /// Of a release below the folder where programs keep what they can get again.
    #[must_use]
    pub fn below(cache: &Path, package: Package, release: &Release) -> Self {
        let folder = cache.join("poolproof").join(format!("{}-{}", package.name(), release.version));
        Environment { package, version: release.version, folder }
    }

    /// Whether it was set up.
    #[must_use]
    pub fn is_there(&self) -> bool {
        self.site().is_dir()
    }

    /// Where the packages lie.
    #[must_use]
    pub fn site(&self) -> PathBuf {
        self.folder.join("site")
    }

    /// The program that the command starts, and what comes before the adapter's own arguments.
    #[must_use]
    pub fn program(&self) -> Vec<PathBuf> {
        match self.package {
            Package::Rmm => vec![self.folder.join("python3"), self.folder.join(self.package.adapter().0)],
            Package::Onnx => {
                let library = format!("onnxruntime/capi/libonnxruntime.so.{}", self.version);
                vec![self.folder.join("onnx_arena"), self.site().join(library)]
            }
        }
    }

    /// The target that asks its adapter for this: a stack of resources, or settings of the arena, as a shell splits them.
    #[must_use]
    pub fn target(&self, what: &str) -> TargetName {
        let words = self.program();
        let words = words.iter().map(|word| quoted(&word.to_string_lossy()));
        let command = words.chain([what.to_owned()]).collect::<Vec<_>>().join(" ");
        TargetName { allocator: format!("exec:{command}"), place: "host".to_owned(), options: Vec::new() }
    }
}

/// A path as a shell, and the name of a target, take it for one word.
fn quoted(path: &str) -> String {
    let is_plain = path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-+:,=".contains(&byte));
    match path.contains('\'') {
        _ if is_plain => path.to_owned(),
        false => format!("'{path}'"),
        true => format!("\"{path}\""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_of_an_environment_reads_back_and_is_known_again() {
        for cache in ["/home/me/.cache", "/home/m e/@work", "/home/o'neill"] {
            for package in Package::ALL {
                let environment = Environment::below(Path::new(cache), package, &package.releases()[0]);
                let target = environment.target(package.usual());
                let read: TargetName = target.to_string().parse().expect("well formed");
                assert_eq!(read, target);
                let words = shlex::split(read.command().expect("a command")).expect("quotes are closed");
                assert_eq!(Path::new(&words[0]), environment.program()[0]);
                assert_eq!(Package::of(&read), Some(package), "{read}");
            }
        }
        assert_eq!(Package::of(&"exec:python3 mine.py rmm_resources.py@host".parse().expect("a name")), None);
        assert_eq!(Package::of(&"reference@sim".parse().expect("a name")), None);
    }

    #[test]
    fn every_wheel_is_pinned() {
        for release in Package::ALL.iter().flat_map(|package| package.releases()) {
            assert!(release.wheels.iter().all(|wheel| wheel.contains("==")), "{release:?}");
            assert!(release.wheels[0].ends_with(release.version), "{release:?}");
        }
    }
}
