//! Planted defects of the front: devices, threads, pointers of nothing, and what a user reads.
//!
//! Decides nothing that is right: without a defect each function answers what it was given.

use super::ReferenceTarget;
use crate::device::ControlledDevice;
use crate::op::stats::{Key, Row};
use crate::op::{DeviceId, Family, MemoryInfo, RefusalClass, Reply};
use crate::reference::{Defect, Planting, Reference, summary};

/// Defects that are planted in this front, and not in the allocator behind it.
#[rustfmt::skip]
const PLANTED_HERE: [Defect; 44] = [
    Defect::AccumulatedResetOnAll,
    Defect::AddressAfterHeader,
    Defect::BadDeviceClamped,
    Defect::CallersShareCurrent,
    Defect::ContextOnDeviceZero,
    Defect::DefaultDeviceZero,
    Defect::DictionaryEmptyEarly,
    Defect::DictionaryLacksPool,
    Defect::DictionaryOfCurrent,
    Defect::DictionaryResetsPeaks,
    Defect::DictionaryUnsorted,
    Defect::DirectFreeLost,
    Defect::ExabyteReachesAllocator,
    Defect::FractionOnAllDevices,
    Defect::FractionReadOnCurrent,
    Defect::FreeAndTotalSwapped,
    Defect::FreeFromTotal,
    Defect::FreeIsUnallocated,
    Defect::FreeOnCurrentDevice,
    Defect::FreedBySwitch,
    Defect::HugeMisreported,
    Defect::LimitOnCurrentDevice,
    Defect::MemoryInfoOfCurrent,
    Defect::MessageEmpty,
    Defect::NamedBecomesCurrent,
    Defect::NegativeIsCurrent,
    Defect::NullFreeRefused,
    Defect::OomAsDeviceError,
    Defect::OomFlushesAllDevices,
    Defect::PeakResetOnCurrent,
    Defect::RecordOnFirstDevice,
    Defect::ReservedMinusOne,
    Defect::ResetPoolNotHeld,
    Defect::ResetPoolRenewed,
    Defect::SmallAlwaysCached,
    Defect::SnapshotAsksEvents,
    Defect::SummaryColumnsSwapped,
    Defect::SummaryDeviceZero,
    Defect::SummaryStale,
    Defect::TotalIsLimit,
    Defect::TrimCurrentDeviceOnly,
    Defect::TrimWakesDeviceZero,
    Defect::ZeroSizeRefused,
    Defect::ZeroSizeSharesPointer,
];

/// Whether a defect, by its name, is one of the front: the library crates alone do not show it.
#[must_use]
pub fn is_in_front(defect: &str) -> bool {
    PLANTED_HERE.iter().any(|planted| planted.name() == defect)
}

/// What a mistaken front remembers.
#[derive(Debug, Default)]
pub(super) struct Memo {
    /// The table of each device as it was first made.
    tables: Vec<(usize, bool, String)>,
    /// The one pointer of requests of 0 bytes has been given out and not freed.
    shared: bool,
    /// Device 0 has lost memory to a context.
    context: bool,
}

/// Where the one pointer of requests of 0 bytes points to.
const SHARED: u64 = 0x10;

impl<D: ControlledDevice, P: Planting> ReferenceTarget<D, P> {
    fn has(&self, defect: Defect) -> bool {
        self.reference.planted().has(defect)
    }

    /// Whose current device counts.
    pub(super) fn caller(&self) -> u8 {
        if self.has(Defect::CallersShareCurrent) { 0 } else { self.caller }
    }

    /// The device that is meant where another is named.
    pub(super) fn misplaced(&self, device: DeviceId) -> DeviceId {
        let last = i32::try_from(self.reference.device_count()).unwrap_or(i32::MAX).saturating_sub(1);
        if self.has(Defect::BadDeviceClamped) {
            return DeviceId(device.0.clamp(0, last));
        }
        if self.has(Defect::NegativeIsCurrent) && device.0 == -1 { self.current() } else { device }
    }

    /// The device that a call is about where the current one is mistaken for the one named.
    pub(super) fn instead(&self, defect: Defect, index: usize) -> usize {
        let current = || self.current().index(self.reference.device_count());
        if self.has(defect) { current().unwrap_or(index) } else { index }
    }

    /// The answer to a request of 0 bytes, where it is not the null pointer.
    pub(super) fn nothing(&mut self, bytes: u64) -> Option<Reply> {
        if bytes > 0 {
            return None;
        }
        if self.has(Defect::ZeroSizeRefused) {
            return Some(Reply::refused(RefusalClass::InvalidArgument, "a request of 0 bytes makes no sense"));
        }
        let shares = self.has(Defect::ZeroSizeSharesPointer);
        self.memo.shared |= shares;
        shares.then_some(Reply::Allocated { address: SHARED })
    }

    /// The refusal of a pointer that may be freed.
    pub(super) fn unfreeable(&mut self, address: u64, device: usize) -> Option<Reply> {
        let refused = || Some(Reply::refused(RefusalClass::InvalidPointer, format!("invalid pointer: {address:#x}")));
        if self.is_null_refused(address) {
            return refused();
        }
        let elsewhere = self.instead(Defect::FreeOnCurrentDevice, device) != device;
        if address != 0 && elsewhere {
            return refused();
        }
        if self.has(Defect::ZeroSizeSharesPointer) && address == 0 {
            return if std::mem::replace(&mut self.memo.shared, false) { None } else { refused() };
        }
        None
    }

    pub(super) fn is_null_refused(&self, address: u64) -> bool {
        address == 0 && self.has(Defect::NullFreeRefused)
    }

    /// What a request does to devices that it is not about.
    pub(super) fn reach_over(&mut self, index: usize, named: bool) {
        if self.has(Defect::ContextOnDeviceZero) && index > 0 {
            self.wake_device_zero();
        }
        if self.has(Defect::NamedBecomesCurrent) && named {
            let device = DeviceId(i32::try_from(index).unwrap_or(0));
            self.current.insert(self.caller, device);
        }
    }

    fn wake_device_zero(&mut self) {
        if !std::mem::replace(&mut self.memo.context, true) {
            // Where there is no memory, there is no context.
            let _: Result<u64, crate::device::DeviceError> = self.reference.device_mut(0).device_mut().reserve(2 << 20);
        }
    }

    /// `empty_cache` on fewer devices than all.
    pub(super) fn mistrim(&mut self) -> Option<Result<(), crate::device::DeviceError>> {
        if self.has(Defect::TrimWakesDeviceZero) && self.reference.device_count() > 1 {
            self.wake_device_zero();
        }
        if !self.has(Defect::TrimCurrentDeviceOnly) {
            return None;
        }
        let current = self.instead(Defect::TrimCurrentDeviceOnly, 0);
        Some(self.reference.device_mut(current).release_cached())
    }

    /// The dictionary of a device.
    pub(super) fn dictionary(&mut self, index: usize) -> Reply {
        let index = self.instead(Defect::DictionaryOfCurrent, index);
        let stats = *self.reference.device(index).stats();
        if self.has(Defect::DictionaryResetsPeaks) {
            self.reference.device_mut(index).reset_peak();
        }
        let unused = |row| Family::ALL.iter().all(|&family| stats.get(family, row).allocated == 0);
        if self.has(Defect::DictionaryEmptyEarly) && unused(Row::All) {
            return Reply::Dictionary(Vec::new());
        }
        if self.has(Defect::DictionaryUnsorted) {
            return Reply::Dictionary(stats.entries().map(|(key, value)| (key.to_string(), value)).collect());
        }
        let mut entries = stats.dictionary();
        if self.has(Defect::DictionaryLacksPool) {
            for row in [Row::SmallPool, Row::LargePool].into_iter().filter(|&row| unused(row)) {
                entries.retain(|(key, _)| !matches!(Key::parse(key), Some(Key::Family(_, of, _)) if of == row));
            }
        }
        let only_cached =
            stats.all(Family::AllocatedBytes).current == 0 && stats.all(Family::ReservedBytes).current > 0;
        if self.has(Defect::ReservedMinusOne) && only_cached {
            let reserved = entries.iter_mut().filter(|(key, _)| key == "reserved_bytes.all.current");
            reserved.for_each(|(_, value)| *value = -1);
        }
        Reply::Dictionary(entries)
    }

    /// The table of a device.
    pub(super) fn table(&mut self, index: usize, abbreviated: bool) -> Reply {
        let mut stats = *self.reference.device(index).stats();
        if self.has(Defect::SummaryColumnsSwapped) {
            stats.tracked_mut().for_each(|stat| std::mem::swap(&mut stat.allocated, &mut stat.freed));
        }
        let shown = if self.has(Defect::SummaryDeviceZero) { 0 } else { index };
        let text = summary::render(&stats, shown, abbreviated);
        if self.has(Defect::SummaryStale) {
            let made = self.memo.tables.iter().find(|(device, short, _)| (*device, *short) == (index, abbreviated));
            if let Some((_, _, old)) = made {
                return Reply::Text(old.clone());
            }
            self.memo.tables.push((index, abbreviated, text.clone()));
        }
        Reply::Text(text)
    }

    /// The device's own figures.
    pub(super) fn figures(&self, index: usize, answer: MemoryInfo) -> MemoryInfo {
        let allocator = self.reference.device(index);
        let MemoryInfo { mut free_bytes, mut total_bytes } = answer;
        if self.has(Defect::FreeIsUnallocated) {
            let allocated = allocator.stats().all(Family::AllocatedBytes).current;
            free_bytes = total_bytes.saturating_sub(allocated.cast_unsigned());
        }
        if self.has(Defect::FreeFromTotal) {
            let reserved = allocator.stats().all(Family::ReservedBytes).current;
            free_bytes = total_bytes.saturating_sub(reserved.cast_unsigned());
        }
        if self.has(Defect::TotalIsLimit) {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                clippy::cast_precision_loss,
                reason = "as the sound allocator computes its limit"
            )]
            let limit = (allocator.fraction() * total_bytes as f64) as u64;
            total_bytes = limit;
        }
        if self.has(Defect::FreeAndTotalSwapped) {
            (free_bytes, total_bytes) = (total_bytes, free_bytes);
        }
        MemoryInfo { free_bytes, total_bytes }
    }

    /// What a refusal for lack of memory does to other devices, and what it says.
    pub(super) fn refused(&mut self, refusal: Reply) -> Reply {
        let Reply::Refused(mut refusal) = refusal else { return refusal };
        if refusal.class == RefusalClass::OutOfMemory {
            if self.has(Defect::OomFlushesAllDevices) {
                // The refusal stands whatever comes of the flush.
                let _: Result<(), crate::device::DeviceError> = self.reference.empty_cache();
            }
            if self.has(Defect::MessageEmpty) {
                refusal.message.clear();
            }
            if self.has(Defect::OomAsDeviceError) {
                refusal.class = RefusalClass::DeviceError;
            }
        }
        let huge = refusal.class == RefusalClass::InvalidArgument && refusal.message.contains("cannot be represented");
        if huge && self.has(Defect::HugeMisreported) {
            refusal.class = RefusalClass::DeviceError;
            "-1 bytes: unknown error".clone_into(&mut refusal.message);
        }
        Reply::Refused(refusal)
    }

    /// Every device's figures are reset where one is meant.
    pub(super) fn reset_accumulated(reference: &mut Reference<D, P>, index: usize) {
        let all = reference.planted().has(Defect::AccumulatedResetOnAll);
        for device in (0..reference.device_count()).filter(|&d| all || d == index) {
            reference.device_mut(device).reset_accumulated();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::PLANTED_HERE;

    /// Every defect that a file of the front names is listed.
    #[test]
    fn every_defect_of_the_front_is_listed() {
        let front = concat!(env!("CARGO_MANIFEST_DIR"), "/src/target/reference");
        let mut named = BTreeSet::new();
        for file in ["apply", "change", "claims", "front_defects", "mod", "pools"] {
            let text = std::fs::read_to_string(format!("{front}/{file}.rs")).expect("a file of the front");
            for part in text.split("Defect::").skip(1) {
                let name: String = part.chars().take_while(char::is_ascii_alphanumeric).collect();
                // Names of variants begin with a capital and go on in small letters.
                if name.chars().nth(1).is_some_and(|c| c.is_ascii_lowercase()) {
                    named.insert(name);
                }
            }
        }
        let listed: BTreeSet<String> = PLANTED_HERE.iter().map(|planted| format!("{planted:?}")).collect();
        assert_eq!(named.difference(&listed).collect::<Vec<_>>(), Vec::<&String>::new());
    }
}
