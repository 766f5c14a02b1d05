//! Environments made by interpreters that only pretend: what fails leaves nothing behind, and says what is missing.

use std::os::unix::fs::PermissionsExt;

use super::*;

/// A program that answers as an interpreter does, and does this where it is asked for a module.
fn pretend(folder: &Path, version: &str, module: &str) -> String {
    let path = folder.join("python");
    let own = path.display();
    let text = format!("#!/bin/sh\nif [ \"$1\" = -c ]; then echo {version}; echo {own}; exit 0; fi\n{module}\n");
    fs::write(&path, text).expect("a folder of our own");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a file of our own");
    path.display().to_string()
}

/// Pip of the pretended interpreter: makes the folder it is told to; the adapter is answered, too.
const WORKS: &str = "while [ $# -gt 0 ]; do if [ \"$1\" = --target ]; then mkdir -p \"$2\"; fi; shift; done";

fn attempt(version: &str, module: &str) -> (tempfile::TempDir, Result<Environment, SetupError>, Vec<String>) {
    let folder = tempfile::tempdir().expect("a folder");
    let python = pretend(folder.path(), version, module);
    let mut told = Vec::new();
    let release = release(Package::Rmm, None).expect("the newest");
    let cache = folder.path().join("cache");
    let made = make(Package::Rmm, release, &python, &cache, &mut |line| told.push(line.to_owned()));
    (folder, made, told)
}

fn left_behind(folder: &tempfile::TempDir) -> Vec<String> {
    let entries = fs::read_dir(folder.path().join("cache/poolproof")).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn an_environment_appears_whole_and_is_taken_as_it_is_the_next_time() {
    let (folder, made, told) = attempt("3.12.1", WORKS);
    let made = made.expect("everything went well");
    assert!(made.is_there() && left_behind(&folder) == ["rmm-26.10.0"]);
    assert!(told[0].contains("pip install --no-deps rmm-cu13==26.10.0 librmm-cu13==26.10.0"), "{told:?}");
    let adapter = fs::read_to_string(made.folder.join("rmm_resources.py")).expect("written");
    assert_eq!(adapter, Package::Rmm.adapter().1);
    fs::write(made.folder.join("rmm_resources.py"), "old").expect("a file of our own");
    let release = release(Package::Rmm, Some("26.10.0")).expect("known");
    let again = make(Package::Rmm, release, "no-such-python", &folder.path().join("cache"), &mut |_| {});
    assert_eq!(again.expect("nothing is fetched"), made);
    assert_eq!(fs::read_to_string(made.folder.join("rmm_resources.py")).expect("written again"), adapter);
}

#[test]
fn what_is_missing_is_said_and_nothing_is_left_behind() {
    let said = |version, module: &str| {
        let (folder, made, _) = attempt(version, module);
        assert_eq!(left_behind(&folder), Vec::<String>::new());
        made.expect_err("something is missing")
    };
    assert!(matches!(said("3.10.9", WORKS), SetupError::OldPython { .. }));
    assert!(matches!(said("3.12.1", "echo No module named pip >&2; exit 1"), SetupError::NoPip { .. }));
    let offline = "echo 'WARNING: Retrying after NewConnectionError: refused' >&2; echo 'ERROR: No matching distribution' >&2; exit 1";
    assert!(matches!(said("3.12.1", offline), SetupError::NoNetwork { said } if said.contains("refused")));
    let gone = said("3.12.1", "echo 'ERROR: No matching distribution found for rmm-cu13==26.10.0' >&2; exit 1");
    assert!(gone.to_string().contains("No matching distribution found"), "{gone}");
    let broken = format!("for last; do :; done; if [ \"$last\" = --version ]; then exit 7; fi\n{WORKS}");
    assert!(matches!(said("3.12.1", &broken), SetupError::Failed { status, .. } if status.contains('7')));
}

#[test]
fn a_release_or_an_interpreter_that_does_not_exist_is_named() {
    let unknown = release(Package::Onnx, Some("1.0")).expect_err("far too old");
    assert_eq!(unknown.to_string(), "onnx 1.0 is no release that is known here; known are 1.32.0");
    let folder = tempfile::tempdir().expect("a folder");
    let newest = release(Package::Onnx, None).expect("the newest");
    let made = make(Package::Onnx, newest, "no-such-python", folder.path(), &mut |_| {});
    assert!(matches!(made, Err(SetupError::NoPython { .. })));
}
