//! What a borrower has of a GPU's memory: addresses, what is behind them, and how much of its budget that takes.
//!
//! Decides which calls make sense before the driver is asked, by the simulation's rules, so that both answer alike.
//! Makes no calls itself.

use std::collections::BTreeMap;

use crate::device::DeviceError;
use crate::device::gaps::Gaps;
use crate::op::DeviceCall;
use crate::op::GRANULE;

/// How memory behind an address was got, and so how it is given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Got {
    /// `cuMemAlloc`.
    Segment,
    /// A segment at addresses of our choice: physical memory by its handle, and the bytes mapped.
    Placed { handle: u64, mapped: u64 },
    /// Out of a pool of the driver's.
    Pooled,
    /// A page of a reserved range: physical memory by its handle.
    Page { handle: u64 },
    /// A page of which the handle was released: its memory goes with the mapping.
    Released,
    /// By somebody else, who gives it back.
    Foreign,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Backing {
    /// Bytes that may be touched: those asked for.
    pub(super) bytes: u64,
    pub(super) accessible: bool,
    pub(super) got: Got,
}

/// Addresses that segments are placed at in order: first fit, as the simulation does.
#[derive(Debug)]
pub(super) struct Placement {
    base: u64,
    gaps: Gaps,
}

#[derive(Debug)]
pub(super) struct Table {
    total: u64,
    used: u64,
    pub(super) backing: BTreeMap<u64, Backing>,
    pub(super) reserved: BTreeMap<u64, u64>,
    placement: Option<Placement>,
}

pub(super) fn whole(bytes: u64) -> u64 {
    bytes.div_ceil(GRANULE).saturating_mul(GRANULE)
}

fn invalid<T>(call: DeviceCall) -> Result<T, DeviceError> {
    Err(DeviceError::InvalidValue { call })
}

impl Table {
    /// A budget of `total` bytes; with `span`, addresses from there on are handed out in order.
    pub(super) fn new(total: u64, span: Option<(u64, u64)>) -> Self {
        let placement = span.map(|(base, bytes)| Placement { base, gaps: Gaps::new(bytes / GRANULE) });
        Table { total, used: 0, backing: BTreeMap::new(), reserved: BTreeMap::new(), placement }
    }

    pub(super) fn total(&self) -> u64 {
        self.total
    }

    pub(super) fn free(&self) -> u64 {
        self.total - self.used
    }

    pub(super) fn can_take(&self, bytes: u64) -> Result<(), DeviceError> {
        if bytes.div_ceil(GRANULE) > self.free() / GRANULE { Err(DeviceError::OutOfMemory) } else { Ok(()) }
    }

    /// Where the next range of that size goes, if addresses are handed out here.
    pub(super) fn place(&mut self, bytes: u64) -> Option<Result<u64, DeviceError>> {
        let placement = self.placement.as_mut()?;
        let position = placement.gaps.take(bytes.div_ceil(GRANULE));
        Some(position.map(|p| placement.base + p * GRANULE).ok_or(DeviceError::OutOfMemory))
    }

    /// Takes a range back that was placed here.
    pub(super) fn unplace(&mut self, address: u64, bytes: u64) {
        if let Some(placement) = &mut self.placement {
            placement.gaps.give((address - placement.base) / GRANULE, bytes.div_ceil(GRANULE));
        }
    }

    pub(super) fn is_placed(&self) -> bool {
        self.placement.is_some()
    }

    pub(super) fn insert(&mut self, address: u64, backing: Backing) {
        self.used += whole(backing.bytes).min(self.free());
        self.backing.insert(address, backing);
    }

    pub(super) fn remove(&mut self, address: u64) -> Option<Backing> {
        let backing = self.backing.remove(&address)?;
        self.used -= whole(backing.bytes).min(self.used);
        Some(backing)
    }

    /// Takes memory out of the budget that has no address yet.
    pub(super) fn hold(&mut self, bytes: u64) {
        self.used += whole(bytes).min(self.free());
    }

    pub(super) fn let_go(&mut self, bytes: u64) {
        self.used -= whole(bytes).min(self.used);
    }

    pub(super) fn segment(&self, address: u64) -> Option<Backing> {
        self.backing.get(&address).copied().filter(|b| matches!(b.got, Got::Segment | Got::Placed { .. }))
    }

    fn is_reserved(&self, address: u64, bytes: u64) -> bool {
        let aligned = bytes != 0 && bytes.is_multiple_of(GRANULE) && address.is_multiple_of(GRANULE);
        let inside = |(&s, &r): (&u64, &u64)| address.checked_add(bytes).is_some_and(|end| end <= s + r);
        aligned && self.reserved.range(..=address).next_back().is_some_and(inside)
    }

    pub(super) fn can_map(&self, address: u64, bytes: u64) -> Result<(), DeviceError> {
        if !self.is_reserved(address, bytes) {
            return invalid(DeviceCall::Map);
        }
        let before = self.backing.range(..address + bytes).next_back();
        if before.is_none_or(|(&s, b)| s + b.bytes <= address) { Ok(()) } else { invalid(DeviceCall::Map) }
    }

    pub(super) fn can_free_addresses(&self, address: u64, bytes: u64) -> Result<(), DeviceError> {
        let known = self.reserved.get(&address) == Some(&bytes);
        if known && self.backing.range(address..address + bytes).next().is_none() {
            Ok(())
        } else {
            invalid(DeviceCall::ReserveAddresses)
        }
    }

    /// The pages that make up exactly this part of a reserved range: address, bytes, handle.
    pub(super) fn pages(
        &self,
        address: u64,
        bytes: u64,
        call: DeviceCall,
    ) -> Result<Vec<(u64, u64, u64)>, DeviceError> {
        if !self.is_reserved(address, bytes) {
            return invalid(call);
        }
        let (mut at, mut pages) = (address, Vec::new());
        for (&start, backing) in self.backing.range(address..address + bytes) {
            let handle = match backing.got {
                Got::Page { handle } => handle,
                Got::Released => 0,
                _ => return invalid(call),
            };
            if start != at {
                return invalid(call);
            }
            pages.push((start, backing.bytes, handle));
            at = start + backing.bytes;
        }
        if at == address + bytes { Ok(pages) } else { invalid(call) }
    }

    /// How many bytes from an address on have memory that may be touched, at most `bytes`.
    pub(super) fn backed(&self, address: u64, bytes: u64) -> u64 {
        let end = address.saturating_add(bytes);
        let first = self.backing.range(..=address).next_back().map_or(address, |(&s, _)| s);
        let mut at = address;
        for (&start, backing) in self.backing.range(first..end) {
            if start > at || !backing.accessible {
                break;
            }
            at = at.max(start + backing.bytes);
        }
        at.min(end) - address
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: u64 = 0x10_0000_0000;

    fn page(handle: u64) -> Backing {
        Backing { bytes: GRANULE, accessible: true, got: Got::Page { handle } }
    }

    #[test]
    fn only_whole_pages_of_a_reserved_range_are_pages() {
        let mut table = Table::new(8 * GRANULE, None);
        table.reserved.insert(BASE, 4 * GRANULE);
        table.insert(BASE, page(1));
        table.insert(BASE + GRANULE, Backing { bytes: 2 * GRANULE, ..page(2) });
        let pages = |at, bytes| table.pages(at, bytes, DeviceCall::Unmap).map(|p| p.len());
        let wrong = Err(DeviceError::InvalidValue { call: DeviceCall::Unmap });
        assert_eq!(pages(BASE, 3 * GRANULE), Ok(2));
        assert_eq!(pages(BASE, 2 * GRANULE), wrong, "half of a page");
        assert_eq!(pages(BASE, 4 * GRANULE), wrong, "a hole");
        assert_eq!(pages(BASE + 4 * GRANULE, GRANULE), wrong, "not reserved");
        assert!(table.can_map(BASE + GRANULE, GRANULE).is_err() && table.can_map(BASE + 3 * GRANULE, GRANULE).is_ok());
        assert!(table.can_free_addresses(BASE, 4 * GRANULE).is_err());
        assert_eq!(table.free(), 5 * GRANULE);
    }

    #[test]
    fn an_access_goes_as_far_as_there_is_memory() {
        let mut table = Table::new(1 << 30, None);
        table.insert(BASE, Backing { bytes: 1000, accessible: true, got: Got::Segment });
        table.insert(BASE + GRANULE, page(1));
        table.insert(BASE + 2 * GRANULE, page(2));
        table.insert(BASE + 3 * GRANULE, Backing { accessible: false, ..page(3) });
        assert_eq!(table.backed(BASE, 900), 900);
        assert_eq!(table.backed(BASE + 10, 1024), 990);
        assert_eq!(table.backed(BASE + 1000, 8), 0);
        assert_eq!(table.backed(BASE + GRANULE + 512, 8 * GRANULE), 2 * GRANULE - 512);
        assert_eq!(table.backed(0, 10), 0);
        assert_eq!(table.backed(u64::MAX - 3, 10), 0);
    }

    #[test]
    fn ordered_addresses_are_the_simulations() {
        let mut table = Table::new(1 << 30, Some((BASE, 1 << 40)));
        let mut place = |bytes| table.place(bytes).expect("places").expect("fits");
        assert_eq!((place(1), place(3 * GRANULE), place(GRANULE)), (BASE, BASE + GRANULE, BASE + 4 * GRANULE));
        table.unplace(BASE + GRANULE, 3 * GRANULE);
        assert_eq!(table.place(2 * GRANULE), Some(Ok(BASE + GRANULE)));
        assert_eq!(table.place(2 << 40), Some(Err(DeviceError::OutOfMemory)));
    }
}
