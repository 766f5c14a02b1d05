//! Looking on at the exact replay: when the most was reserved, which requests were refused, and what stood then.
//!
//! Decides which moments are looked at. A first look finds them, a second takes the account of each. Does not
//! decide what is made of them.

use std::collections::BTreeMap;

use super::parts::{Account, Asked, Counted, Unbalanced};
use super::pins::PinningBlock;
use super::told::Told;
use crate::op::snapshot::{BlockState, SegmentView};
use crate::op::{Counter, Family, Stats};
use crate::replay::divergence::FilePosition;
use crate::replay::onlooker::{Onlooker, Put, Shown};

/// Of so many refusals of a device an account is taken; the others are counted.
pub const MOST_REFUSALS: usize = 200;

/// Blocks that no call of the history allocated.
pub(super) const BEFORE: &str = "allocated before the history begins";

/// What a device's life came to, at a first look.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeviceOverview {
    pub peak_reserved: u64,
    pub peak_allocated: u64,
    /// The look at which the most was reserved: after it, or within the call before it.
    pub peak: Option<(u64, Within)>,
    /// Looks at which a request had been refused, and what the driver had free.
    pub refusals: Vec<(u64, Option<u64>)>,
    pub requests: u64,
    pub device_calls: u64,
    looks: u64,
    last: Stats,
    free: Vec<u64>,
}

/// Whether a peak stood after a call, only for a moment within it, or from before the history on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Within {
    After,
    Call,
    Start,
}

fn current(stats: &Stats, family: Family) -> u64 {
    u64::try_from(stats.all(family).current).unwrap_or(0)
}

fn peak(stats: &Stats, family: Family) -> u64 {
    u64::try_from(stats.all(family).peak).unwrap_or(0)
}

/// By how much a counter rose since it was looked at last; one that fell was reset in between.
fn risen(stats: &Stats, last: &Stats, counter: Counter) -> u64 {
    let (now, before) = (stats.counter(counter), last.counter(counter));
    u64::try_from(if now < before { now } else { now - before }).unwrap_or(0)
}

impl DeviceOverview {
    fn begins(&mut self, stats: &Stats, free: Vec<u64>) {
        self.looks += 1;
        self.last = *stats;
        self.free = free;
        self.free.reverse();
        let reserved = current(stats, Family::ReservedBytes);
        if reserved > self.peak_reserved {
            (self.peak_reserved, self.peak) = (reserved, Some((self.looks, Within::Start)));
        }
        self.peak_allocated = self.peak_allocated.max(current(stats, Family::AllocatedBytes));
    }

    fn saw(&mut self, put: &[Put], stats: &Stats) {
        self.looks += 1;
        self.requests += put.len() as u64;
        let reserved = current(stats, Family::ReservedBytes);
        let highest = peak(stats, Family::ReservedBytes);
        if reserved > self.peak_reserved {
            (self.peak_reserved, self.peak) = (reserved, Some((self.looks, Within::After)));
        }
        // What rose above all that stood before and does not stand any more, stood within the call.
        let within = highest > reserved && highest > peak(&self.last, Family::ReservedBytes);
        if within && highest > self.peak_reserved {
            (self.peak_reserved, self.peak) = (highest, Some((self.looks, Within::Call)));
        }
        self.peak_allocated = self.peak_allocated.max(current(stats, Family::AllocatedBytes));
        if risen(stats, &self.last, Counter::NumOoms) > 0 {
            let free = self.free.pop();
            self.refusals.push((self.looks, free));
        }
        for counter in [Counter::NumDeviceAlloc, Counter::NumDeviceFree] {
            self.device_calls += risen(stats, &self.last, counter);
        }
        self.last = *stats;
    }
}

/// The first look: every device's course.
#[derive(Debug, Default)]
pub(super) struct First {
    pub overviews: Vec<DeviceOverview>,
}

fn at<T: Default>(all: &mut Vec<T>, index: usize) -> &mut T {
    if all.len() <= index {
        all.resize_with(index + 1, T::default);
    }
    &mut all[index]
}

impl Onlooker for First {
    fn begins(&mut self, device: usize, allocator: &Shown, free: Vec<u64>) {
        at(&mut self.overviews, device).begins(allocator.stats(), free);
    }

    fn saw(&mut self, _: FilePosition, device: usize, put: &[Put], allocator: &Shown) {
        at(&mut self.overviews, device).saw(put, allocator.stats());
    }
}

/// A moment with its account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountedMoment {
    pub place: FilePosition,
    /// Which request of the device it was, from 1.
    pub request: u64,
    pub asked: Asked,
    pub account: Account,
    /// What the driver had free, where the recording tells.
    pub free: Option<u64>,
    /// Nothing is reserved beyond this.
    pub limit: Option<u64>,
    /// Live blocks by where they were allocated: bytes as requested, and how many; the most first.
    pub live: Vec<(String, u64, u64)>,
}

/// Where and when a block was allocated.
#[derive(Debug, Clone, Copy)]
struct Born {
    look: u64,
    place: FilePosition,
    put: Put,
}

/// The second look at one device.
pub(super) struct Second<'t> {
    device: usize,
    course: &'t DeviceOverview,
    told: &'t Told,
    looks: u64,
    requests: u64,
    born: BTreeMap<u64, Born>,
    /// What stood before the call within which the peak was.
    before: Option<(Vec<SegmentView>, Stats)>,
    pub peak: Option<AccountedMoment>,
    pub refusals: Vec<AccountedMoment>,
    pub unbalanced: Option<Unbalanced>,
}

impl<'t> Second<'t> {
    pub fn new(device: usize, course: &'t DeviceOverview, told: &'t Told) -> Self {
        Second {
            device,
            course,
            told,
            looks: 0,
            requests: 0,
            born: BTreeMap::new(),
            before: None,
            peak: None,
            refusals: Vec::new(),
            unbalanced: None,
        }
    }

    fn holder(&self, address: u64) -> PinningBlock {
        let Some(born) = self.born.get(&address) else {
            return PinningBlock { group: BEFORE.to_owned(), age: self.looks };
        };
        PinningBlock { group: self.told.site(born.place, born.put), age: self.looks - born.look }
    }

    fn moment(
        &self,
        (place, put): (FilePosition, Put),
        allocator: &Shown,
        segments: &[SegmentView],
        counted: Counted,
    ) -> Result<Option<AccountedMoment>, Unbalanced> {
        let Some(to) = allocator.destination(put.bytes, put.stream) else { return Ok(None) };
        let pool = put.pool.unwrap_or(to.pool);
        let asked = Asked {
            bytes: put.bytes,
            size: to.size,
            segment: to.segment,
            kind: to.kind,
            pool,
            stream: put.stream.0,
            flushes: to.flushes && pool == (0, 0),
        };
        let own: Vec<SegmentView> = segments.iter().filter(|s| s.device as usize == self.device).cloned().collect();
        let account = Account::of(&own, &asked, allocator.settings(), counted, &|address| self.holder(address))?;
        Ok(Some(AccountedMoment {
            place,
            request: self.requests,
            asked,
            account,
            free: None,
            limit: to.limit,
            live: self.live(&own),
        }))
    }

    fn live(&self, segments: &[SegmentView]) -> Vec<(String, u64, u64)> {
        let mut groups: BTreeMap<String, (u64, u64)> = BTreeMap::new();
        let blocks = segments.iter().flat_map(|s| &s.blocks).filter(|b| b.state == BlockState::ActiveAllocated);
        for block in blocks {
            let (bytes, count) = groups.entry(self.holder(block.address).group).or_default();
            *bytes += block.requested_size.min(block.size);
            *count += 1;
        }
        let mut groups: Vec<_> = groups.into_iter().map(|(group, (bytes, count))| (group, bytes, count)).collect();
        groups.sort_by(|a, b| (b.1, b.2, &a.0).cmp(&(a.1, a.2, &b.0)));
        groups
    }

    fn counted(stats: &Stats, highest: Option<u64>) -> Counted {
        let reserved = current(stats, Family::ReservedBytes);
        Counted {
            reserved,
            allocated: current(stats, Family::AllocatedBytes),
            active: current(stats, Family::ActiveBytes),
            moment: highest.map_or(0, |highest| highest.saturating_sub(reserved)),
        }
    }

    /// Keeps what stands, if the peak is within the next call.
    fn keep(&mut self, allocator: &Shown) {
        let wanted = [Some((self.looks + 1, Within::Call)), Some((self.looks, Within::Start))];
        if wanted.contains(&self.course.peak) {
            self.before = Some((allocator.segments(), *allocator.stats()));
        }
    }

    fn look(&mut self, place: FilePosition, put: &[Put], allocator: &Shown) -> Result<(), Unbalanced> {
        let Some(&asked) = put.last() else { return Ok(()) };
        // What stood at the start is looked at with the eyes of the first request.
        let is_due = |&(look, within): &(u64, Within)| match within {
            Within::Start => look <= self.looks && self.peak.is_none(),
            Within::After | Within::Call => look == self.looks,
        };
        let peak = self.course.peak.filter(is_due);
        if let Some((_, within)) = peak {
            self.peak = match (within, &self.before) {
                (Within::Call | Within::Start, Some((segments, stats))) => {
                    let counted = Self::counted(stats, Some(self.course.peak_reserved));
                    self.moment((place, asked), allocator, segments, counted)?
                }
                _ => {
                    let counted = Self::counted(allocator.stats(), None);
                    self.moment((place, asked), allocator, &allocator.segments(), counted)?
                }
            };
        }
        let refusals = self.course.refusals.iter().take(MOST_REFUSALS);
        let refusal = refusals.copied().find(|&(look, _)| look == self.looks);
        if let Some((_, free)) = refusal {
            let refused = put.iter().rev().find(|p| p.address.is_none()).copied().unwrap_or(asked);
            let counted = Self::counted(allocator.stats(), None);
            let moment = self.moment((place, refused), allocator, &allocator.segments(), counted)?;
            self.refusals.extend(moment.map(|moment| AccountedMoment { free, ..moment }));
        }
        Ok(())
    }
}

impl Onlooker for Second<'_> {
    fn begins(&mut self, device: usize, allocator: &Shown, _: Vec<u64>) {
        if device == self.device {
            self.looks += 1;
            self.born.clear();
            self.keep(allocator);
        }
    }

    fn saw(&mut self, place: FilePosition, device: usize, put: &[Put], allocator: &Shown) {
        if device != self.device || self.unbalanced.is_some() {
            return;
        }
        self.looks += 1;
        self.requests += put.len() as u64;
        for &put in put {
            if let Some(address) = put.address.filter(|&a| a != 0) {
                self.born.insert(address, Born { look: self.looks, place, put });
            }
        }
        if let Err(unbalanced) = self.look(place, put, allocator) {
            self.unbalanced = Some(unbalanced);
        }
        self.keep(allocator);
    }
}
