//! What is built beside PyTorch's released allocator: libraries that forward, and the shim, both asked by a small program in C. What
//! was not set up is listed as ignored.
#![cfg(target_os = "linux")]

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::OnceLock;

use libtest_mimic::{Arguments, Failed, Trial};
use poolproof::setup;
use poolproof::target::TargetName;
use poolproof::target::released::{FORWARD, RELEASES, Released, find};
use poolproof::verdict::Outcome;
use poolproof::verdict::record::{EndedBy, RunRecord};
use poolproof::verdict::releases::{Answer, ReleaseMatrix};
use tempfile::TempDir;

/// The three libraries: what the compiler is told, the name, and what a function that nobody stands in for answers.
const LIBRARIES: [(&str, &str, &str); 4] = [
    ("POOLPROOF_RUNTIME", "libcudart.so.12", "801"),
    ("POOLPROOF_RUNTIME", "libcudart.so.13", "801"),
    ("POOLPROOF_DRIVER", "libcuda.so.1", "801"),
    ("POOLPROOF_MANAGEMENT", "libnvidia-ml.so.1", "3"),
];

/// Releases that were recorded on a GPU: how the names of their recordings begin, below `tests/recordings`.
const RECORDED: [(&str, &str); 3] = [("2.11.0", ""), ("2.13.0", "released/2.13-"), ("2.15.0", "released/2.15-")];

/// Releases whose rules the reference knows.
const EXACT: [&str; 6] = ["2.10.0", "2.11.0", "2.12.1", "2.13.0", "2.14.1", "2.15.0"];

fn main() -> ExitCode {
    let cc = Command::new("cc").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    let no_cc = (!cc.is_ok_and(|status| status.success())).then(|| "needs cc: apt-get install gcc".to_owned());
    let mut trials = Vec::new();
    for library in LIBRARIES {
        add(&mut trials, format!("forwards::{}", library.1), no_cc.clone(), move || forwards(library));
    }
    let cache = setup::cache().unwrap_or_default();
    for version in RELEASES {
        let found = find(&cache, version);
        let missing = found.as_ref().is_none_or(|found| !found.is_current());
        let missing = missing.then(|| format!("needs torch {version}: poolproof setup torch --version {version}"));
        let why = missing.or_else(|| no_cc.clone());
        add(&mut trials, format!("torch-{version}::allocates"), why.clone(), move || allocates(found.as_ref()));
        let knows_fewer =
            version.split('.').nth(1).is_some_and(|minor| minor.parse::<u32>().is_ok_and(|minor| minor < 11));
        if knows_fewer {
            let why = why.clone();
            add(&mut trials, format!("torch-{version}::has-its-own-settings"), why, move || {
                has_its_own_settings(version)
            });
        }
        if EXACT.contains(&version) {
            let why = why.clone();
            add(&mut trials, format!("torch-{version}::goes-by-its-rules"), why, move || goes_by_its_rules(version));
        }
        if let Some((_, files)) = RECORDED.into_iter().find(|(recorded, _)| *recorded == version) {
            let name = format!("torch-{version}::does-what-was-recorded");
            add(&mut trials, name, why, move || does_what_was_recorded(version, files));
        }
    }
    add(&mut trials, "only-libraries-play-recordings-back".to_owned(), None, only_libraries_play_recordings_back);
    let there: Vec<&str> = RELEASES.into_iter().filter(|version| find(&cache, version).is_some()).collect();
    let [newer, older] = *there.get(..2).unwrap_or(&[RELEASES[0], RELEASES[1]]) else { unreachable!("two were taken") };
    let missing = there.len() < 2;
    let missing =
        missing.then(|| format!("needs two releases: poolproof setup torch --version {older} --version {newer}"));
    add(&mut trials, "matrix::of-two-releases".to_owned(), missing, move || matrix_of(older, newer));
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn add(
    trials: &mut Vec<Trial>,
    name: String,
    missing: Option<String>,
    trial: impl FnOnce() -> Result<(), Failed> + Send + 'static,
) {
    let is_ignored = missing.is_some();
    trials.push(Trial::test(name, trial).with_kind(missing.unwrap_or_default()).with_ignored_flag(is_ignored));
}

fn folder() -> &'static Path {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    FOLDER.get_or_init(|| tempfile::tempdir().expect("a temporary folder")).path()
}

fn cc(arguments: &[&str], source: &Path, to: &Path, link: &[&str]) -> Result<(), Failed> {
    // Two trials may build the same: the file appears whole.
    let own = tempfile::NamedTempFile::new_in(folder())?.into_temp_path();
    let mut command = Command::new("cc");
    let output = command.args(["-O1", "-Wall", "-Wextra", "-Werror"]).args(arguments).arg(source);
    let output = output.arg("-o").arg(&own).args(link).output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    Ok(own.persist(to)?)
}

fn probe(arguments: &[&Path]) -> Result<(), Failed> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/released/probe.c");
    let program = folder().join(format!("probe-{:?}", std::thread::current().id()));
    cc(&[], &source, &program, &["-ldl"])?;
    let output = Command::new(program).args(arguments).env_remove("PYTORCH_CUDA_ALLOC_CONF").output()?;
    let [printed, said] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    if output.status.success() { Ok(()) } else { Err(format!("{}: {printed}{said}", output.status).into()) }
}

fn forwards((define, name, answer): (&str, &str, &str)) -> Result<(), Failed> {
    let own = tempfile::tempdir()?;
    for (file, text) in FORWARD {
        std::fs::write(own.path().join(file), text)?;
    }
    let library = own.path().join(name);
    let (define, soname) = (format!("-D{define}"), format!("-Wl,-soname,{name}"));
    cc(&["-shared", "-fPIC", &define, &soname], &own.path().join("forward.c"), &library, &[])?;
    probe(&[Path::new("forward"), Path::new(answer), &library])
}

fn poolproof(arguments: &[&str], folder: &Path) -> Result<(Option<i32>, String), Failed> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_poolproof"));
    command.args(arguments).current_dir(folder).env_remove("PROPTEST_CASES").stdin(Stdio::null());
    let output = command.output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    if said.contains("panicked") { Err(said.into()) } else { Ok((output.status.code(), said)) }
}

/// The suite's refusals on two neighbours: a page, the records of both, and a finding that is traced through the releases.
fn matrix_of(older: &str, newer: &str) -> Result<(), Failed> {
    let own = tempfile::tempdir()?;
    let both = format!("{newer},{older}");
    let arguments =
        ["matrix", "--torch", &both, "--scenario", "oom::message-*", "--cases", "2", "--no-exact", "--out", "out"];
    let (code, said) = poolproof(&arguments, own.path())?;
    if !matches!(code, Some(0 | 1)) {
        return Err(said.into());
    }
    let text = std::fs::read(own.path().join("out/matrix.json"))?;
    let matrix: ReleaseMatrix = serde_json::from_slice(&text)?;
    let releases: Vec<&str> = matrix.releases.iter().map(|release| release.version.as_str()).collect();
    assert_eq!((releases, matrix.ended, matrix.left_out.len()), (vec![older, newer], EndedBy::Complete, 0));
    for page in ["out/matrix.md", "out/matrix.zh.md"] {
        let page = std::fs::read_to_string(own.path().join(page))?;
        assert!(page.contains(older) && page.contains(newer), "{page}");
    }
    for release in &matrix.releases {
        assert!(release.executed > 0 && release.operations > 0, "{release:?}");
        let record = format!("out/{}/run.json", release.folder);
        assert_eq!(poolproof(&["report", &record], own.path())?.0, Some(0), "{record}");
    }
    assert_eq!(code == Some(1), matrix.releases.iter().any(|release| release.findings > 0), "{said}");
    for sequence in &matrix.sequences {
        assert!(!sequence.answers.contains(&Answer::NotAsked), "{sequence:?}");
        let file = format!("out/{}", sequence.file);
        let (_, said) = poolproof(&["matrix", "--torch", &both, "--bisect", &file], own.path())?;
        for (release, answer) in std::iter::zip([older, newer], &sequence.answers) {
            let breaks = said.lines().any(|line| line.starts_with(&format!("{release:<8} breaks")));
            assert_eq!(breaks, matches!(answer, Answer::Breaks { .. }), "{release}: {said}");
        }
    }
    Ok(())
}

fn allocates(released: Option<&Released>) -> Result<(), Failed> {
    let libraries: Vec<PathBuf> = released.ok_or("it is not set up")?.simulated().to_vec();
    let arguments: Vec<&Path> = [Path::new("open")].into_iter().chain(libraries.iter().map(PathBuf::as_path)).collect();
    probe(&arguments)
}

/// The program as a user starts it: every figure, address and device call of these sequences is what the reference comes to.
fn goes_by_its_rules(version: &str) -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let target = format!("c10@sim?torch={version}");
    let mut command = Command::new(env!("CARGO_BIN_EXE_poolproof"));
    command.current_dir(folder.path()).args(["run", "--target", &target, "--only-exact", "--cases", "8"]);
    command.args(["zero::*", "pool::*", "trim::*", "peak::*"].iter().flat_map(|glob| ["--scenario", glob]));
    let output = command.args(["--no-regressions", "--out", "o"]).output()?;
    let [printed, said] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    if output.status.success() { Ok(()) } else { Err(format!("{}: {printed}{said}", output.status).into()) }
}

/// A scenario for settings of a later release does not apply, and drawn worlds that have some are lived without: neither is an error of
/// the harness.
fn has_its_own_settings(version: &str) -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let target = format!("c10@sim?torch={version}");
    let mut command = Command::new(env!("CARGO_BIN_EXE_poolproof"));
    command.current_dir(folder.path()).args([
        "run",
        "--target",
        &target,
        "--no-exact",
        "--cases",
        "24",
        "--no-regressions",
    ]);
    command.args(["--scenario", "conf::large-segment", "--scenario", "conf::any-settings", "--minimise-time", "1s"]);
    let output = command.args(["--out", "o"]).output()?;
    let name: TargetName = target.parse()?;
    let text = std::fs::read(folder.path().join("o").join(name.folder()).join("run.json"))?;
    let record: RunRecord = serde_json::from_slice(&text)?;
    let of = |id: &str| record.scenarios.iter().find(|s| s.id == *id).ok_or(format!("no {id}"));
    let (explicit, drawn) = (of("conf::large-segment")?, of("conf::any-settings")?);
    let ran = ![Outcome::Broken, Outcome::NotApplicable, Outcome::Skipped].contains(&drawn.outcome);
    if explicit.outcome == Outcome::NotApplicable && ran && drawn.sequences > 0 {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{:?}, {:?} after {} sequences: {said}", explicit.outcome, drawn.outcome, drawn.sequences).into())
}

/// What cannot be played back is told so: another target, another kind of file, a part.
fn only_libraries_play_recordings_back() -> Result<(), Failed> {
    let recording = "tests/recordings/default.jsonl.gz";
    let lines: [(&[&str], &str); 3] = [
        (&["--target", "reference@sim", recording], "recordings are played back to `c10@sim` alone"),
        (&["--target", "c10@sim", "tests/released.rs"], "is neither a recording nor a memory snapshot"),
        (&["--target", "c10@sim", "--from", "3", recording], "--from and --to are for memory snapshots"),
    ];
    for (words, part) in lines {
        let mut command = Command::new(env!("CARGO_BIN_EXE_poolproof"));
        let output =
            command.current_dir(env!("CARGO_MANIFEST_DIR")).args(["replay", "--exact"]).args(words).output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        if output.status.code() != Some(2) || !said.contains(part) {
            return Err(format!("{words:?}: {}: {said}", output.status).into());
        }
    }
    Ok(())
}

/// What was recorded of PyTorch on a GPU the library does again on the recorded driver, call for call.
fn does_what_was_recorded(version: &str, begin: &str) -> Result<(), Failed> {
    let begin = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings").join(begin).display().to_string();
    let folder = begin.rsplit_once('/').map_or(".", |(folder, _)| folder);
    let files: Vec<_> = std::fs::read_dir(folder)?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    let is_one =
        |path: &Path| path.display().to_string().starts_with(&begin) && path.extension().is_some_and(|e| e == "gz");
    let files: Vec<_> = files.into_iter().filter(|path| is_one(path)).collect();
    let mut command = Command::new(env!("CARGO_BIN_EXE_poolproof"));
    let command = command.args(["replay", "--exact", "--target", &format!("c10@sim?torch={version}")]).args(&files);
    let output = command.output()?;
    let printed = String::from_utf8_lossy(&output.stdout);
    let is_whole = printed.matches(" operations, 0 divergences").count() == files.len() && files.len() >= 10;
    if output.status.success() && is_whole {
        return Ok(());
    }
    Err(format!("{}: {printed}{}", output.status, String::from_utf8_lossy(&output.stderr)).into())
}
