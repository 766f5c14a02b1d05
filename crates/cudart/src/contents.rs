//! What the memory of devices holds, byte for byte, for programs that copy to it and from it.
//!
//! Decides which bytes a copy finds. No address is ever followed: memory is pages of the host's, got when they are first written,
//! so that a card of any size costs what was written to it. What was never written reads as zeros. Whether there is memory left,
//! the device says.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

/// Bytes of a page.
const PAGE: u64 = 64 << 10;

/// Memory apart from its addresses.
type Physical = u64;

/// Addresses that have memory.
#[derive(Debug, Clone, Copy)]
struct Span {
    bytes: u64,
    physical: Physical,
    is_accessible: bool,
}

/// Memory that something holds.
#[derive(Debug, Clone, Copy)]
struct Held {
    device: usize,
    /// How often it is mapped, and whether it has a handle, which counts as one.
    holders: u32,
}

/// A stretch of physical memory.
#[derive(Debug, Clone, Copy)]
struct Extent {
    physical: Physical,
    at: u64,
    bytes: u64,
}

/// The memory of all devices. Sizes and places are in bytes.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    spans: BTreeMap<u64, Span>,
    held: FxHashMap<Physical, Held>,
    pages: BTreeMap<(Physical, u64), Box<[u8]>>,
    next: Physical,
}

/// The first address of an access that has no memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Nothing(pub(crate) u64);

impl Contents {
    fn get(&mut self, device: usize) -> Physical {
        self.next += 1;
        self.held.insert(self.next, Held { device, holders: 1 });
        self.next
    }

    fn drop_one(&mut self, physical: Physical) {
        let Some(held) = self.held.get_mut(&physical) else { return };
        held.holders -= 1; // it is there as long as something holds it
        if held.holders == 0 {
            self.held.remove(&physical);
            self.pages.extract_if((physical, 0)..=(physical, u64::MAX), |_, _| true).for_each(drop);
        }
    }

    /// Memory with its addresses, usable at once.
    pub(crate) fn add(&mut self, address: u64, bytes: u64, device: usize) {
        let physical = self.get(device);
        self.spans.insert(address, Span { bytes, physical, is_accessible: true });
    }

    /// Takes memory from behind the addresses that it was put behind as a whole.
    pub(crate) fn remove(&mut self, address: u64) {
        if let Some(span) = self.spans.remove(&address) {
            self.drop_one(span.physical);
        }
    }

    /// Memory that has no address yet.
    pub(crate) fn create(&mut self, device: usize) -> u64 {
        self.get(device)
    }

    /// Its handle is gone; what is mapped stays.
    pub(crate) fn release(&mut self, physical: u64) {
        self.drop_one(physical);
    }

    pub(crate) fn map(&mut self, address: u64, bytes: u64, physical: u64) {
        if let Some(held) = self.held.get_mut(&physical) {
            held.holders += 1;
            self.spans.insert(address, Span { bytes, physical, is_accessible: false });
        }
    }

    /// Everything mapped that begins in a range becomes usable.
    pub(crate) fn allow(&mut self, address: u64, bytes: u64) {
        let range = address..address.saturating_add(bytes);
        self.spans.range_mut(range).for_each(|(_, span)| span.is_accessible = true);
    }

    /// Whether an address has memory of a device.
    pub(crate) fn has(&self, address: u64) -> bool {
        self.span_at(address).is_some()
    }

    /// The device whose memory has this address.
    pub(crate) fn device_at(&self, address: u64) -> Option<usize> {
        let (_, span) = self.span_at(address)?;
        self.held.get(&span.physical).map(|held| held.device)
    }

    /// Where the memory that has this address begins, and how long it is.
    pub(crate) fn around(&self, address: u64) -> Option<(u64, u64)> {
        self.span_at(address).map(|(start, span)| (start, span.bytes))
    }

    fn span_at(&self, address: u64) -> Option<(u64, Span)> {
        let (&start, &span) = self.spans.range(..=address).next_back()?;
        (address - start < span.bytes).then_some((start, span))
    }

    /// The memory of a range, or where there is none.
    fn extents(&self, address: u64, bytes: u64) -> Result<Vec<Extent>, Nothing> {
        let end = address.checked_add(bytes).ok_or(Nothing(address))?;
        let mut extents = Vec::new();
        let mut at = address;
        while at < end {
            let (start, span) = self.span_at(at).filter(|(_, span)| span.is_accessible).ok_or(Nothing(at))?;
            let stop = (start + span.bytes).min(end);
            extents.push(Extent { physical: span.physical, at: at - start, bytes: stop - at });
            at = stop;
        }
        Ok(extents)
    }

    /// Whether a range can be read and written.
    pub(crate) fn check(&self, address: u64, bytes: u64) -> Result<(), Nothing> {
        self.extents(address, bytes).map(|_| ())
    }

    pub(crate) fn read(&self, address: u64, into: &mut [u8]) -> Result<(), Nothing> {
        let mut done = 0;
        for piece in pieces(self.extents(address, into.len() as u64)?) {
            let to = &mut into[done..done + piece.bytes];
            match self.pages.get(&piece.page) {
                Some(page) => to.copy_from_slice(&page[piece.at..piece.at + piece.bytes]),
                None => to.fill(0),
            }
            done += piece.bytes;
        }
        Ok(())
    }

    pub(crate) fn write(&mut self, address: u64, from: &[u8]) -> Result<(), Nothing> {
        let mut done = 0;
        for piece in pieces(self.extents(address, from.len() as u64)?) {
            let page = self.pages.entry(piece.page).or_insert_with(blank);
            page[piece.at..piece.at + piece.bytes].copy_from_slice(&from[done..done + piece.bytes]);
            done += piece.bytes;
        }
        Ok(())
    }

    /// Writes one byte over and over.
    pub(crate) fn fill(&mut self, address: u64, bytes: u64, value: u8) -> Result<(), Nothing> {
        for piece in pieces(self.extents(address, bytes)?) {
            if value == 0 && piece.bytes as u64 == PAGE {
                self.pages.remove(&piece.page);
            } else {
                self.pages.entry(piece.page).or_insert_with(blank)[piece.at..piece.at + piece.bytes].fill(value);
            }
        }
        Ok(())
    }

    /// Copies from device memory to device memory, as if all were read before anything is written.
    pub(crate) fn copy(&mut self, to: u64, from: u64, bytes: u64) -> Result<(), Nothing> {
        self.check(to, bytes)?;
        self.check(from, bytes)?;
        let step = |done| PAGE.min(bytes - done);
        // The end that is overwritten is read first.
        let mut places: Vec<u64> = (0..bytes.div_ceil(PAGE)).map(|page| page * PAGE).collect();
        if to > from {
            places.reverse();
        }
        let mut buffer = blank();
        for done in places {
            let part = &mut buffer[..step(done) as usize]; // at most a page
            self.read(from + done, part)?;
            self.write(to + done, part)?;
        }
        Ok(())
    }

    /// How many pages were written to and are there yet.
    #[cfg(test)]
    fn page_count(&self) -> usize {
        self.pages.len()
    }
}

fn blank() -> Box<[u8]> {
    vec![0; PAGE as usize].into_boxed_slice()
}

/// A part of one page.
struct Piece {
    page: (Physical, u64),
    at: usize,
    bytes: usize,
}

fn pieces(extents: Vec<Extent>) -> impl Iterator<Item = Piece> {
    extents.into_iter().flat_map(|Extent { physical, at, bytes }| {
        (at / PAGE..(at + bytes).div_ceil(PAGE)).map(move |page| {
            let (start, end) = (at.max(page * PAGE), (at + bytes).min((page + 1) * PAGE));
            // both are within a page
            Piece { page: (physical, page), at: (start - page * PAGE) as usize, bytes: (end - start) as usize }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: u64 = 1 << 48;

    fn bytes(contents: &Contents, address: u64, count: usize) -> Vec<u8> {
        let mut into = vec![9; count];
        contents.read(address, &mut into).expect("it has memory");
        into
    }

    #[test]
    fn what_was_written_is_read_and_the_rest_is_zeros() {
        let mut contents = Contents::default();
        contents.add(BASE, 4 * PAGE, 3);
        assert_eq!((contents.device_at(BASE + PAGE), contents.device_at(BASE - 1)), (Some(3), None));
        let long: Vec<u8> = (0..2 * PAGE + 7).map(|place| (place % 251) as u8).collect();
        contents.write(BASE + PAGE - 3, &long).expect("it has memory");
        assert_eq!(bytes(&contents, BASE + PAGE - 3, long.len()), long);
        assert_eq!(bytes(&contents, BASE, 4), [0; 4]);
        contents.fill(BASE + PAGE, PAGE, 0).expect("it has memory");
        assert_eq!(contents.page_count(), 3, "a page of zeros is no page");
        assert_eq!(bytes(&contents, BASE + PAGE - 1, 2), [2, 0]);
        assert_eq!(contents.read(BASE + 4 * PAGE - 1, &mut [0; 2]), Err(Nothing(BASE + 4 * PAGE)));
        assert_eq!(contents.write(BASE - 1, &[1]), Err(Nothing(BASE - 1)));
        contents.remove(BASE);
        assert_eq!((contents.page_count(), contents.has(BASE)), (0, false));
    }

    #[test]
    fn a_copy_within_itself_moves_what_was_there() {
        let mut contents = Contents::default();
        contents.add(BASE, 8 * PAGE, 0);
        let long: Vec<u8> = (0..3 * PAGE).map(|place| (place / 7 % 256) as u8).collect();
        for (from, to) in [(PAGE, PAGE + 100), (PAGE + 100, PAGE), (PAGE, 4 * PAGE + 1)] {
            contents.write(BASE + from, &long).expect("it has memory");
            contents.copy(BASE + to, BASE + from, 3 * PAGE).expect("it has memory");
            assert_eq!(bytes(&contents, BASE + to, long.len()), long);
        }
        assert_eq!(contents.copy(BASE, BASE + 7 * PAGE, 2 * PAGE), Err(Nothing(BASE + 8 * PAGE)));
    }

    #[test]
    fn memory_by_handle_goes_with_its_last_holder_and_keeps_what_it_holds_when_mapped_elsewhere() {
        let mut contents = Contents::default();
        let physical = contents.create(0);
        contents.map(BASE, PAGE, physical);
        assert_eq!(contents.write(BASE, &[1]), Err(Nothing(BASE)), "nobody may yet");
        contents.allow(BASE, PAGE);
        contents.write(BASE, &[7]).expect("it has memory");
        contents.remove(BASE);
        contents.map(BASE + 8 * PAGE, PAGE, physical);
        contents.allow(BASE + 8 * PAGE, PAGE);
        contents.release(physical);
        assert_eq!(
            (bytes(&contents, BASE + 8 * PAGE, 1), contents.around(BASE + 8 * PAGE + 5)),
            (vec![7], Some((BASE + 8 * PAGE, PAGE)))
        );
        contents.remove(BASE + 8 * PAGE);
        assert_eq!(contents.page_count(), 0);
    }
}
