//! Steps as they go to a process of their own: what nearly all of them are, as numbers in a row.
//!
//! Decides what goes as numbers: operations of which sequences have thousands, and no expectation. Their names and those of their
//! fields would take longer to write and to read than the allocator takes to serve them. Everything else goes as it is.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::op::{BlockId, DeviceId, Op, Step, StreamId, Via};

/// Steps in their order.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Packed<'a> {
    /// For each step what it is, and what that takes.
    numbers: Vec<u64>,
    /// The steps that are none of those, in their order.
    others: Vec<Cow<'a, Step>>,
}

const OTHER: u64 = 0;
const ALLOC: u64 = 1;
const FREE: u64 = 2;
const RECORD_STREAM: u64 = 3;
const USE: u64 = 4;
const OCCUPY: u64 = 5;
const FINISH: u64 = 6;

/// A device that need not be named: 0, or one more than its bits.
fn named(device: Option<DeviceId>) -> u64 {
    device.map_or(0, |device| u64::from(device.0.cast_unsigned()) + 1)
}

impl<'a> Packed<'a> {
    pub(super) fn of(steps: &'a [Step]) -> Self {
        let mut packed = Packed { numbers: Vec::with_capacity(steps.len() * 4), others: Vec::new() };
        steps.iter().for_each(|step| packed.put(step));
        packed
    }

    fn put(&mut self, step: &'a Step) {
        match step {
            Step { op: Some(op), expect: None } => match *op {
                Op::Alloc { block, device, stream, bytes, via } => {
                    let via = u64::from(via == Via::Tensor);
                    self.numbers.extend([ALLOC, block.0.into(), named(device), stream.0.into(), bytes, via]);
                }
                Op::Free { block } => self.numbers.extend([FREE, block.0.into()]),
                Op::RecordStream { block, stream } => {
                    self.numbers.extend([RECORD_STREAM, block.0.into(), stream.0.into()]);
                }
                Op::Use { block, stream } => self.numbers.extend([USE, block.0.into(), stream.0.into()]),
                Op::Occupy { device, stream } => self.numbers.extend([OCCUPY, named(Some(device)), stream.0.into()]),
                Op::Finish { device, stream } => self.numbers.extend([FINISH, named(Some(device)), stream.0.into()]),
                _ => self.put_other(step),
            },
            _ => self.put_other(step),
        }
    }

    fn put_other(&mut self, step: &'a Step) {
        self.numbers.push(OTHER);
        self.others.push(Cow::Borrowed(step));
    }

    /// The steps again; `None` of what nobody packed.
    pub(super) fn steps(&self) -> Option<Vec<Step>> {
        let mut numbers = Numbers(self.numbers.iter());
        let mut others = self.others.iter();
        let mut steps = Vec::with_capacity(self.numbers.len() / 2);
        while let Some(kind) = numbers.next() {
            steps.push(match kind {
                OTHER => others.next()?.clone().into_owned(),
                kind => Step::from(numbers.op(kind)?),
            });
        }
        Some(steps)
    }
}

/// What is left to read.
struct Numbers<'a>(std::slice::Iter<'a, u64>);

impl Numbers<'_> {
    fn next(&mut self) -> Option<u64> {
        self.0.next().copied()
    }

    fn block(&mut self) -> Option<BlockId> {
        Some(BlockId(u32::try_from(self.next()?).ok()?))
    }

    fn stream(&mut self) -> Option<StreamId> {
        Some(StreamId(u8::try_from(self.next()?).ok()?))
    }

    fn device(&mut self) -> Option<Option<DeviceId>> {
        let Some(bits) = self.next()?.checked_sub(1) else { return Some(None) };
        Some(Some(DeviceId(u32::try_from(bits).ok()?.cast_signed())))
    }

    fn op(&mut self, kind: u64) -> Option<Op> {
        Some(match kind {
            ALLOC => Op::Alloc {
                block: self.block()?,
                device: self.device()?,
                stream: self.stream()?,
                bytes: self.next()?,
                via: if self.next()? == 0 { Via::Raw } else { Via::Tensor },
            },
            FREE => Op::Free { block: self.block()? },
            RECORD_STREAM => Op::RecordStream { block: self.block()?, stream: self.stream()? },
            USE => Op::Use { block: self.block()?, stream: self.stream()? },
            OCCUPY => Op::Occupy { device: self.device()??, stream: self.stream()? },
            FINISH => Op::Finish { device: self.device()??, stream: self.stream()? },
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::Expect;

    #[test]
    fn every_step_reads_back() {
        let (block, stream) = (BlockId(u32::MAX), StreamId(63));
        let mut ops =
            vec![Op::Snapshot, Op::Free { block }, Op::RecordStream { block, stream }, Op::Use { block, stream }];
        for device in [DeviceId(0), DeviceId(-1), DeviceId(i32::MIN), DeviceId(i32::MAX)] {
            for via in [Via::Raw, Via::Tensor] {
                ops.push(Op::Alloc { block, device: Some(device), stream, bytes: u64::MAX, via });
            }
            ops.extend([Op::Occupy { device, stream }, Op::Finish { device, stream }, Op::Synchronize { device }]);
        }
        ops.push(Op::Alloc { block, device: None, stream, bytes: 0, via: Via::Raw });
        let mut steps: Vec<Step> = ops.into_iter().map(Step::from).collect();
        let expect = Some(Box::new(Expect { succeeds: true, ..Expect::default() }));
        steps.push(Step { op: Some(Op::Free { block }), expect: expect.clone() });
        steps.push(Step { op: None, expect });
        let text = serde_json::to_vec(&Packed::of(&steps)).expect("it can be written");
        let read: Packed<'_> = serde_json::from_slice(&text).expect("it can be read");
        assert_eq!(read.steps(), Some(steps));
        for numbers in [vec![OTHER], vec![99], vec![FREE], vec![FREE, u64::MAX], vec![OCCUPY, 0, 0]] {
            assert_eq!(Packed { numbers, others: Vec::new() }.steps(), None);
        }
    }
}
