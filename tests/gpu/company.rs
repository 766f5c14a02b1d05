//! A card that others fill: too small, changing all the time, or the wrong one of two.
//!
//! Decides nothing about allocators: the target is sound, and what is short of memory is the card.

use libtest_mimic::Failed;
use serde_json::Value;

use super::stage::{Stage, expect};

const GIB: u64 = 1 << 30;

/// Nothing of the target fits: it says so at once, and what to do.
fn refused(stage: &Stage, target: &str) -> Result<(), Failed> {
    let held = stage.used(0)?;
    let arguments = ["run", "--target", target, "--scenario", "strm::same-stream", "--out", "o", "--lang", "en"];
    let ended = stage.call(&arguments)?;
    expect(ended.code == Some(3), || format!("{ended:?}"))?;
    for word in ["GPU 0", "free", "poolproof processes"] {
        expect(ended.err.contains(word), || format!("`{word}` is not said: {}", ended.err))?;
    }
    expect(!ended.err.contains("panicked"), || ended.err.clone())?;
    stage.is_back_to(0, held)
}

/// So little is left that not even a context can be made.
pub fn exhausted_card(stage: &Stage) -> Result<(), Failed> {
    let before = stage.used(0)?;
    let neighbour = stage.neighbour(&["--leave", "1MiB"])?;
    refused(stage, "reference@cuda")?;
    drop(neighbour);
    stage.is_back_to(0, before)
}

/// A context can be made, and the size that the target plays is not there.
pub fn crowded_card(stage: &Stage) -> Result<(), Failed> {
    let stage = if stage.fake { &stage.with("FAKE_CUDA_BYTES", &(24 * GIB).to_string()) } else { stage };
    let before = stage.used(0)?;
    let neighbour = stage.neighbour(&["--leave", "3GiB"])?;
    refused(stage, "reference@cuda?device_bytes=16GiB")?;
    drop(neighbour);
    stage.is_back_to(0, before)
}

/// Memory comes and goes beside a run that has what it needs: nobody is convicted of what the neighbour does.
pub fn random_neighbour(stage: &Stage) -> Result<(), Failed> {
    let before = stage.used(0)?;
    let churn = ["--churn", "--seed", "7", "--leave", "5GiB"];
    let rate: &[&str] = if stage.fake { &["--rate", "500"] } else { &[] };
    let mut neighbour = stage.neighbour(&[&churn[..], rate].concat())?;
    let cases = if stage.fake { "1" } else { "16" };
    let arguments = ["run", "--target", "reference@cuda", "--scenario", "oom::*", "--cases", cases, "--out", "o"];
    let ended = stage.call(&arguments)?;
    // With few sequences, not every scenario reaches what it must.
    expect(matches!(ended.code, Some(0 | 4)), || format!("{ended:?}"))?;
    expect(stage.record("reference@cuda")?.findings.is_empty(), || "there are findings".to_owned())?;
    expect(!neighbour.is_over()?, || format!("the neighbour is gone: {}", neighbour.complaints()))?;
    let told = neighbour.ended()?;
    let changed = told.code == Some(0) && told.out.contains("changes were made") && !told.out.contains(": 0 changes");
    expect(changed, || format!("{told:?}"))?;
    stage.is_back_to(0, before)
}

/// CUDA is told to number the devices the other way round from NVML: what is held on CUDA's first is on NVML's second.
pub fn two_gpus(stage: &Stage) -> Result<(), Failed> {
    let turned = stage.with("CUDA_VISIBLE_DEVICES", "1,0");
    let doctor = turned.call(&["doctor", "--json", "--python", "no-such-python"])?;
    let found: Value = serde_json::from_str(&doctor.out)?;
    let place = |ordinal: usize| found["cuda"]["devices"][ordinal]["nvml"]["device"].as_u64();
    expect((place(0), place(1)) == (Some(1), Some(0)), || doctor.out.clone())?;
    let before = [turned.used(0)?, turned.used(1)?];
    let neighbour = turned.neighbour(&["--gpu", "0", "--leave", "2GiB"])?;
    let during = [turned.used(0)?, turned.used(1)?];
    let grew = |device: usize| during[device].saturating_sub(before[device]);
    expect(grew(1) >= GIB && grew(0) <= GIB / 8, || format!("{before:?} became {during:?}"))?;
    drop(neighbour);
    turned.is_back_to(1, before[1])
}
