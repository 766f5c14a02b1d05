//! Ranges of addresses of expandable segments: which a trace shows, and how long they may be.
//!
//! Decides where ranges begin that stood before the trace, and a size of the device for which no two ranges
//! overlap: PyTorch makes each an eighth longer than the device, and begins to map it at its start.

use std::collections::{BTreeMap, BTreeSet};

use super::shape::{Ground, Shape};
use crate::op::PoolKind;
use crate::op::trace::{Action, TraceEvent};
use crate::recording::PlacedEvent;
use crate::reference::{PoolId, Settings, rounding};

/// Where nothing tells how large a device is: large enough to bound no address range.
const UNBOUNDED: u64 = 1 << 40;
const LARGEST_PAGE: u64 = 64 << 20;
/// Addresses as far apart as this are of different ranges, which are longer than the card and lie one behind the other.
const APART: u64 = 16 << 30;

/// Of which stream, kind and private pool a range is.
pub(super) type Whose = (u64, PoolKind, PoolId);

#[derive(Debug, Clone, Copy)]
struct Live {
    whose: Whose,
    mapped: u64,
    /// Past the last address that ever was mapped.
    end: u64,
    /// Which of the ranges at the start it is.
    start: Option<usize>,
}

/// The ranges at the start of a trace, and how far apart ranges lie.
#[derive(Debug)]
pub(super) struct Ranges {
    live: BTreeMap<u64, Live>,
    plain: BTreeSet<u64>,
    /// By number: whose, where it begins, and past its last mapped address.
    pub at_start: Vec<(Whose, u64, u64)>,
    shortest: u64,
    large_page: u64,
}

impl Ranges {
    /// Looks over a trace that begins where `shape` stood. `pools`: the private pool of each event, none if empty.
    pub fn over(shape: &Shape, events: &[PlacedEvent], pools: &[PoolId], settings: &Settings) -> Ranges {
        let mut ranges = Ranges {
            live: BTreeMap::new(),
            plain: BTreeSet::new(),
            at_start: Vec::new(),
            shortest: UNBOUNDED,
            large_page: settings.large_segment,
        };
        ranges.stand(shape);
        for (at, placed) in events.iter().enumerate() {
            ranges.follow(&placed.event, pools.get(at).copied().unwrap_or_default());
        }
        let starts: BTreeSet<u64> = ranges.at_start.iter().map(|&(_, base, _)| base).collect();
        for &base in &starts {
            let plain = shape.grounds.iter().filter(|(_, ground)| !ground.expandable).map(|(&at, _)| at);
            let next = starts.iter().copied().chain(plain).filter(|&at| at > base).min();
            ranges.shortest = next.map_or(ranges.shortest, |next| ranges.shortest.min(next - base));
        }
        ranges
    }

    /// Runs of one stream, kind and pool are of one range, unless something else lies between them.
    fn stand(&mut self, shape: &Shape) {
        let mut last: BTreeMap<Whose, usize> = BTreeMap::new();
        for (&address, ground) in &shape.grounds {
            if !ground.expandable {
                self.plain.insert(address);
                last.clear();
                continue;
            }
            let whose = whose(shape, ground);
            let known = last.get(&whose).copied().filter(|&number| {
                let (_, base, end) = self.at_start[number];
                self.can_be_of(&Live { whose, mapped: 0, end, start: None }, base, address)
            });
            let end = address + ground.bytes;
            let number = known.unwrap_or_else(|| {
                self.at_start.push((whose, address, end));
                self.live.insert(address, Live { whose, mapped: 0, end, start: Some(self.at_start.len() - 1) });
                self.at_start.len() - 1
            });
            last = BTreeMap::from([(whose, number)]);
            self.at_start[number].2 = end;
            let base = self.at_start[number].1;
            self.live.entry(base).and_modify(|live| {
                live.mapped += ground.bytes;
                live.end = end;
            });
        }
    }

    /// Whether memory at an address above its base can be of a range: a whole number of pages from there, and near.
    fn can_be_of(&self, range: &Live, base: u64, address: u64) -> bool {
        let page = if range.whose.1 == PoolKind::Small { rounding::SMALL_SEGMENT } else { self.large_page };
        (address - base).is_multiple_of(page.max(1)) && address.saturating_sub(range.end) <= APART
    }

    fn follow(&mut self, event: &TraceEvent, pool: PoolId) {
        let &TraceEvent { action, address, bytes, stream } = event;
        let small = bytes == rounding::SMALL_SEGMENT;
        let whose = (stream, if small { PoolKind::Small } else { PoolKind::Large }, pool);
        match action {
            Action::SegmentAlloc => {
                self.keep_apart(address);
                self.plain.insert(address);
            }
            Action::SegmentFree => {
                self.plain.remove(&address);
            }
            Action::SegmentMap => self.map(address, bytes, whose),
            Action::SegmentUnmap => {
                let Some((&base, live)) = self.live.range_mut(..=address).next_back() else { return };
                live.mapped = live.mapped.saturating_sub(bytes);
                if live.mapped == 0 {
                    self.live.remove(&base); // with its last page the range goes too
                }
            }
            _ => {}
        }
    }

    fn map(&mut self, address: u64, bytes: u64, whose: Whose) {
        let end = address.saturating_add(bytes);
        let below = self.live.range(..=address).rev().find(|(_, live)| live.whose == whose);
        let below = below.filter(|&(&base, live)| self.can_be_of(live, base, address)).map(|(&base, _)| base);
        if let Some(live) = below.and_then(|base| self.live.get_mut(&base)) {
            live.mapped = live.mapped.saturating_add(bytes);
            live.end = live.end.max(end);
            return;
        }
        // A range that stood may have had its first pages unmapped before.
        let above = self.live.range(address..).next().map(|(&base, &live)| (base, live));
        if let Some((base, live)) = above.filter(|(_, live)| live.whose == whose)
            && let Some(number) = live.start
            && base - address <= APART
            && self.plain.range(address..base).next().is_none()
            && self.at_start.iter().all(|&(_, other, _)| !(address..base).contains(&other))
        {
            self.live.remove(&base);
            self.live.insert(address, Live { mapped: live.mapped.saturating_add(bytes), ..live });
            self.at_start[number].1 = address;
            return;
        }
        self.keep_apart(address);
        let next = self.live.range(address + 1..).next().map(|(&at, _)| at);
        let next = next.into_iter().chain(self.plain.range(address + 1..).next().copied()).min();
        self.shortest = next.map_or(self.shortest, |next| self.shortest.min(next - address));
        self.live.insert(address, Live { whose, mapped: bytes, end, start: None });
    }

    /// The range below does not reach here.
    fn keep_apart(&mut self, address: u64) {
        if let Some((base, _)) = self.live.range(..address).next_back() {
            self.shortest = self.shortest.min(address - base);
        }
    }

    /// A size of the device for which ranges do not overlap.
    pub fn total_bytes(&self) -> u64 {
        (self.shortest.saturating_sub(LARGEST_PAGE) / 9 * 8).max(LARGEST_PAGE)
    }
}

pub(super) fn whose(shape: &Shape, ground: &Ground) -> Whose {
    (ground.stream, ground.kind, shape.owners[ground.owner].unwrap_or_default())
}
