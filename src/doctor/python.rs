//! The Python allocators that an interpreter can import.
//!
//! Decides how they are looked for: each in a child process of its own, all at once, with a deadline, because an
//! import can crash, hang or print. Imports only; makes no context on a device.

use std::thread;
use std::time::Duration;

use serde::Deserialize;

use crate::child::{Finished, Program, Unfinished, finish};

/// How long an import may take: PyTorch from a cold disk needs half a minute.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// What is looked for.
pub const PACKAGES: [&str; 1] = ["torch"];

/// Marks the one line that is ours among whatever an import prints.
const MARK: &str = "poolproof-doctor:";

const SCRIPT: &str = r#"
import importlib, importlib.metadata, importlib.util, json, sys
def say(**found):
    print("\npoolproof-doctor:" + json.dumps(found), flush=True)
name = sys.argv[1]
if name == "":
    say(state="found", version=".".join(map(str, sys.version_info[:3])))
elif importlib.util.find_spec(name) is None:
    say(state="absent")
else:
    try:
        module = importlib.import_module(name)
        version = getattr(module, "__version__", None) or importlib.metadata.version(name)
        cuda = getattr(getattr(module, "version", None), "cuda", None) if name == "torch" else None
        say(state="found", version=str(version), cuda=cuda)
    except BaseException as error:
        say(state="broken", reason=f"{type(error).__name__}: {error}")
"#;

/// A package, or the interpreter itself.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Import {
    Found {
        version: String,
        /// The CUDA that PyTorch was built for; a build without one says nothing.
        cuda: Option<String>,
    },
    Absent,
    /// It is installed, and importing it fails.
    Broken {
        reason: String,
    },
    /// Importing it took longer than the deadline.
    TooSlow,
}

/// An interpreter and its packages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Python {
    pub program: String,
    /// `Absent` where there is no such program.
    pub interpreter: Import,
    /// In the order of `PACKAGES`; empty without an interpreter.
    pub packages: Vec<(&'static str, Import)>,
}

/// Starts the interpreter once a package. Never fails: what goes wrong is the finding.
#[must_use]
pub fn look(program: &str, deadline: Duration) -> Python {
    let interpreter = import(program, "", deadline);
    let mut packages = Vec::new();
    if matches!(interpreter, Import::Found { .. }) {
        thread::scope(|scope| {
            let asked = PACKAGES.map(|name| (name, scope.spawn(move || import(program, name, deadline))));
            for (name, found) in asked {
                let lost = |_| Import::Broken { reason: "it could not be looked for".to_owned() };
                packages.push((name, found.join().unwrap_or_else(lost)));
            }
        });
    }
    Python { program: program.to_owned(), interpreter, packages }
}

fn import(program: &str, package: &str, deadline: Duration) -> Import {
    match finish(&Program::new(program, ["-c", SCRIPT, package]), deadline) {
        Ok(finished) => heard(&finished),
        Err(Unfinished::NotStarted(error)) if error.kind() == std::io::ErrorKind::NotFound => Import::Absent,
        Err(Unfinished::NotStarted(error)) => Import::Broken { reason: error.to_string() },
        Err(Unfinished::TooSlow(_)) => Import::TooSlow,
    }
}

fn heard(finished: &Finished) -> Import {
    let text = finished.text();
    let line = text.lines().rev().find_map(|line| line.strip_prefix(MARK));
    let found = line.and_then(|line| serde_json::from_str(line).ok());
    found.unwrap_or_else(|| Import::Broken { reason: format!("{} ({})", finished.complaint(), finished.status) })
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    /// An interpreter that answers by a shell's hand.
    fn shell(script: &str) -> (tempfile::TempDir, String) {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("python");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("a temporary folder");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("a file of ours");
        let program = path.to_str().expect("a temporary path is text").to_owned();
        (folder, program)
    }

    #[test]
    fn packages_are_found_absent_or_broken() {
        let (_folder, program) = shell(
            r#"case "$3" in
"") echo 'poolproof-doctor:{"state":"found","version":"3.12.1"}';;
torch) echo hello; echo 'poolproof-doctor:{"state":"found","version":"2.11.0","cuda":"13.0"}'; echo bye;;
cupy) echo 'poolproof-doctor:{"state":"broken","reason":"ImportError: libcudart"}';;
jax) echo 'free(): invalid pointer' >&2; kill -ABRT $$;;
*) echo 'poolproof-doctor:{"state":"absent"}';;
esac"#,
        );
        let python = look(&program, DEADLINE);
        assert_eq!(python.interpreter, Import::Found { version: "3.12.1".to_owned(), cuda: None });
        let found = Import::Found { version: "2.11.0".to_owned(), cuda: Some("13.0".to_owned()) };
        let broken = Import::Broken { reason: "ImportError: libcudart".to_owned() };
        assert_eq!(python.packages, [("torch", found)]);
        assert_eq!(import(&program, "cupy", DEADLINE), broken);
        let died = import(&program, "jax", DEADLINE);
        let Import::Broken { reason } = &died else { panic!("{died:?}") };
        assert!(reason.starts_with("free(): invalid pointer (signal: 6"), "{reason}");
        assert_eq!(import(&program, "rmm", DEADLINE), Import::Absent);
    }

    #[test]
    fn an_import_that_hangs_meets_its_deadline() {
        let (_folder, program) = shell("exec tail -f /dev/null");
        let python = look(&program, Duration::from_millis(50));
        assert_eq!((python.interpreter, python.packages), (Import::TooSlow, vec![]));
    }

    #[test]
    fn no_interpreter_is_a_finding() {
        assert_eq!(look("no-such-python", DEADLINE).interpreter, Import::Absent);
    }

    #[test]
    fn the_script_is_python() {
        // Nothing to show where there is no interpreter; `doctor` says so there.
        if let Import::Found { version, .. } = import("python3", "", DEADLINE) {
            assert!(version.starts_with('3'), "{version}");
            assert!(matches!(import("python3", "json", DEADLINE), Import::Found { .. } | Import::Broken { .. }));
            assert_eq!(import("python3", "no_such_package", DEADLINE), Import::Absent);
        }
    }
}
