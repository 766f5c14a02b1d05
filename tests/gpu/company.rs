//! A card that others fill: too small, changing all the time, or the wrong one of two.
//!
//! Decides nothing about allocators: the target is sound, and what is short of memory is the card.

use libtest_mimic::Failed;

use super::stage::{Stage, expect};

const GIB: u64 = 1 << 30;

/// Nothing of the target fits: it says so at once, and what to do.
fn refused(stage: &Stage, target: &str) -> Result<(), Failed> {
    let gpu = stage.first()?;
    let held = stage.used(gpu)?;
    let arguments = ["run", "--target", target, "--scenario", "strm::same-stream", "--out", "o", "--lang", "en"];
    let ended = stage.call(&arguments)?;
    expect(ended.code == Some(3), || format!("{ended:?}"))?;
    for word in ["GPU 0", "free", "poolproof processes"] {
        expect(ended.err.contains(word), || format!("`{word}` is not said: {}", ended.err))?;
    }
    expect(!ended.err.contains("panicked"), || ended.err.clone())?;
    stage.is_back_to(gpu, held)
}

/// So little is left that not even a context can be made.
pub fn exhausted_card(stage: &Stage) -> Result<(), Failed> {
    let gpu = stage.first()?;
    let before = stage.used(gpu)?;
    let neighbour = stage.neighbour(&["--leave", "1MiB"])?;
    refused(stage, "reference@cuda")?;
    drop(neighbour);
    stage.is_back_to(gpu, before)
}

/// A context can be made, and the size that the target plays is not there.
pub fn crowded_card(stage: &Stage) -> Result<(), Failed> {
    let stage = if stage.fake { &stage.with("FAKE_CUDA_BYTES", &(24 * GIB).to_string()) } else { stage };
    let gpu = stage.first()?;
    let before = stage.used(gpu)?;
    let neighbour = stage.neighbour(&["--leave", "3GiB"])?;
    refused(stage, "reference@cuda?device_bytes=16GiB")?;
    drop(neighbour);
    stage.is_back_to(gpu, before)
}

/// Memory comes and goes beside a run that has what it needs: nobody is convicted of what the neighbour does.
pub fn random_neighbour(stage: &Stage) -> Result<(), Failed> {
    let gpu = stage.first()?;
    let before = stage.used(gpu)?;
    let churn = ["--churn", "--seed", "7", "--leave", "5GiB"];
    let rate = ["--rate", "200"];
    let mut neighbour = stage.neighbour(&[&churn[..], &rate].concat())?;
    // The fake driver writes every byte on the processor.
    let (scenarios, cases) = if stage.fake { ("oom::{flush,recovery}*", "1") } else { ("oom::*", "16") };
    let arguments = ["run", "--target", "reference@cuda", "--scenario", scenarios, "--cases", cases, "--out", "o"];
    let ended = stage.call(&arguments)?;
    // With few sequences, not every scenario reaches what it must.
    expect(matches!(ended.code, Some(0 | 4)), || format!("{ended:?}"))?;
    expect(stage.record("reference@cuda")?.findings.is_empty(), || "there are findings".to_owned())?;
    expect(!neighbour.is_over()?, || format!("the neighbour is gone: {}", neighbour.complaints()))?;
    let told = neighbour.ended()?;
    let changed = told.code == Some(0) && told.out.contains("changes were made") && !told.out.contains(": 0 changes");
    expect(changed, || format!("{told:?}"))?;
    stage.is_back_to(gpu, before)
}

/// CUDA is told to number the devices the other way round: what is held on its first is on NVML's device of that UUID,
/// and on no other.
pub fn two_gpus(stage: &Stage) -> Result<(), Failed> {
    let turned = stage.with("CUDA_VISIBLE_DEVICES", "1,0");
    let ([a, b], [first, second]) = (stage.places()?[..2].try_into()?, turned.places()?[..].try_into()?);
    expect(a != b && [first, second] == [b, a], || format!("{:?} became {:?}", [a, b], [first, second]))?;
    let used = || Ok::<_, Failed>([turned.used(first)?, turned.used(second)?]);
    let before = used()?;
    let neighbour = turned.neighbour(&["--gpu", "0", "--leave", "2GiB"])?;
    let during = used()?;
    let grew = |device: usize| during[device].saturating_sub(before[device]);
    expect(grew(0) >= GIB && grew(1) <= GIB / 8, || format!("{before:?} became {during:?}"))?;
    drop(neighbour);
    turned.is_back_to(first, before[0])
}
