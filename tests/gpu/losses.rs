//! Processes that are lost while a GPU works for them: each costs what it must and no more, and leaves no memory behind.
//!
//! Decides nothing about allocators: the target is sound, and what goes wrong is done to it.

use std::fs;
use std::time::Duration;

use libtest_mimic::Failed;
use poolproof::verdict::record::{EndedBy, RunRecord};
use poolproof::verdict::{Finding, Outcome};

use super::stage::{Stage, children, expect, kill, lives, pause, until};

const TARGET: &str = "reference@cuda";

/// Two long scenarios, so that one is over and the other under way, and a short one after them.
const LONG: &str = "\
scenario: longer
requirement: MEM-03
title: { en: Many blocks, zh: 许多块 }
effort_days: 0.5
requires: [contents]
generate: { sequences: 3, length: LONGER, sizes: [ { log_uniform: [1, 256KiB] } ], weights: { alloc: 5, free: 5, use: 1 } }
---
scenario: long
requirement: MEM-03
title: { en: Fewer blocks, zh: 较少的块 }
effort_days: 0.5
requires: [contents]
generate: { sequences: 3, length: LONG, sizes: [ { log_uniform: [1, 256KiB] } ], weights: { alloc: 5, free: 5, use: 1 } }
---
scenario: short
requirement: ZERO-02
title: { en: No block, zh: 没有块 }
effort_days: 0.5
steps:
  - alloc: { block: a, device: 0, bytes: 0 }
    expect: { succeeds: true }
";

/// One scenario that reaches the fourteenth operation, and one, run after it, that does not.
const FOURTEEN: &str = "\
scenario: long
requirement: ZERO-01
title: { en: Ten blocks, zh: 十个块 }
effort_days: 0.5
steps:
  - alloc: { block: a, device: 0, bytes: 1 }
  - alloc: { block: b, device: 0, bytes: 1 }
  - alloc: { block: c, device: 0, bytes: 1 }
  - alloc: { block: d, device: 0, bytes: 1 }
  - alloc: { block: e, device: 0, bytes: 1 }
  - alloc: { block: f, device: 0, bytes: 1 }
  - alloc: { block: g, device: 0, bytes: 1 }
  - alloc: { block: h, device: 0, bytes: 1 }
  - alloc: { block: i, device: 0, bytes: 1 }
  - alloc: { block: j, device: 0, bytes: 1 }
---
scenario: short
requirement: ZERO-02
title: { en: No block, zh: 没有块 }
effort_days: 0.5
steps:
  - alloc: { block: a, device: 0, bytes: 0 }
    expect: { succeeds: true }
";

/// Long enough to be hit: the fake driver takes more time for an operation, and every byte.
fn long(stage: &Stage) -> String {
    let [longer, long] = if stage.fake { ["800..801", "700..701"] } else { ["4000..4001", "3000..3001"] };
    LONG.replace("LONGER", longer).replace("LONG", long)
}

fn arguments(target: &str) -> [&str; 9] {
    ["run", "--specs", "specs.yaml", "--out", "o", "--lang", "en", "--target", target]
}

/// A run is over in which one scenario was lost and the others passed.
fn lost_one(stage: &Stage, target: &str, scenario: &str) -> Result<(RunRecord, Option<Finding>), Failed> {
    let mut record = stage.record(target)?;
    for name in ["report.md", "junit.xml"] {
        expect(stage.results(target)?.join(name).is_file(), || format!("there is no {name}"))?;
    }
    expect(!stage.results(target)?.join("running").exists(), || "it ended, and a sequence seems to run".to_owned())?;
    for one in &record.scenarios {
        let hit = one.id == scenario && matches!(one.outcome, Outcome::Blocked | Outcome::Broken);
        expect(hit || one.outcome == Outcome::Pass, || format!("{}: {:?}: {:?}", one.id, one.outcome, one.reason))?;
    }
    let finding = record.findings.pop();
    expect(record.findings.is_empty(), || "more than one finding".to_owned())?;
    Ok((record, finding))
}

fn cites(finding: Option<&Finding>, requirement: &str, oracle: &str) -> Result<(), Failed> {
    let found = finding.map(|f| (f.violation.requirement.map(|r| r.to_string()), f.violation.oracle.name()));
    let is_right = found.as_ref().is_some_and(|(r, o)| r.as_deref() == Some(requirement) && *o == oracle);
    expect(is_right, || format!("{requirement} ({oracle}) was expected, not {found:?}"))
}

pub fn killed_worker(stage: &Stage) -> Result<(), Failed> {
    fs::write(stage.folder.join("specs.yaml"), long(stage))?;
    let gpu = stage.first()?;
    let before = stage.used(gpu)?;
    let running = stage.results(TARGET)?.join("running/mem-longer.json");
    // Between two sequences nobody misses it: a new process is started. That is a matter of milliseconds.
    for _ in 0..3 {
        // Of a try before, it would have the next one killed too early.
        if running.exists() {
            fs::remove_file(&running)?;
        }
        let mut run = stage.start(&arguments(TARGET))?;
        until(stage.limit(), "a sequence runs", || Ok(running.exists() || run.is_over()?))?;
        pause(Duration::from_millis(100));
        let [worker] = children(run.pid())[..] else { return Err("one worker was expected".into()) };
        kill(worker)?;
        let ended = run.ended()?;
        expect(!lives(worker), || "it was killed and lives".to_owned())?;
        // On a quick machine the one after it runs by then.
        let hit = stage.record(TARGET)?.scenarios.into_iter().find(|one| one.outcome != Outcome::Pass);
        let hit = hit.map(|one| one.id).filter(|id| id == "mem::long").unwrap_or_else(|| "mem::longer".to_owned());
        let (_, finding) = lost_one(stage, TARGET, &hit)?;
        if finding.is_none() && ended.code == Some(0) {
            continue;
        }
        expect(matches!(ended.code, Some(1 | 3)), || format!("{ended:?}"))?;
        if ended.code == Some(1) {
            cites(finding.as_ref(), "LIVE-02", "crash")?;
        }
        return stage.is_back_to(gpu, before);
    }
    Err("three times nothing came of it".into())
}

pub fn killed_harness(stage: &Stage) -> Result<(), Failed> {
    fs::write(stage.folder.join("specs.yaml"), long(stage))?;
    let gpu = stage.first()?;
    let before = stage.used(gpu)?;
    let results = stage.results(TARGET)?;
    let running = results.join("running/mem-long.json");
    let mut run = stage.start(&arguments(TARGET))?;
    until(stage.limit(), "the second scenario runs", || Ok(running.exists() || run.is_over()?))?;
    let workers = children(run.pid());
    expect(!workers.is_empty() && !run.is_over()?, || format!("it is over: {}", run.complaints()))?;
    run.kill()?;
    until(Duration::from_secs(10), "its workers are gone", || Ok(!workers.iter().any(|pid| lives(*pid))))?;
    stage.is_back_to(gpu, before)?;
    // Results are written every few seconds: the first scenario may be among them or not.
    let record = stage.record(TARGET)?;
    let passed = record.count(Outcome::Pass);
    let is_partial = record.ended == EndedBy::Killed && record.scenarios.len() == 3;
    expect(is_partial && passed <= 1 && record.findings.is_empty(), || format!("{passed} passed: {:?}", record.ended))?;
    let report = stage.call(&["report", &results.join("run.json").display().to_string(), "--lang", "en"])?;
    let is_right = report.code == Some(0) && report.out.contains("the run was interrupted");
    expect(is_right, || format!("{report:?}"))?;
    expect(running.exists(), || "the sequence under way is not kept".to_owned())
}

/// A kernel goes wrong at the fourteenth operation; the next scenario passes in a new process.
fn gone_wrong(stage: &Stage, target: &str) -> Result<Option<Finding>, Failed> {
    fs::write(stage.folder.join("specs.yaml"), FOURTEEN)?;
    let gpu = stage.first()?;
    let before = stage.used(gpu)?;
    let mut all = arguments(target).to_vec();
    all.extend(["--jobs", "1"]);
    let ended = stage.call(&all)?;
    expect(ended.code == Some(1), || format!("{ended:?}"))?;
    let (record, finding) = lost_one(stage, target, "zero::long")?;
    expect(record.count(Outcome::Pass) == 1, || "the other scenario did not pass".to_owned())?;
    stage.is_back_to(gpu, before)?;
    Ok(finding)
}

/// The call never comes back from the driver: the harness has to end the process.
pub fn hung_kernel(stage: &Stage) -> Result<(), Failed> {
    // A process must be able to start in this time, and each of a few tries takes it.
    let deadline = if stage.fake { "500ms" } else { "8s" };
    let target = format!("{TARGET}?deadline={deadline}&misbehave=spin-at:14");
    let finding = gone_wrong(stage, &target)?;
    cites(finding.as_ref(), "LIVE-01", "hang")
}

/// The context is broken for good: the process is given up.
pub fn illegal_address(stage: &Stage) -> Result<(), Failed> {
    let finding = gone_wrong(stage, &format!("{TARGET}?misbehave=illegal-at:14"))?;
    cites(finding.as_ref(), "LIVE-03", "crash")?;
    let said = finding.is_some_and(|f| f.violation.message.en.contains("error 700"));
    expect(said, || "the driver's code is not told".to_owned())
}
