//! Somebody else's allocators, by command: a sound one gets its verdicts, each mistake is found, and a worker that goes wrong
//! costs one scenario. The adapters are Python; without an interpreter the trials are listed as ignored.
#![cfg(target_os = "linux")]

use std::path::Path;
use std::process::{Command, ExitCode, Output, Stdio};
use std::sync::OnceLock;

use libtest_mimic::{Arguments, Failed, Trial};
use poolproof::target::TargetName;
use poolproof::target::worker::{Answer, Ask, Framing, Told};
use poolproof::verdict::Outcome;
use poolproof::verdict::record::RunRecord;
use tempfile::TempDir;

/// Requirements that an allocator of `malloc` and `free` alone gets a verdict on.
const VERDICTS: usize = 30;

/// Each mistake, with the promises that it may be found to break.
const MISTAKES: [(&str, &[&str]); 7] = [
    ("overlap", &["MEM-01"]),
    ("other-stream", &["STRM-01"]),
    ("leak", &["LEAK-01", "GROW-01"]),
    ("wraps", &["HUGE-02", "HUGE-01"]),
    ("too-small", &["MEM-01", "MEM-03"]),
    ("no-recovery", &["OOM-03", "OOM-04", "OOM-01", "HUGE-01", "ISO-04"]),
    ("threads", &["MEM-01", "CONC-02"]),
];

/// Ways for a worker to go wrong, and whether the scenario is convicted for it.
const GONE: [(&str, bool); 8] = [
    ("garbage", false),
    ("half-a-line", true),
    ("nothing", true),
    ("too-much", false),
    ("exit", true),
    ("segfault", true),
    ("fork", true),
    ("flood", true),
];

/// The same of one that is asked in frames.
const FRAMED: [(&str, bool); 8] = [
    ("no-mistake", false),
    ("garbage", false),
    ("no-message", false),
    ("line", false),
    ("empty", false),
    ("half", true),
    ("half-and-waits", true),
    ("segfault", true),
];

fn main() -> ExitCode {
    let has_python = has("python3");
    let mut trials = Vec::new();
    let mut add =
        |name: String, works: bool, missing: &str, trial: fn(&str) -> Result<(), Failed>, what: &'static str| {
            let kind = if works { String::new() } else { format!("needs {missing}") };
            trials.push(Trial::test(name, move || trial(what)).with_kind(kind).with_ignored_flag(!works));
        };
    add("transcript_of_the_page".into(), true, "", transcript, "");
    add("sound_adapter_has_its_verdicts".into(), has_python, "python3", sound, "");
    for (mistake, _) in MISTAKES {
        add(format!("mistake_is_found::{mistake}"), has_python, "python3", found, mistake);
    }
    for mistake in ["no-mistake", "overlap", "leak", "too-small", "no-recovery"] {
        add(format!("asked_ahead::{mistake}"), has_python, "python3", ahead, mistake);
    }
    add("blocks_of_the_host_hold_what_is_written".into(), has("cc"), "cc", host_blocks, "");
    for (gone, _) in GONE {
        add(format!("worker_goes_wrong::{gone}"), has_python, "python3", gone_wrong, gone);
    }
    for (gone, _) in FRAMED {
        add(format!("framed_worker_goes_wrong::{gone}"), has("cc"), "cc", framed, gone);
    }
    for when in ["closed", "open"] {
        add(format!("worker_asks_for_another::{when}"), has_python, "python3", restarted, when);
    }
    add("template_passes::python".into(), has_python, "python3", template, "python");
    add("template_passes::c".into(), has("cc"), "cc", template, "c");
    add("template_passes::c-binary".into(), has("cc"), "cc", template, "c-binary");
    add("template_passes::rust".into(), has_crates(), "cargo and serde_json among its crates", template, "rust");
    add("check_worker_names_mistakes".into(), has_python, "python3", checked, "");
    add("check_worker_asks_ahead".into(), has_python, "python3", checked_ahead, "");
    let mut arguments = Arguments::from_args();
    // Each waits for processes, and some for a deadline, more than it works.
    arguments.test_threads.get_or_insert(4);
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn has(program: &str) -> bool {
    let asked = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    asked.is_ok_and(|status| status.success())
}

/// Whether cargo can build the template in Rust as things are here, and fetches nothing.
fn has_crates() -> bool {
    let Ok(folder) = tempfile::tempdir() else { return false };
    let wrote = poolproof(folder.path()).args(["init", "worker", "--lang", "rust"]).output();
    wrote.is_ok_and(|output| output.status.success())
        && cargo(folder.path(), "generate-lockfile").is_ok_and(|output| output.status.success())
}

fn cargo(folder: &Path, what: &str) -> std::io::Result<Output> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args([what, "--offline"]).current_dir(folder).env("CARGO_TARGET_DIR", folder.join("target"));
    command.env_remove("RUSTFLAGS").output()
}

fn poolproof(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_poolproof"));
    command.current_dir(folder).stdin(Stdio::null());
    for name in ["PROPTEST_CASES", "GITHUB_STEP_SUMMARY", "RUST_LOG"] {
        command.env_remove(name);
    }
    command
}

/// The interpreter itself: what `python3` names may be a script that looks for it, which takes longer than the adapter.
fn python() -> &'static str {
    static PATH: OnceLock<String> = OnceLock::new();
    PATH.get_or_init(|| {
        let asked = Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output();
        let path = asked.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default();
        if path.is_empty() { "python3".to_owned() } else { path }
    })
}

/// The adapter of the tests as a target.
fn adapter(options: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/adapters/cached.py");
    format!("exec:'{}' '{}'@host?deadline=20s{options}", python(), path.display())
}

fn run(target: &str, more: &[&str]) -> Result<(TempDir, Output, RunRecord), Failed> {
    let folder = tempfile::tempdir()?;
    // How small a sequence becomes is nobody's question here, and each try of one that hangs is another deadline.
    let arguments = ["run", "--out", "o", "--jobs", "2", "--minimise-time", "1s", "--target", target];
    let output = poolproof(folder.path()).args(arguments).args(more).output()?;
    let name: TargetName = target.parse()?;
    let path = folder.path().join("o").join(name.folder()).join("run.json");
    let text = std::fs::read(&path).map_err(|e| format!("{e}: {}", String::from_utf8_lossy(&output.stderr)))?;
    Ok((folder, output, serde_json::from_slice(&text)?))
}

/// Every question of the page is one that the harness asks, word for word, and every answer one that it takes.
fn transcript(_: &str) -> Result<(), Failed> {
    let page = include_str!("../docs/worker-protocol.md");
    let (mut told, mut lines, mut frames) = (None::<Told>, 0, 0);
    for line in page.lines() {
        if let Some((bytes, text)) = line.split_once(" = ").filter(|_| line.starts_with(['>', '<'])) {
            same_in_a_frame(&bytes[2..], text, line.starts_with('>'))?;
            frames += 1;
        } else if let Some(question) = line.strip_prefix("> ") {
            let ask: Ask<'_> = serde_json::from_str(question)?;
            same(&serde_json::to_string(&ask)?, question)?;
            lines += 1;
        } else if let Some(text) = line.strip_prefix("< ") {
            let answer = Answer::read(text.as_bytes()).map_err(|e| e.to_string())?;
            match (&mut told, answer) {
                (_, Answer::Hello { .. } | Answer::Closed { .. }) => {}
                (Some(told), answer @ Answer::Observed { .. }) => {
                    drop(told.observed(answer).map_err(|e| e.to_string())?)
                }
                (Some(told), answer) => drop(told.applied(answer).map_err(|e| e.to_string())?),
                (None, answer) => {
                    told = Some(Told::opened(answer).map_err(|e| e.to_string())?.map_err(|e| e.to_string())?)
                }
            }
            lines += 1;
        }
    }
    if lines < 18 || frames < 6 {
        return Err(format!("the page has {lines} lines of transcript and {frames} frames").into());
    }
    Ok(())
}

/// The bytes are the frame of the message that stands beside them.
fn same_in_a_frame(bytes: &str, text: &str, is_question: bool) -> Result<(), Failed> {
    let mut frame = Vec::new();
    let written = if is_question {
        Framing::Frames.append(&serde_json::from_str::<Ask<'_>>(text)?, &mut frame)
    } else {
        let answer = Answer::read(text.as_bytes()).map_err(|e| e.to_string())?;
        let bytes: Vec<u8> =
            bytes.split_whitespace().map(|byte| u8::from_str_radix(byte, 16)).collect::<Result<_, _>>()?;
        let (length, message) = bytes.split_first_chunk().ok_or("a frame is longer than its length")?;
        same(&u32::from_le_bytes(*length).to_string(), &message.len().to_string())?;
        let read = Answer::read_noting(Framing::Frames, message, None, |_| {}).map_err(|e| e.to_string())?;
        return same(&format!("{read:?}"), &format!("{answer:?}"));
    };
    written?;
    let shown: Vec<String> = frame.iter().map(|byte| format!("{byte:02x}")).collect();
    same(&shown.join(" "), bytes)
}

fn same(one: &str, other: &str) -> Result<(), Failed> {
    if one == other { Ok(()) } else { Err(format!("{one}\nis not\n{other}").into()) }
}

fn sound(_: &str) -> Result<(), Failed> {
    let (_folder, output, record) = run(&adapter(""), &["--cases", "1"])?;
    if !record.findings.is_empty() {
        return Err(String::from_utf8_lossy(&output.stdout).into_owned().into());
    }
    let passed = record.scenarios.iter().filter(|s| s.outcome == Outcome::Pass);
    let judged: std::collections::BTreeSet<_> = passed.map(|s| s.requirement).collect();
    if judged.len() < VERDICTS { Err(format!("{} requirements have a verdict", judged.len()).into()) } else { Ok(()) }
}

fn found(mistake: &str) -> Result<(), Failed> {
    let promises =
        MISTAKES.iter().find(|(name, _)| *name == mistake).map(|(_, promises)| *promises).unwrap_or_default();
    let (_folder, output, record) =
        run(&adapter(&format!("&env=MISTAKE={mistake}")), &["--cases", "16", "--scenario", "*::plain*"])?;
    let broken: Vec<&str> = record.findings.iter().map(|f| f.id.as_str()).collect();
    let fits = broken.iter().any(|id| promises.iter().any(|promise| id.starts_with(promise)));
    if fits && output.status.code() == Some(1) { Ok(()) } else { Err(format!("{mistake}: {broken:?}").into()) }
}

/// One that is asked ahead does, and is found to do, what it does otherwise.
fn ahead(mistake: &str) -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let count = folder.path().join("count");
    let more = ["--cases", "8", "--scenario", "*::plain*"];
    let (_one, _, plain) = run(&adapter(&format!("&env=MISTAKE={mistake}")), &more)?;
    let target = adapter(&format!("&env=MISTAKE={mistake}&env=AHEAD={}", count.display()));
    let (_other, _, ahead) = run(&target, &more)?;
    let asked: u64 = std::fs::read_to_string(count)?.parse()?;
    let told = |record: &RunRecord| {
        // Of what failed the sequences are made small, which takes as long as it takes.
        let all = record.scenarios.iter().map(|s| {
            let operations = (s.outcome == Outcome::Pass).then_some(s.operations);
            (s.id.to_string(), s.outcome, operations)
        });
        format!("{:#?}", all.collect::<Vec<_>>())
    };
    same(&told(&ahead), &told(&plain))?;
    if asked == 0 || ahead.findings.is_empty() != (mistake == "no-mistake") {
        return Err(format!("{asked} operations asked ahead, {} findings", ahead.findings.len()).into());
    }
    Ok(())
}

/// What adapters in C find blocks by, and write and read in them.
fn host_blocks(_: &str) -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let program = folder.path().join("blocks");
    build_c("tests/adapters/host_blocks.c", &program)?;
    let output = Command::new(program).output()?;
    let text = [output.stdout, output.stderr].concat();
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&text).into_owned().into()) }
}

/// Builds one of the C programs of the tests, with what adapters in C include.
fn build_c(source: &str, program: &Path) -> Result<(), Failed> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new("cc");
    command.args(["-O1", "-Wall", "-Wextra", "-Werror"]).arg("-I").arg(root.join("workers/templates"));
    command.arg("-I").arg(root.join("workers")).arg(root.join(source)).arg("-o").arg(program);
    let built = command.output()?;
    if built.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&built.stderr).into_owned().into()) }
}

fn gone_wrong(how: &str) -> Result<(), Failed> {
    let convicts = GONE.iter().any(|&(name, convicts)| name == how && convicts);
    let deadline = if how == "nothing" || how == "flood" { "&deadline=1s" } else { "" };
    lost_and_went_on(how, &adapter(&format!("&env=GONE={how}{deadline}")), convicts)
}

fn framed(how: &str) -> Result<(), Failed> {
    let convicts = FRAMED.iter().any(|&(name, convicts)| name == how && convicts);
    let folder = tempfile::tempdir()?;
    let program = folder.path().join("adapter");
    build_c("tests/adapters/framed_wrong.c", &program)?;
    let deadline = if how == "half-and-waits" { "1s" } else { "20s" };
    let target = format!("exec:'{}'@host?deadline={deadline}&env=GONE={how}", program.display());
    if how != "no-mistake" {
        return lost_and_went_on(how, &target, convicts);
    }
    let (_folder, output, record) = run(&target, &["--scenario", "zero::plain*", "--cases", "2"])?;
    let passed = record.scenarios.iter().filter(|s| s.outcome == Outcome::Pass).count();
    if passed > 0 && record.findings.is_empty() && output.status.code() == Some(0) {
        return Ok(());
    }
    Err(format!("{passed} passed: {}", String::from_utf8_lossy(&output.stderr)).into())
}

/// A worker that goes wrong at its twentieth operation costs the scenario that comes so far.
fn lost_and_went_on(how: &str, target: &str, convicts: bool) -> Result<(), Failed> {
    let (_folder, _, record) =
        run(target, &["--scenario", "zero::plain-freed", "--scenario", "arg::device", "--cases", "2"])?;
    let outcomes = record.scenarios.iter().map(|s| s.outcome).filter(|o| *o != Outcome::NotSelected);
    let outcomes: Vec<Outcome> = outcomes.collect();
    let lost = outcomes.iter().filter(|o| matches!(o, Outcome::Fail | Outcome::Broken | Outcome::Blocked)).count();
    // Four operations do not come to the twentieth.
    let went_on = outcomes.contains(&Outcome::Pass);
    if lost > 0 && went_on && record.findings.is_empty() != convicts {
        return Ok(());
    }
    Err(format!("{how}: {outcomes:?}, {} findings", record.findings.len()).into())
}

/// One life a process is enough for a run, and what nobody knows in its answers is said once.
fn restarted(when: &str) -> Result<(), Failed> {
    let target = adapter(&format!("&env=RESTART={when}"));
    let (_folder, output, record) = run(&target, &["--scenario", "zero::plain*", "--cases", "2"])?;
    let text = String::from_utf8_lossy(&output.stderr);
    let passed = record.scenarios.iter().filter(|s| s.outcome == Outcome::Pass).count();
    let warned = text.matches("nobody knows the field").count();
    if passed > 0 && record.findings.is_empty() && output.status.code() == Some(0) && warned == 1 {
        return Ok(());
    }
    Err(format!("{when}: {passed} passed, {warned} warnings: {text}").into())
}

fn template(language: &str) -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let wrote = poolproof(folder.path()).args(["init", "worker", "--lang", language]).output()?;
    if !wrote.status.success() {
        return Err(String::from_utf8_lossy(&wrote.stderr).into_owned().into());
    }
    let built = match language {
        "rust" => Some(cargo(folder.path(), "build")?),
        "python" => None,
        _ => {
            let arguments = ["-O1", "-Wall", "-Wextra", "-Werror", "adapter.c", "-o", "adapter"];
            Some(Command::new("cc").args(arguments).current_dir(folder.path()).output()?)
        }
    };
    if let Some(output) = built.filter(|output| !output.status.success()) {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    let command = match language {
        "rust" => "target/debug/adapter",
        "python" => "python3 adapter.py",
        _ => "./adapter",
    };
    let checked = poolproof(folder.path()).args(["check-worker", command]).output()?;
    let text = String::from_utf8_lossy(&checked.stdout).into_owned();
    if checked.status.code() != Some(0) || !text.contains("nothing is wrong") {
        return Err(text.into());
    }
    let again = poolproof(folder.path()).args(["init", "worker", "--lang", language]).output()?;
    if again.status.code() == Some(2) { Ok(()) } else { Err("a second `init` must write nothing over".into()) }
}

/// One that says what it cannot, serves what does not exist, and speaks of what nobody knows.
fn checked(_: &str) -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let text = include_str!("../workers/templates/adapter.py");
    let wrong = text
        .replace("if not 0 <= device < len(devices):", "if False:")
        .replace("devices[device].malloc", "devices[0].malloc")
        .replace(
            "\"alignment\": ROUND",
            "\"colour\": 1, \"capabilities\": [\"empty_cache\", \"stats:allocated_bytes.current\", \"steams\"]",
        );
    std::fs::write(folder.path().join("wrong.py"), wrong)?;
    let checked = poolproof(folder.path()).args(["check-worker", "python3 wrong.py"]).output()?;
    let text = String::from_utf8_lossy(&checked.stdout).into_owned();
    let said = [
        "a request on device 99, which does not exist was served",
        "it says `empty_cache`, and answered `empty_cache` with `refused (unsupported)",
        "it says that it shows `allocated_bytes.all.current`, and told it in no answer",
        "`steams` is no capability: did you mean `streams`?",
        "`info.colour`: nobody knows this field",
    ];
    match said.iter().find(|said| !text.contains(**said)) {
        None if checked.status.code() == Some(1) => Ok(()),
        missing => Err(format!("{missing:?} is not in\n{text}").into()),
    }
}

/// One that passes over what it should when it is asked ahead, and one that serves it all the same.
fn checked_ahead(_: &str) -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let text = include_str!("adapters/cached.py");
    let serves = text.replace("passes_over and question", "False and question");
    for (name, text, due) in [
        ("passes.py", text, "nothing is wrong"),
        ("serves.py", &serves, "it answered `applied`; due is {\"passed_over\""),
    ] {
        std::fs::write(folder.path().join(name), text)?;
        let mut check = poolproof(folder.path());
        let checked = check.args(["check-worker", &format!("python3 {name}")]).env("AHEAD", "count").output()?;
        let said = String::from_utf8_lossy(&checked.stdout).into_owned();
        if !said.contains(due) {
            return Err(said.into());
        }
    }
    Ok(())
}
