//! Allocators that PyPI has: which releases are known here, where the environment of one lies, and the target that drives it.
//!
//! Decides the command that a name such as `rmm@host?mr=pool` stands for. How the environment comes about is `setup`'s.
//! The adapters are embedded in the program and lie beside what they drive, so that a command names nothing of a source tree.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::registry::{Missing, TargetOption, unknown_option};
use super::{TargetError, TargetName};

/// Where programs keep what they can get again, as the environment says: read once, where a program begins.
static CACHE: OnceLock<PathBuf> = OnceLock::new();

/// Says where environments lie; the first word counts.
pub fn use_cache(path: &Path) {
    // A second word changes nothing.
    let _ = CACHE.set(path.to_owned());
}

/// What `use_cache` was told, if anything.
pub(super) fn cache() -> Option<&'static Path> {
    CACHE.get().map(PathBuf::as_path)
}

/// Where allocators from PyPI run.
const PLACE: &str = "host";

/// Options of the process, which `worker` reads.
const OF_THE_PROCESS: [&str; 4] = ["deadline", "env", "fresh", "framing"];

const VERSION: TargetOption =
    TargetOption { usage: "version=VERSION", what: "the release, as it was set up (the newest)" };

/// What RMM's adapter is asked for.
pub(super) const RMM_HELP: &[TargetOption] = &[
    TargetOption {
        usage: "mr=STACK",
        what: "resources, the outermost first, such as statistics+limiting:limit=75%+pool:initial=1MiB (pool:initial=1MiB)",
    },
    VERSION,
];

/// What the adapter of ONNX Runtime's arena is asked for.
pub(super) const ONNX_HELP: &[TargetOption] = &[
    TargetOption {
        usage: "extend=same|power",
        what: "how the arena grows: by what is asked for, or by powers of two (same)",
    },
    TargetOption { usage: "max_dead=BYTES", what: "max_dead_bytes_per_chunk, instead of ONNX Runtime's own" },
    TargetOption { usage: "initial=BYTES", what: "initial_chunk_size_bytes, instead of ONNX Runtime's own" },
    TargetOption { usage: "growth=BYTES", what: "initial_growth_chunk_size_bytes, instead of ONNX Runtime's own" },
    TargetOption { usage: "limit=device|none", what: "whether max_mem is the size of the device, or nothing (device)" },
    VERSION,
];

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

    /// What lies beside its adapter, to be built with it.
    #[must_use]
    pub fn beside_adapter(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Package::Rmm => &[],
            Package::Onnx => &[
                ("frames.h", include_str!("../../workers/templates/frames.h")),
                ("host_blocks.h", include_str!("../../workers/host_blocks.h")),
                ("onnx_api.h", include_str!("../../workers/onnx_api.h")),
            ],
        }
    }

    /// The one that a target's name stands for.
    #[must_use]
    pub fn named(name: &TargetName) -> Option<Package> {
        Package::ALL.into_iter().find(|package| package.name() == name.allocator && name.place == PLACE)
    }

    /// The name of the target that asks its adapter for this, such as `("mr", "pool")`.
    #[must_use]
    pub fn target(self, release: &Release, asked: &[(&str, &str)]) -> TargetName {
        let version = (self.releases().first() != Some(release)).then_some(("version", release.version));
        let options = asked.iter().copied().chain(version);
        let options = options.map(|(key, value)| (key.to_owned(), Some(value.to_owned()))).collect();
        TargetName { allocator: self.name().to_owned(), place: PLACE.to_owned(), options }
    }

    /// What its adapter is asked for, from the options of a name.
    fn words(self, name: &TargetName) -> Vec<String> {
        match self {
            Package::Rmm => {
                let stack = name.option("mr").flatten().unwrap_or("pool:initial=1MiB");
                vec![stack.to_owned()]
            }
            Package::Onnx => {
                let is_own = |key: &str| key != "version" && !OF_THE_PROCESS.contains(&key);
                let own = name.options.iter().filter(|(key, _)| is_own(key));
                let own = own.map(|(key, value)| format!("{key}={}", value.as_deref().unwrap_or_default()));
                std::iter::once("extend=same".to_owned()).chain(own).collect()
            }
        }
    }

    /// What the newest release needs before it can be a target.
    pub(super) fn missing(self) -> Option<Missing> {
        let cache = CACHE.get()?;
        let newest = Environment::below(cache, self, self.releases().first()?);
        let (reason, lift) = match self {
            Package::Rmm => ("RMM is not set up", "poolproof setup rmm"),
            Package::Onnx => ("ONNX Runtime is not set up", "poolproof setup onnx"),
        };
        (!newest.is_there()).then(|| Missing { reason: reason.to_owned(), lift })
    }
}

/// The command that a target's name stands for, where it is of an allocator from PyPI.
///
/// # Errors
/// A release that is not known, or that was not set up.
pub(super) fn command(name: &TargetName) -> Result<Option<Vec<OsString>>, TargetError> {
    let Some(package) = Package::named(name) else { return Ok(None) };
    let help = if package == Package::Rmm { RMM_HELP } else { ONNX_HELP };
    let is_known = |key: &str| {
        let own = help.iter().any(|option| option.usage.split_once('=').is_some_and(|(known, _)| known == key));
        own || OF_THE_PROCESS.contains(&key)
    };
    if let Some((key, _)) = name.options.iter().find(|(key, _)| !is_known(key)) {
        return Err(unknown_option(name, key));
    }
    let target = name.to_string();
    let asked = name.option("version").flatten();
    let release = package.releases().iter().find(|release| asked.is_none_or(|asked| asked == release.version));
    let Some(release) = release else {
        let known = package.releases().iter().map(|r| r.version).collect::<Vec<_>>().join(", ");
        return Err(TargetError::BadOption { target, reason: format!("`version` is one of {known}") });
    };
    let environment = CACHE.get().map(|cache| Environment::below(cache, package, release));
    let Some(environment) = environment.filter(Environment::is_there) else {
        let (package, version) = (package.name(), release.version);
        let reason = format!("it was not set up; `poolproof setup {package} --version {version}` does that");
        return Err(TargetError::Unavailable { target, reason });
    };
    let words = environment.program().into_iter().map(OsString::from);
    Ok(Some(words.chain(package.words(name).into_iter().map(OsString::from)).collect()))
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
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> TargetName {
        text.parse().expect("well formed")
    }

    #[test]
    fn a_name_stands_for_a_command_or_says_what_is_missing() {
        let cache = tempfile::tempdir().expect("a folder");
        use_cache(cache.path());
        let [rmm, onnx] =
            [name("rmm@host?mr=statistics+pool&version=26.6.0"), name("onnx@host?max_dead=0&deadline=5s")];
        let missing = command(&rmm).expect_err("nothing was set up");
        assert!(missing.to_string().contains("poolproof setup rmm --version 26.6.0"), "{missing}");
        for (package, at) in [(Package::Rmm, 1), (Package::Onnx, 0)] {
            let release = &package.releases()[at];
            let environment = Environment::below(cache.path(), package, release);
            std::fs::create_dir_all(environment.site()).expect("a folder of our own");
        }
        let words = command(&rmm).expect("set up").expect("of a package");
        assert!(words[1].to_string_lossy().ends_with("rmm-26.6.0/rmm_resources.py") && words[2] == "statistics+pool");
        let words = command(&onnx).expect("set up").expect("of a package");
        assert_eq!(words[2..], ["extend=same", "max_dead=0"]);
        assert!(matches!(command(&name("rmm@host?version=1")), Err(TargetError::BadOption { .. })));
        assert!(matches!(command(&name("rmm@host?extend=same")), Err(TargetError::UnknownOption { .. })));
        assert_eq!(command(&name("rmm@cuda")), Ok(None));
    }

    #[test]
    fn the_name_of_a_target_says_what_is_not_usual() {
        let [newest, before] = [0, 1].map(|at| &Package::Rmm.releases()[at]);
        assert_eq!(Package::Rmm.target(newest, &[("mr", "pool")]), name("rmm@host?mr=pool"));
        assert_eq!(Package::Rmm.target(before, &[]), name("rmm@host?version=26.6.0"));
    }

    #[test]
    fn every_wheel_is_pinned() {
        for release in Package::ALL.iter().flat_map(|package| package.releases()) {
            assert!(release.wheels.iter().all(|wheel| wheel.contains("==")), "{release:?}");
            assert!(release.wheels[0].ends_with(release.version), "{release:?}");
        }
    }
}
