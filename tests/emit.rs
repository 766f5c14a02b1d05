//! Findings as programs of their own: each is built and run where what it needs is there, exits 1 on the allocator that it was found on and 0
//! on a sound one; what cannot be said in a language is refused with the operation named.
#![cfg(target_os = "linux")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output, Stdio};

use libtest_mimic::{Arguments, Failed, Trial};
use poolproof::setup;
use poolproof::target::TargetName;
use poolproof::target::released::{RELEASES, find};
use poolproof::verdict::record::RunRecord;
use poolproof::verdict::standalone::Came;
use poolproof::verdict::{Finding, Standalone};
use tempfile::TempDir;

/// Mistakes of the example library.
const MISTAKES: [&str; 5] = ["recorded", "streams", "neighbours", "rounds", "forgets"];

/// Scenarios that find them.
const OF_LIBRARIES: &str = "{strm,mem,leak,grow}::*";

/// Defects of the reference, with scenarios that find each and a promise that it breaks: an address, figures, an answer.
const DEFECTS: [(&str, &str, &str); 6] = [
    ("event-on-default-stream", "strm::*", "STRM-02"),
    ("peak-reset-to-zero", "peak::*", "PEAK-02"),
    ("peak-of-refused", "{peak,oom}::*", "PEAK-03"),
    ("freed-in-small-pool", "pool::*", "POOL-01"),
    ("fraction-clamped", "frac::*", "FRAC-02"),
    ("flush-does-not-wait", "leak::*", "LEAK-01"),
];

fn main() -> ExitCode {
    let has_cc = has("cc");
    let mut trials = Vec::new();
    let mut add = |name: String, missing: Option<&str>, trial: Box<dyn FnOnce() -> Result<(), Failed> + Send>| {
        let kind = missing.unwrap_or_default().to_owned();
        trials.push(Trial::test(name, trial).with_kind(kind).with_ignored_flag(missing.is_some()));
    };
    let no_cc = (!has_cc).then_some("needs cc: apt-get install gcc");
    for mistake in MISTAKES {
        add(format!("c::{mistake}"), no_cc, Box::new(move || c(mistake)));
    }
    add("a-run-brings-its-programs".to_owned(), no_cc, Box::new(in_a_run));
    for (defect, scenarios, promise) in DEFECTS {
        add(format!("rust::{defect}"), None, Box::new(move || rust(defect, scenarios, promise)));
    }
    let cache = setup::cache().unwrap_or_default();
    let there: Vec<&str> = RELEASES.into_iter().filter(|version| find(&cache, version).is_some()).collect();
    let missing = match there.first() {
        None => Some("needs a release: poolproof setup torch"),
        Some(_) if !has("g++") => Some("needs g++: apt-get install g++"),
        Some(_) => None,
    };
    // One that is known to do several things wrong, or else the newest.
    let release = there.iter().find(|r| **r == "2.11.0").or(there.first()).copied().unwrap_or(RELEASES[0]);
    add(format!("cpp::torch-{release}"), missing, Box::new(move || cpp(release)));
    let no_python = (!has("python3")).then_some("needs python3");
    add("python::is-well-formed".to_owned(), no_python, Box::new(python));
    add("what-cannot-be-said-is-refused".to_owned(), None, Box::new(refused));
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn has(program: &str) -> bool {
    let asked = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    asked.is_ok_and(|status| status.success())
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn poolproof(folder: &Path, arguments: &[&str]) -> Result<Output, Failed> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_poolproof"));
    command.current_dir(folder).args(arguments).stdin(Stdio::null());
    for name in ["PROPTEST_CASES", "GITHUB_STEP_SUMMARY", "RUST_LOG", "MISTAKE"] {
        command.env_remove(name);
    }
    Ok(command.output()?)
}

/// A run's findings, and where each lies.
struct Ran {
    folder: TempDir,
    at: PathBuf,
    findings: Vec<Finding>,
}

fn run(target: &str, scenarios: &str, programs: &str) -> Result<Ran, Failed> {
    let folder = tempfile::tempdir()?;
    let arguments = ["run", "--no-regressions", "--out", "o", "--jobs", "2", "--cases", "8", "--no-exact"];
    let chosen = ["--programs", programs, "--target", target, "--scenario", scenarios];
    let output = poolproof(folder.path(), &[&arguments[..], &chosen].concat())?;
    let name: TargetName = target.parse()?;
    let at = folder.path().join("o").join(name.folder());
    let text = fs::read(at.join("run.json")).map_err(|e| format!("{e}: {}", text(&output.stderr)))?;
    let record: RunRecord = serde_json::from_slice(&text)?;
    if record.findings.is_empty() {
        return Err(format!("{target}: nothing was found").into());
    }
    Ok(Ran { folder, at, findings: record.findings })
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The program of a finding, or what was said instead.
fn emitted(ran: &Ran, finding: &Finding, language: &str, name: &str) -> Result<Result<PathBuf, String>, Failed> {
    let program = ran.folder.path().join(name);
    let (from, to) = (ran.at.join(&finding.file), program.display().to_string());
    let from = from.display().to_string();
    let output = poolproof(ran.folder.path(), &["replay", &from, "--emit", language, "--out", &to])?;
    match output.status.code() {
        Some(0) => Ok(Ok(program)),
        Some(2) => Ok(Err(text(&output.stderr))),
        code => Err(format!("{code:?}: {}", text(&output.stderr)).into()),
    }
}

/// Every finding that can be said comes to `ends`, and at least one can.
fn all(
    ran: &Ran,
    language: &str,
    extension: &str,
    ends: i32,
    mut call: impl FnMut(&Path) -> Result<Output, Failed>,
) -> Result<(), Failed> {
    let mut said = 0;
    let mut refusals = String::new();
    for finding in &ran.findings {
        let name = format!("{}.{extension}", finding.id.replace('-', "_"));
        match emitted(ran, finding, language, &name)? {
            Ok(program) => {
                said += 1;
                let output = call(&program)?;
                let (told, complaint) = (text(&output.stdout), text(&output.stderr));
                let both = told.contains("expected") && told.contains("actual");
                if output.status.code() != Some(ends) || !both {
                    let source = fs::read_to_string(&program)?;
                    return Err(format!("{}: {:?}\n{told}{complaint}\n{source}", finding.id, output.status).into());
                }
            }
            Err(why) => refusals += &why,
        }
    }
    if said > 0 { Ok(()) } else { Err(format!("none can be said: {refusals}").into()) }
}

fn compiled(compiler: &str, arguments: &[&str], source: &Path, to: &Path) -> Result<(), Failed> {
    let output = Command::new(compiler).args(arguments).arg(source).arg("-o").arg(to).output()?;
    if output.status.success() {
        Ok(())
    } else {
        Err(format!("{}{}", text(&output.stderr), fs::read_to_string(source)?).into())
    }
}

/// On the mistaken library it exits 1, on the sound one 0.
fn c(mistake: &str) -> Result<(), Failed> {
    let build = tempfile::tempdir()?;
    let library = build.path().join("liballocator.so");
    let source = root().join("examples/plugin/allocator.c");
    compiled("cc", &["-O1", "-shared", "-fPIC", "-pthread"], &source, &library)?;
    let ran =
        run(&format!("plugin:{}@host?deadline=20s&env=MISTAKE={mistake}", library.display()), OF_LIBRARIES, "none")?;
    for (ends, planted) in [(1, true), (0, false)] {
        all(&ran, "c", "c", ends, |program| {
            let built = program.with_extension("bin");
            let strict = ["-O1", "-Wall", "-Wextra", "-Werror", "-Wno-unused-function", "-Wno-unused-variable"];
            compiled("cc", &strict, program, &built)?;
            if !planted {
                // The same program without the mistake, which it sets itself.
                let sound = fs::read_to_string(program)?
                    .replace(&format!("setenv(\"MISTAKE\", \"{mistake}\""), "setenv(\"MISTAKE\", \"\"");
                fs::write(program, sound)?;
                compiled("cc", &strict, program, &built)?;
            }
            Ok(Command::new(&built).arg(&library).env_remove("MISTAKE").output()?)
        })?;
    }
    Ok(())
}

/// A run writes each finding as a program, runs it and says what it printed; `--programs none` leaves that out, and its files with it.
fn in_a_run() -> Result<(), Failed> {
    let build = tempfile::tempdir()?;
    let library = build.path().join("liballocator.so");
    compiled("cc", &["-O1", "-shared", "-fPIC", "-pthread"], &root().join("examples/plugin/allocator.c"), &library)?;
    let target = format!("plugin:{}@host?deadline=20s&env=MISTAKE=streams", library.display());
    let ran = run(&target, "strm::*", "new")?;
    let page = fs::read_to_string(ran.at.join("report.md"))?;
    let mut shown = 0;
    for finding in &ran.findings {
        match &finding.standalone {
            Some(Standalone::Program { file, came: Came::Shows { printed }, .. }) => {
                shown += 1;
                let told = printed.lines().next_back().unwrap_or_default();
                if !ran.at.join(file).is_file() || !page.contains(told) || !page.contains(&format!("`{file}`")) {
                    return Err(format!("{file}: {printed}\n{page}").into());
                }
            }
            Some(Standalone::Unsaid { why, .. }) if page.contains("not as a program in C") && !why.is_empty() => {}
            other => return Err(format!("{}: {other:?}", finding.id).into()),
        }
    }
    if shown == 0 || !page.contains("Run in a fresh process, it exited 1:") {
        return Err(page.into());
    }
    let again = ["run", "--no-regressions", "--out", "o", "--cases", "8", "--no-exact", "--programs", "none"];
    poolproof(ran.folder.path(), &[&again[..], &["--scenario", "strm::*", "--target", &target]].concat())?;
    let left = fs::read_dir(ran.at.join("findings"))?.flatten();
    let left: Vec<_> =
        left.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == "c")).collect();
    if left.is_empty() { Ok(()) } else { Err(format!("{left:?}").into()) }
}

/// The library crates that this test was built with, newest first.
fn built_crates(name: &str) -> Result<Vec<PathBuf>, Failed> {
    let own = std::env::current_exe()?;
    let deps = own.parent().ok_or("a test lies in a folder")?;
    let mut found: Vec<PathBuf> = fs::read_dir(deps)?.flatten().map(|entry| entry.path()).collect();
    found.retain(|path| {
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        file.starts_with(&format!("lib{name}-")) && file.ends_with(".rlib")
    });
    found.sort_by_key(|path| std::cmp::Reverse(fs::metadata(path).and_then(|m| m.modified()).ok()));
    Ok(found)
}

/// Builds an example of the reference with the crates that are there: of several builds of one, those that fit each other.
fn rustc(source: &Path, to: &Path) -> Result<(), Failed> {
    let names = ["poolproof_reference", "poolproof_device", "poolproof_words"];
    let [references, devices, words] = names.map(built_crates);
    let (references, devices, words) = (references?, devices?, words?);
    let deps = references.first().and_then(|path| path.parent()).ok_or("the reference was built")?.to_owned();
    let mut complaint = String::new();
    for reference in &references {
        for device in &devices {
            for word in &words {
                let mut command = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
                command.args(["--edition", "2024", "-L"]).arg(format!("dependency={}", deps.display()));
                for (name, path) in names.iter().zip([reference, device, word]) {
                    command.arg("--extern").arg(format!("{name}={}", path.display()));
                }
                let output = command.arg(source).arg("-o").arg(to).output()?;
                if output.status.success() {
                    return Ok(());
                }
                complaint = text(&output.stderr);
            }
        }
    }
    Err(format!("{complaint}\n{}", fs::read_to_string(source)?).into())
}

/// With the planted defect it exits 1, with none 0.
fn rust(defect: &str, scenarios: &str, promise: &str) -> Result<(), Failed> {
    let mut ran = run(&format!("reference@sim?defect={defect}"), scenarios, "none")?;
    // What PyTorch itself does wrong the sound reference does, too.
    ran.findings.retain(|finding| finding.requirement.to_string() == promise);
    for (ends, planted) in [(1, true), (0, false)] {
        all(&ran, "rust", "rs", ends, |program| {
            if !planted {
                let line = format!("let allocator = Planted::Defect(\"{defect}\".parse().expect(\"a defect\"));");
                let source = fs::read_to_string(program)?;
                if !source.contains(&line) {
                    return Err("the defect is not where it is looked for".into());
                }
                fs::write(program, source.replace(&line, "let allocator = Sound;"))?;
            }
            let built = program.with_extension("bin");
            rustc(program, &built)?;
            Ok(Command::new(&built).output()?)
        })?;
    }
    Ok(())
}

/// What a release of PyTorch is expected to do wrong, it does without poolproof, too.
fn cpp(release: &str) -> Result<(), Failed> {
    let found = find(&setup::cache()?, release).ok_or("it is set up")?;
    let mut ran = run(&format!("c10@sim?torch={release}"), "{oom,conf,stat,huge}::*", "none")?;
    ran.findings.truncate(3); // the headers of PyTorch take two seconds each
    let script = root().join("reports/trophies/c10/run");
    all(&ran, "cpp", "cpp", 1, |program| Ok(Command::new(&script).arg(&found.folder).arg(program).output()?))
}

/// Without a GPU it is compiled alone.
fn python() -> Result<(), Failed> {
    for (defect, scenarios) in [("event-on-default-stream", "strm::*"), ("freed-in-small-pool", "{pool,priv,capt}::*")]
    {
        let ran = run(&format!("reference@sim?defect={defect}"), scenarios, "none")?;
        let mut said = 0;
        for finding in &ran.findings {
            let Ok(program) = emitted(&ran, finding, "python", &format!("{}.py", finding.id))? else { continue };
            said += 1;
            let output = Command::new("python3").args(["-W", "error", "-m", "py_compile"]).arg(&program).output()?;
            if !output.status.success() {
                return Err(format!("{}{}", text(&output.stderr), fs::read_to_string(&program)?).into());
            }
        }
        if said == 0 {
            return Err(format!("{defect}: none can be said").into());
        }
    }
    Ok(())
}

fn refused() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let write = |name: &str, target: &str, setup: &str, steps: &str| {
        let text = format!(
            "{{\"format\": \"poolproof-reproducer/1\", \"target\": \"{target}\", \"scenario\": \"a::b\", \"requirement\": \"STAT-01\", \
             \"setup\": {setup}, \"oracles\": [\"expectation\"], \"steps\": [{steps}], \"epilogue\": false}}"
        );
        fs::write(folder.path().join(name), text)
    };
    let one = r#"{"device_bytes": [1073741824], "streams": 2}"#;
    let wrong = r#"{"op": {"alloc": {"block": 0, "device": 0, "stream": 0, "bytes": 512}}, "expect": {"stats": {"0": {"num_ooms": 1}}}}"#;
    let fault = r#"{"op": {"fault": {"device": 0, "call": "reserve", "skip": 9}}}"#;
    let caller = r#"{"op": {"caller": {"caller": 1}}}"#;
    write("plain.json", "reference@sim", one, wrong)?;
    write("fault.json", "reference@sim", one, &format!("{fault}, {wrong}"))?;
    write("caller.json", "reference@sim", one, &format!("{caller}, {wrong}"))?;
    write("front.json", "reference@sim?defect=peak-reset-on-current", one, wrong)?;
    write("none.json", "reference@sim", one, r#"{"op": "empty_cache"}"#)?;
    for (file, language, said) in [
        (
            "fault.json",
            "python",
            "`fault device 0: reserve fails after 9 more` cannot be said in Python: no device call fails on request",
        ),
        ("caller.json", "rust", "`caller 1` cannot be said in Rust: threads are the harness's"),
        ("plain.json", "c", "it is written for plugin:LIBRARY@host"),
        ("plain.json", "cpp", "it is written for c10"),
        ("none.json", "rust", "no violation shows on reference@sim"),
        ("front.json", "rust", "planted in what the harness puts before the crates"),
    ] {
        let output = poolproof(folder.path(), &["replay", file, "--emit", language])?;
        let told = text(&output.stderr);
        if output.status.code() != Some(2) || !told.contains(said) || !output.stdout.is_empty() {
            return Err(format!("{file} as {language}: {:?}: {told}{}", output.status, text(&output.stdout)).into());
        }
    }
    let output = poolproof(folder.path(), &["replay", "plain.json", "--emit", "rust"])?;
    let told = text(&output.stdout);
    if told.contains("num_ooms of device 0 is exactly 1") { Ok(()) } else { Err(told.into()) }
}
