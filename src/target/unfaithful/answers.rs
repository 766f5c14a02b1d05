//! Answers that tell one thing wrongly: dictionary, table, snapshot, messages, addresses.
//!
//! Decides which segment, block or number of an answer it is: the last one that the occasion allows.

use super::figures::{Values, beside, fraction, wrapped};
use super::{Unfaithful, text};
use crate::op::corruption::Wrong;
use crate::op::observable::{BlockField, DeviceFigure, Observable, ReplyField, SegmentField};
use crate::op::snapshot::{BlockState, BlockView, SegmentView, Snapshot};
use crate::op::stats::Key;
use crate::op::{ContentsReport, Op, PoolKind, RefusalClass, Reply};
use crate::reference::summary;

impl Unfaithful {
    /// The answer as it is told.
    pub(super) fn answer(&mut self, op: &Op, mut reply: Reply) -> Reply {
        match self.corruption.observable {
            Observable::Statistic(_) | Observable::Device(_) => self.restate(op, &mut reply),
            Observable::Event(_) => {}
            observable => {
                let place = self.place(op).unwrap_or(0);
                let says = says(observable, &reply);
                let is_due = self.is_answer_due(place) || matches!(reply, Reply::Snapshot(_));
                let told = if says && is_due { self.wrong_answer(observable, op, place, &reply) } else { None };
                if says {
                    self.chances += 1;
                    self.answers.insert((op.name(), place), reply.clone());
                }
                if let Some(told) = told.filter(|told| *told != reply) {
                    self.count(true);
                    return told;
                }
            }
        }
        reply
    }

    /// Whoever reads a wrong figure in another place reads the same.
    fn restate(&self, op: &Op, reply: &mut Reply) {
        let Some(place) = self.place(op) else { return };
        let (Some(shown), Some(truth)) = (self.shown.devices.get(place), self.truth.devices.get(place)) else { return };
        let observable = self.corruption.observable;
        match (op, reply) {
            (_, Reply::Dictionary(entries)) if shown.stats != truth.stats => {
                for (name, value) in entries {
                    if let Some(key) = Key::parse(name) {
                        *value = shown.stats.value(key);
                    }
                }
            }
            (Op::Summary { abbreviated, .. }, Reply::Text(table))
                if shown.stats != truth.stats && *table == summary::render(&truth.stats, place, *abbreviated) =>
            {
                *table = summary::render(&shown.stats, place, *abbreviated);
            }
            (_, Reply::MemoryInfo(info)) => {
                if observable == Observable::Device(DeviceFigure::FreeBytes) {
                    info.free_bytes = shown.free_bytes;
                } else if observable == Observable::Device(DeviceFigure::TotalBytes) {
                    info.total_bytes = shown.total_bytes;
                }
            }
            (_, Reply::Fraction(value)) if observable == Observable::Device(DeviceFigure::Fraction) => {
                *value = shown.fraction;
            }
            _ => {}
        }
    }

    /// The answer with the one thing wrong; `None` where it does not say it.
    fn wrong_answer(&self, observable: Observable, op: &Op, place: usize, reply: &Reply) -> Option<Reply> {
        let wrong = self.corruption.wrong;
        let before = self.answers.get(&(op.name(), place));
        Some(match (observable, reply) {
            (Observable::Dictionary(key), Reply::Dictionary(entries)) => {
                let value = |entries: &[(String, i64)], key: &str| {
                    entries.iter().find(|(name, _)| name == key).map(|(_, value)| *value)
                };
                let (name, next) = (key.to_string(), beside(key).to_string());
                let (now, other) = (value(entries, &name)?, value(entries, &next)?);
                let earlier = before.and_then(|r| if let Reply::Dictionary(e) = r { value(e, &name) } else { None });
                let told = signed(wrong, now, earlier.unwrap_or(now), other);
                let mut entries = entries.clone();
                for (key, value) in &mut entries {
                    if *key == name {
                        *value = told;
                    } else if *key == next && wrong == Wrong::Swapped {
                        *value = now;
                    }
                }
                Reply::Dictionary(entries)
            }
            (Observable::Table(key), Reply::Text(table)) => {
                let before = before.and_then(|r| if let Reply::Text(t) = r { Some(t.as_str()) } else { None });
                Reply::Text(text::wrong_table(table, before, key, wrong)?)
            }
            (Observable::Refusal(number), Reply::Refused(refusal)) if refusal.class == RefusalClass::OutOfMemory => {
                let before = before.and_then(Reply::refusal).map(|r| r.message.as_str());
                Reply::refused(refusal.class, text::wrong_message(&refusal.message, before, number, wrong)?)
            }
            (Observable::Segment(_) | Observable::Block(_), Reply::Snapshot(snapshot)) => {
                let before = before.and_then(|r| if let Reply::Snapshot(s) = r { Some(&**s) } else { None });
                Reply::Snapshot(Box::new(self.wrong_snapshot(observable, snapshot, before)?))
            }
            (Observable::Reply(field), reply) => self.wrong_reply(field, place, reply, before)?,
            _ => return None,
        })
    }

    fn wrong_reply(&self, field: ReplyField, place: usize, reply: &Reply, before: Option<&Reply>) -> Option<Reply> {
        let wrong = self.corruption.wrong;
        let next = self.truth.devices.get((place + 1) % self.truth.devices.len().max(1))?;
        Some(match (field, reply) {
            (ReplyField::Address, Reply::Allocated { address }) => {
                let before = if let Some(Reply::Allocated { address }) = before { *address } else { *address };
                let values = Values { now: *address, before, of_other: *address, beside: *address };
                Reply::Allocated { address: values.told(wrong) }
            }
            (ReplyField::FreeBytes | ReplyField::TotalBytes, Reply::MemoryInfo(info)) => {
                let earlier = if let Some(Reply::MemoryInfo(before)) = before { *before } else { *info };
                let mut told = *info;
                if field == ReplyField::FreeBytes {
                    let (now, before, of_other) = (info.free_bytes, earlier.free_bytes, next.free_bytes);
                    told.free_bytes = Values { now, before, of_other, beside: info.total_bytes }.told(wrong);
                } else {
                    let (now, before, of_other) = (info.total_bytes, earlier.total_bytes, next.total_bytes);
                    told.total_bytes = Values { now, before, of_other, beside: info.free_bytes }.told(wrong);
                }
                Reply::MemoryInfo(told)
            }
            (ReplyField::Fraction, Reply::Fraction(now)) => {
                let before = if let Some(Reply::Fraction(before)) = before { *before } else { *now };
                Reply::Fraction(fraction(wrong, [*now, before, next.fraction]))
            }
            (ReplyField::Contents, Reply::Contents(report)) => {
                let changed = ContentsReport::Changed { offset: 0, bytes: 1, found: "0x00".to_owned() };
                Reply::Contents(match (wrong, report) {
                    (Wrong::Zero, _) => ContentsReport::Pending,
                    (_, ContentsReport::Intact) => changed,
                    _ => ContentsReport::Intact,
                })
            }
            (ReplyField::Class, Reply::Refused(refusal)) => {
                let class = match refusal.class {
                    RefusalClass::OutOfMemory => RefusalClass::DeviceError,
                    RefusalClass::DeviceError => RefusalClass::OutOfMemory,
                    RefusalClass::InvalidArgument => RefusalClass::InvalidPointer,
                    RefusalClass::InvalidPointer => RefusalClass::InvalidArgument,
                    RefusalClass::Unsupported => RefusalClass::Unsupported,
                };
                Reply::refused(class, refusal.message.clone())
            }
            _ => return None,
        })
    }

    /// The snapshot with one field of its last segment wrong: of those whose device the occasion allows.
    fn wrong_snapshot(&self, what: Observable, snapshot: &Snapshot, before: Option<&Snapshot>) -> Option<Snapshot> {
        let device = |segment: &SegmentView| usize::try_from(segment.device).unwrap_or(0);
        let at = snapshot.segments.iter().rposition(|segment| self.is_answer_due(device(segment)))?;
        let mut told = snapshot.clone();
        match what {
            Observable::Segment(SegmentField::List) => match self.corruption.wrong {
                Wrong::OneMore => told.segments.insert(at, snapshot.segments[at].clone()),
                Wrong::OneLess => drop(told.segments.remove(at)),
                Wrong::Stale => told = before?.clone(),
                _ => told.segments.clear(),
            },
            Observable::Segment(field) => {
                let before = before.and_then(|s| s.segments.get(at));
                wrong_segment(&mut told, snapshot, at, before, field, self.corruption.wrong);
            }
            Observable::Block(field) => {
                let old = before.and_then(|s| s.segments.get(at)).map_or(&[][..], |s| &s.blocks[..]);
                let other = snapshot.segments.iter().rfind(|s| s.device != snapshot.segments[at].device);
                let other = other.map_or(&[][..], |s| &s.blocks[..]);
                wrong_block(&mut told.segments[at].blocks, old, other, field, self.corruption.wrong);
            }
            _ => return None,
        }
        Some(told)
    }
}

/// Whether an answer is of the kind that says it.
fn says(observable: Observable, reply: &Reply) -> bool {
    match observable {
        Observable::Statistic(_) | Observable::Device(_) | Observable::Event(_) => false,
        Observable::Dictionary(_) => matches!(reply, Reply::Dictionary(_)),
        Observable::Table(_) => matches!(reply, Reply::Text(_)),
        Observable::Segment(_) | Observable::Block(_) => matches!(reply, Reply::Snapshot(_)),
        Observable::Refusal(_) => reply.is_out_of_memory(),
        Observable::Reply(field) => match field {
            ReplyField::Address => matches!(reply, Reply::Allocated { .. }),
            ReplyField::FreeBytes | ReplyField::TotalBytes => matches!(reply, Reply::MemoryInfo(_)),
            ReplyField::Fraction => matches!(reply, Reply::Fraction(_)),
            ReplyField::Contents => matches!(reply, Reply::Contents(_)),
            ReplyField::Class => reply.refusal().is_some(),
        },
    }
}

fn signed(wrong: Wrong, now: i64, before: i64, beside: i64) -> i64 {
    match wrong {
        Wrong::OneMore => now.wrapping_add(1),
        Wrong::OneLess => now.wrapping_sub(1),
        Wrong::Stale => before,
        Wrong::Zero => 0,
        Wrong::Swapped => beside,
        Wrong::Wrapped => wrapped(now.cast_unsigned()).cast_signed(),
        Wrong::OtherDevice | Wrong::OtherPool | Wrong::Lost => now,
    }
}

const NUMBERS: [SegmentField; 5] = [
    SegmentField::Address,
    SegmentField::TotalSize,
    SegmentField::AllocatedSize,
    SegmentField::ActiveSize,
    SegmentField::RequestedSize,
];

fn number(segment: &mut SegmentView, field: SegmentField) -> Option<&mut u64> {
    Some(match field {
        SegmentField::Address => &mut segment.address,
        SegmentField::TotalSize => &mut segment.total_size,
        SegmentField::AllocatedSize => &mut segment.allocated_size,
        SegmentField::ActiveSize => &mut segment.active_size,
        SegmentField::RequestedSize => &mut segment.requested_size,
        SegmentField::Stream => &mut segment.stream,
        _ => return None,
    })
}

fn wrong_segment(
    told: &mut Snapshot,
    truth: &Snapshot,
    at: usize,
    before: Option<&SegmentView>,
    field: SegmentField,
    wrong: Wrong,
) {
    let own = &truth.segments[at];
    let other_device = truth.segments.iter().rfind(|s| s.device != own.device);
    let other_pool = match field {
        SegmentField::Stream => truth.segments.iter().rfind(|s| s.stream != own.stream),
        SegmentField::Pool => truth.segments.iter().rfind(|s| s.segment_pool_id != own.segment_pool_id),
        _ => truth.segments.iter().rfind(|s| s.segment_type != own.segment_type),
    };
    let other = if wrong == Wrong::OtherPool { other_pool } else { other_device }.unwrap_or(own);
    let before = before.unwrap_or(own);
    let segment = &mut told.segments[at];
    match field {
        SegmentField::Device => segment.device = if wrong == Wrong::Zero { 0 } else { own.device.wrapping_add(1) },
        SegmentField::Type => {
            segment.segment_type = if own.segment_type == PoolKind::Small { PoolKind::Large } else { PoolKind::Small };
        }
        SegmentField::Expandable => segment.is_expandable = !own.is_expandable,
        SegmentField::Pool => {
            let (first, second) = own.segment_pool_id;
            segment.segment_pool_id = match wrong {
                Wrong::OneMore => (first, second.wrapping_add(1)),
                Wrong::Stale => before.segment_pool_id,
                Wrong::Zero => (0, 0),
                _ => other.segment_pool_id,
            };
        }
        _ => {
            let next = NUMBERS.iter().position(|&n| n == field).map(|i| NUMBERS[(i + 1) % NUMBERS.len()]);
            let read = |segment: &SegmentView, field| number(&mut segment.clone(), field).map_or(0, |n| *n);
            let beside = next.map_or(0, |next| read(own, next));
            let now = read(own, field);
            let values = Values { now, before: read(before, field), of_other: read(other, field), beside };
            if let Some(number) = number(segment, field) {
                *number = values.told(wrong);
            }
            if wrong == Wrong::Swapped
                && let Some(number) = next.and_then(|next| number(segment, next))
            {
                *number = now;
            }
        }
    }
}

fn wrong_block(
    blocks: &mut Vec<BlockView>,
    before: &[BlockView],
    other: &[BlockView],
    field: BlockField,
    wrong: Wrong,
) {
    let is_active = |block: &BlockView| block.state != BlockState::Inactive;
    let wants_active = matches!(field, BlockField::RequestedSize | BlockField::State);
    let active = blocks.iter().rposition(is_active).filter(|_| wants_active);
    let Some(at) = active.or_else(|| blocks.len().checked_sub(1)) else { return };
    let own = blocks[at].clone();
    let (before, other) = (before.get(at).unwrap_or(&own), other.last().unwrap_or(&own));
    let block = &mut blocks[at];
    match field {
        BlockField::List => match wrong {
            Wrong::OneMore => blocks.push(own),
            Wrong::OneLess => drop(blocks.pop()),
            _ => blocks.clear(),
        },
        BlockField::State => {
            block.state = match (wrong, own.state) {
                (Wrong::Swapped, BlockState::Inactive) | (Wrong::Zero, BlockState::ActivePendingFree) => {
                    BlockState::ActiveAllocated
                }
                (Wrong::Swapped, _) => BlockState::Inactive,
                _ => BlockState::ActivePendingFree,
            };
        }
        BlockField::Address => {
            let values = Values { now: own.address, before: before.address, of_other: other.address, beside: own.size };
            block.address = values.told(wrong);
        }
        BlockField::Size => {
            let beside = own.requested_size;
            let values = Values { now: own.size, before: before.size, of_other: other.size, beside };
            block.size = values.told(wrong);
        }
        BlockField::RequestedSize => {
            let (before, of_other) = (before.requested_size, other.requested_size);
            let values = Values { now: own.requested_size, before, of_other, beside: own.size };
            block.requested_size = values.told(wrong);
        }
    }
}
