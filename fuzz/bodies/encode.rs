//! The inverse of `draft`, as far as it goes: a generated sequence as bytes for a fuzzer to begin with.
//!
//! Decides which operations are left out: those whose bytes would mean something else.

use poolproof::op::{DeviceId, Op, Setup, Step, Via};

use super::draft::Draft;
use super::header::Header;
use super::held::Held;
use super::kinds;

/// The header's bytes.
pub fn header(header: &Header) -> Vec<u8> {
    let mut bytes = vec![header.settings, header.streams];
    bytes.extend(header.capacity.to_le_bytes());
    bytes.extend([header.fraction, header.collect, header.large, header.choice]);
    bytes
}

/// A header for a world like this one.
pub fn like(setup: &Setup, settings: u8) -> Header {
    let smallest = setup.device_bytes.iter().min().copied().unwrap_or(1 << 30);
    let capacity = u16::try_from((smallest >> 21).clamp(8, 519) - 8).unwrap_or(0);
    let two = u8::from(setup.device_bytes.len() > 1) << 1;
    Header { settings: settings & !2 | two, streams: setup.streams.clamp(1, 4) - 1, capacity, ..Header::default() }
}

/// Eight bytes for each operation that has them in the world of such a header.
pub fn steps(steps: &[Step], setup: &Setup, most: usize) -> Vec<u8> {
    let mut held = Held::default();
    let mut bytes = Vec::new();
    for op in steps.iter().filter_map(|s| s.op.as_ref()).take(most) {
        let redirects = op.pool().is_some() || op.graph().is_some();
        let found = if redirects { redirected(op, &mut held, setup) } else { of(op, &mut held) };
        let Some(draft) = found else { continue };
        bytes.extend([draft.kind, draft.place]);
        bytes.extend(draft.pick.to_le_bytes());
        bytes.extend(draft.size.to_le_bytes());
    }
    bytes
}

fn of(op: &Op, held: &mut Held) -> Option<Draft> {
    let name = match op {
        Op::Alloc { via: Via::Tensor, .. } => "alloc_tensor",
        other => other.name(),
    };
    let mut draft = Draft { kind: kinds::byte(name)?, ..Draft::default() };
    let on = |device: DeviceId| u8::try_from(device.0).unwrap_or(0) & 3;
    match op {
        Op::Alloc { block, device, stream, bytes, .. } => {
            draft.size = u32::try_from(*bytes).ok().filter(|&b| b < 1 << 31)?;
            let captured = held.redirects.captured();
            // During a capture, one that is not its own has to say so.
            let astray = captured.is_some() && captured != device.map(|device| (device, *stream));
            let turn = if astray { 5 << 5 } else { 0 };
            draft.place = device.map_or(7 << 5, |device| on(device) | turn) | (stream.0 & 7) << 2;
            held.blocks.push(*block);
        }
        Op::Free { block } => {
            draft.pick = pick(held, *block)?;
            held.free(*block);
        }
        Op::Use { .. } | Op::Occupy { .. } | Op::WaitStream { .. } | Op::Synchronize { .. }
            if held.redirects.captured().is_some() =>
        {
            return None;
        }
        Op::RecordStream { block, stream } | Op::Use { block, stream } => {
            draft.pick = pick(held, *block)?;
            draft.place = (stream.0 & 7) << 2;
        }
        Op::Occupy { device, stream } | Op::Finish { device, stream } => {
            draft.place = on(*device) | (stream.0 & 7) << 2
        }
        Op::WaitStream { device, stream, on: other } => {
            draft.place = on(*device) | (stream.0 & 7) << 2 | (other.0 & 7) << 5;
        }
        Op::Synchronize { device }
        | Op::ResetPeak { device }
        | Op::ResetAccumulated { device }
        | Op::SetCurrent { device }
        | Op::Dictionary { device }
        | Op::Summary { device, .. }
        | Op::MemoryInfo { device } => draft.place = on(*device),
        Op::Neighbour { device, bytes } => {
            draft.place = on(*device);
            draft.size = u32::try_from(bytes >> 20).unwrap_or(u32::MAX);
        }
        Op::Fault { device, call, skip, .. } => {
            let call = poolproof::op::DeviceCall::ALL.iter().position(|c| c == call)?;
            draft.place = on(*device) | u8::try_from(call).ok()? << 5;
            draft.size = *skip;
        }
        Op::SetFraction { device, fraction } if (0.0..=1.0).contains(fraction) => {
            draft.place = device.map_or(7 << 5, on);
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 1000")]
            let thousandths = (fraction * 1000.0) as u32;
            draft.size = thousandths;
        }
        Op::GetFraction { device } => draft.place = device.map_or(7 << 5, on),
        Op::Caller { caller } => draft.place = (caller % 8) << 5,
        Op::EmptyCache | Op::Snapshot => {}
        _ => return None,
    }
    Some(draft)
}

/// An operation on pools: the first draft that comes to it.
fn redirected(op: &Op, held: &mut Held, setup: &Setup) -> Option<Draft> {
    let kind = kinds::byte(op.name())?;
    for pick in 0..8 {
        for place in 0..=u8::MAX {
            let draft = Draft { kind, place, pick, size: 0 };
            let mut after = held.redirects.clone();
            let drawn = after.op(op.name(), &draft.draw(setup));
            if drawn.as_ref() == Some(op) {
                held.redirects = after;
                return Some(draft);
            }
        }
    }
    None
}

fn pick(held: &Held, block: poolproof::op::BlockId) -> Option<u16> {
    held.blocks.iter().position(|&b| b == block).and_then(|i| u16::try_from(i).ok())
}
