//! The device after a loss: whether a new process is still served, and finds in memory what it wrote.
//!
//! Decides what is asked for that. What it means for the verdict nobody decides: it is evidence beside the loss.

use crate::op::{BlockId, Capability, DeviceId, Op, OracleName, Setup, Step, StreamId, Via};
use crate::verdict::TranscriptLine;

use super::attempt::{Attempt, attempt};
use super::lockstep::JudgedSequence;
use super::opener::{Opener, inspect};

/// Bytes asked of each device.
const BYTES: u64 = 64 << 10;

/// The least size that a device plays meanwhile: a refusal must not be the scenario's doing.
const ROOM: u64 = 64 << 20;

/// How the devices of a world do, in one sentence: a block of each is asked for, written, read and given back. The
/// process that was lost is gone, so that the target is opened in another one.
pub(super) fn afterwards(open: &Opener<'_>, setup: &Setup) -> String {
    let device_bytes = setup.device_bytes.iter().map(|&bytes| bytes.max(ROOM)).collect();
    let setup = &Setup { device_bytes, ..setup.clone() };
    let info = match inspect(open, setup) {
        Ok(Ok((info, _))) => info,
        Ok(Err(text)) => return format!("the target panicked when it was opened: {text}"),
        Err(error) => return format!("the target could not be opened again: {error}"),
    };
    let steps = sequence(info.devices.len());
    let oracles = [OracleName::Contents].into();
    let sequence = JudgedSequence {
        steps: &steps,
        oracles: &oracles,
        epilogue: false,
        transcript: true,
        relations: &[],
        only: None,
        exact: false,
    };
    match attempt(open, setup, &sequence) {
        Ok(Attempt::Ran(run)) => {
            if let Some(loss) = &run.lost {
                return loss.text().en;
            }
            if let Some(violation) = run.conviction.as_ref().and_then(|c| c.violations.first()) {
                return violation.message.en.clone();
            }
            let refused = |line: &&TranscriptLine| line.answered.starts_with("refused");
            match run.transcript.iter().find(refused) {
                Some(line) => format!("`{}` was answered {}", line.asked, line.answered),
                None if info.can(Capability::Contents) => "served, written and read in a new process".to_owned(),
                None => "served in a new process; what its memory holds cannot be read there".to_owned(),
            }
        }
        Ok(Attempt::Panicked(panicked)) => format!("the target panicked: {}", panicked.text),
        Err(error) => format!("the target could not be opened again: {error}"),
    }
}

/// A block of each device, and its return; it is filled and read like any other.
fn sequence(devices: usize) -> Vec<Step> {
    let numbers = (0..).map(DeviceId).zip((0..).map(BlockId)).take(devices);
    let steps = numbers.flat_map(|(device, block)| {
        let alloc = Op::Alloc { block, device: Some(device), stream: StreamId(0), bytes: BYTES, via: Via::Raw };
        [alloc, Op::Free { block }].map(Step::from)
    });
    steps.collect()
}
