//! What a device could not give, in the course of a recording: memory that others hold, and blocks that went past the cache.
//!
//! Decides how much the allocator could have at any time. Where the recorder said what was free, that counts; otherwise what
//! refusals show.

use std::collections::BTreeMap;
use std::path::Path;

use super::ask::Ask;
use super::{CardSize, SizeFrom};
use crate::op::GRANULE;
use crate::recording::{Reader, RecordedOp, RecordingError, Verb};
use crate::replay::Note;

/// Whether the recorder said what others hold.
pub(super) fn tells(path: &Path) -> Result<bool, RecordingError> {
    let mut reader = Reader::open(path)?;
    reader.header()?;
    while let Some(text) = reader.next_text()? {
        if text.starts_with("{\"op\":\"neighbour\"") {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The devices of a recording on their way through it.
#[derive(Debug, Default)]
pub(super) struct HeldBack {
    /// What the allocator can have now, by device; and the least and the most that it could.
    available: Vec<u64>,
    bounds: Vec<Option<(u64, u64)>>,
    /// Blocks that went past the cache: where, and their bytes in whole granules.
    direct: BTreeMap<u64, (usize, u64)>,
    /// How many there have been, and the most bytes of them at a time.
    blocks: u64,
    most: u64,
}

impl HeldBack {
    pub fn new(totals: &[u64]) -> Self {
        HeldBack { available: totals.to_vec(), bounds: vec![None; totals.len()], ..HeldBack::default() }
    }

    /// An episode begins, in which so much can be had.
    pub fn begin(&mut self, device: usize, bytes: u64) -> Ask {
        self.direct.retain(|_, (at, _)| *at != device);
        self.available[device] = bytes;
        Ask::Available { bytes }
    }

    fn set(&mut self, device: usize, bytes: u64) -> (usize, Ask) {
        self.available[device] = bytes;
        let (least, most) = self.bounds[device].unwrap_or((bytes, bytes));
        self.bounds[device] = Some((least.min(bytes), most.max(bytes)));
        (device, Ask::Available { bytes })
    }

    /// A block is the driver's own: what the cache can have becomes less by it, or more again.
    pub fn past_the_cache(&mut self, op: &RecordedOp) -> Option<(usize, Ask)> {
        let block = op.block?;
        match op.op {
            Verb::Alloc if op.error.is_none() => {
                let device = op.device.filter(|&device| device < self.available.len())?;
                let bytes = op.bytes?.checked_next_multiple_of(GRANULE)?;
                self.direct.insert(block, (device, bytes));
                self.blocks += 1;
                self.most = self.most.max(self.direct.values().fold(0, |sum, (_, bytes)| sum.saturating_add(*bytes)));
                Some(self.set(device, self.available[device].saturating_sub(bytes)))
            }
            Verb::Free => {
                let (device, bytes) = self.direct.remove(&block)?;
                Some(self.set(device, self.available[device].saturating_add(bytes)))
            }
            _ => None,
        }
    }

    /// What others hold has changed: beside what is reserved the allocator can have what is free.
    pub fn of_neighbours(&mut self, op: &RecordedOp, reserved: impl Fn(usize) -> u64) -> Option<(usize, Ask)> {
        let device = op.device.filter(|&device| op.op == Verb::Neighbour && device < self.available.len())?;
        Some(self.set(device, reserved(device).saturating_add(op.free_bytes?)))
    }

    /// That blocks went past the cache, if any did.
    pub fn note(&self) -> Option<Note> {
        (self.blocks > 0).then_some(Note::PastTheCache { blocks: self.blocks, most: self.most })
    }

    /// The size of a device of which others were known to hold memory.
    pub fn card(&self, device: usize, total: u64) -> Option<CardSize> {
        let (least, most) = self.bounds.get(device).copied().flatten()?;
        Some(CardSize { total, bytes: least.min(total), from: SizeFrom::Others { most: most.min(total) } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::Line;

    const MIB: u64 = 1 << 20;

    fn op(text: &str) -> RecordedOp {
        match Line::parse(text).expect("is well formed") {
            Line::Op(op) => op,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_can_be_had_follows_who_holds_memory() {
        let mut held = HeldBack::new(&[100 * MIB]);
        held.begin(0, 100 * MIB);
        let neighbour = op(r#"{"op":"neighbour","device":0,"bytes":41943040,"free_bytes":31457280}"#);
        let told = held.of_neighbours(&neighbour, |_| 20 * MIB);
        assert_eq!(told, Some((0, Ask::Available { bytes: 50 * MIB })));
        let got = op(r#"{"op":"alloc","block":3,"device":0,"stream":0,"bytes":3145728,"address":512,"direct":true}"#);
        assert_eq!(held.past_the_cache(&got), Some((0, Ask::Available { bytes: 46 * MIB })));
        let refused =
            r#"{"op":"alloc","block":4,"device":0,"bytes":9,"error":{"type":"E","message":"m"},"direct":true}"#;
        assert_eq!(held.past_the_cache(&op(refused)), None);
        let freed = op(r#"{"op":"free","block":3,"device":0,"direct":true}"#);
        assert_eq!(held.past_the_cache(&freed), Some((0, Ask::Available { bytes: 50 * MIB })));
        assert_eq!(held.past_the_cache(&freed), None, "once");
        let card = held.card(0, 100 * MIB).expect("it was told");
        assert_eq!((card.bytes, card.from), (46 * MIB, SizeFrom::Others { most: 50 * MIB }));
        assert_eq!(held.of_neighbours(&op(r#"{"op":"neighbour","device":7,"bytes":1,"free_bytes":1}"#), |_| 0), None);
    }
}
