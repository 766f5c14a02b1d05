//! The operations of a program: those of the sequence, and those that the harness added and that matter.

use std::collections::BTreeSet;

use super::{Source, Unsaid};
use crate::op::{BlockId, DeviceId, Op};

/// One operation as it was asked, and how it was answered.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub op: Op,
    pub answered: String,
    /// The harness added it.
    pub added: bool,
    /// The step of the sequence that it is; the last one before it if it was added.
    pub step: usize,
}

impl Line {
    /// The address that was handed out.
    pub fn address(&self) -> Option<u64> {
        let text = self.answered.strip_prefix("address 0x")?;
        u64::from_str_radix(text.split(|c: char| !c.is_ascii_hexdigit()).next()?, 16).ok()
    }
}

/// The transcript as operations. What was dropped was not asked; what only reads and was not the sequence's own is left out.
pub(super) fn lines(source: &Source<'_>) -> Result<Vec<Line>, Unsaid> {
    let steps = &source.reproducer.steps;
    let mut next = 0;
    let mut lines: Vec<Line> = Vec::new();
    for (number, line) in source.transcript.iter().enumerate() {
        let op = if line.added {
            added(source, &lines, &line.asked).ok_or_else(|| unknown(number, &line.asked))?
        } else {
            while steps.get(next).is_some_and(|step| step.op.is_none()) {
                next += 1;
            }
            let op = steps.get(next).and_then(|step| step.op.clone()).ok_or_else(|| unknown(number, &line.asked))?;
            next += 1;
            op
        };
        if !line.answered.starts_with("dropped") {
            lines.push(Line { op, answered: line.answered.clone(), added: line.added, step: next.saturating_sub(1) });
        }
    }
    Ok(lines)
}

fn unknown(number: usize, asked: &str) -> Unsaid {
    Unsaid::Unknown { number: number + 1, asked: asked.to_owned() }
}

/// What the harness adds: it writes and reads blocks, asks a refused request again, and closes.
fn added(source: &Source<'_>, before: &[Line], asked: &str) -> Option<Op> {
    let blocks: BTreeSet<BlockId> = before.iter().filter_map(|line| line.op.block()).collect();
    let count = i32::try_from(source.reproducer.setup.device_bytes.len()).unwrap_or(i32::MAX);
    let of_blocks = blocks.into_iter().flat_map(|block| [Op::Fill { block }, Op::Verify { block }, Op::Free { block }]);
    let of_devices = (0..count).map(DeviceId).flat_map(|device| {
        let streams = (0..source.reproducer.setup.streams).map(crate::op::StreamId);
        let finish = streams.map(move |stream| Op::Finish { device, stream });
        [
            Op::Synchronize { device },
            Op::Dictionary { device },
            Op::MemoryInfo { device },
            Op::Summary { device, abbreviated: false },
            Op::Summary { device, abbreviated: true },
        ]
        .into_iter()
        .chain(finish)
    });
    let again = before.iter().rev().find(|line| matches!(line.op, Op::Alloc { .. })).map(|line| line.op.clone());
    let again = again.and_then(|op| renamed(op, asked));
    let all = of_blocks.chain(of_devices).chain([Op::EmptyCache, Op::Snapshot]).chain(again);
    let names = &source.reproducer.names;
    all.into_iter().find(|op| op.to_line() == asked || names.told(&op.to_line(), &[]) == asked)
}

/// The request again, under the name that the harness gave it.
fn renamed(mut op: Op, asked: &str) -> Option<Op> {
    let number = asked.strip_prefix("alloc b")?.split(':').next()?.parse().ok()?;
    *op.block_mut()? = BlockId(number);
    Some(op)
}
