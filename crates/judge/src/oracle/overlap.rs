//! Overlap: live blocks share no byte, and a request of at least one byte is given an address.
//!
//! Does not cover: whether a block lies inside memory of its device (contents finds memory that is not
//! there), two addresses backed by one page (contents again), and the part of a block beyond the bytes
//! asked for. Addresses of requests of 0 bytes are exempt.

use super::cite::{MEM_01, say};
use super::{Oracle, Seen};
use crate::model::Effect;
use crate::op::{OracleName, Text, wording};
use crate::verdict::Violation;

pub(super) struct Overlap;

impl Oracle for Overlap {
    fn name(&self) -> OracleName {
        OracleName::Overlap
    }

    fn judge(&mut self, seen: &Seen<'_>, convictions: &mut Vec<Violation>) {
        if seen.is_unlawful_service() {
            return;
        }
        let (Effect::Allocated(block, live) | Effect::AllocatedDirect(block, live)) = seen.effect else { return };
        let (address, end, bytes) = (live.address, live.end(), live.bytes);
        if address == 0 {
            let bytes = wording::bytes(bytes);
            let message =
                say!("{block} asked for {bytes} and was given the null address", "{block} 申请 {bytes}，却得到空地址");
            let (what, expected) =
                (say!("address of {block}", "{block} 的地址"), Text::new("any but null", "非空地址"));
            let violation = Violation::new(self.name(), Some(MEM_01), message);
            convictions.push(violation.figure(what, expected, Text::new("null", "空地址")));
        }
        if let Some((other, theirs)) = seen.model.overlapping(block) {
            let (start, stop) = (theirs.address, theirs.end());
            let shared = wording::bytes(end.min(stop) - address.max(start));
            let message = say!(
                "{block} was given [{address:#x}, {end:#x}), which shares {shared} with live {other} at [{start:#x}, {stop:#x})",
                "{block} 得到 [{address:#x}, {end:#x})，与存活的 {other}（[{start:#x}, {stop:#x})）重叠 {shared}"
            );
            let what = say!("memory that {block} shares with {other}", "{block} 与 {other} 共用的内存");
            let violation = Violation::new(self.name(), Some(MEM_01), message)
                .figure(what, wording::bytes(0), shared)
                .with(
                    "device and stream of the new block",
                    "新块的设备与流",
                    format!("{}, {}", live.device, live.stream.0),
                )
                .with(
                    "device and stream of the other",
                    "另一块的设备与流",
                    format!("{}, {}", theirs.device, theirs.stream.0),
                );
            convictions.push(violation);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::fixture::{Bench, alloc, free};

    #[test]
    fn neighbours_pass() {
        let mut bench = Bench::new(OracleName::Overlap);
        bench.alloc(1, 0x1000, 512).passes();
        bench.alloc(2, 0x1200, 512).passes();
        bench.free(1).passes();
        bench.alloc(3, 0x1000, 512).passes();
        bench.step(alloc(4, 0), crate::op::Reply::Allocated { address: 0 }, |_| {}).passes();
        bench.step(free(4), crate::op::Reply::Done, |_| {}).passes();
    }

    #[test]
    fn a_shared_byte_convicts() {
        let mut bench = Bench::new(OracleName::Overlap);
        bench.alloc(1, 0x1000, 512).passes();
        let found = bench.alloc(2, 0x11ff, 512).convicts("MEM-01");
        insta::assert_snapshot!(found.message.en, @"b2 was given [0x11ff, 0x13ff), which shares 1 B with live b1 at [0x1000, 0x1200)");
        insta::assert_snapshot!(found.message.zh, @"b2 得到 [0x11ff, 0x13ff)，与存活的 b1（[0x1000, 0x1200)）重叠 1 B");
    }

    #[test]
    fn the_null_address_convicts() {
        Bench::new(OracleName::Overlap).alloc(1, 0, 512).convicts("MEM-01");
    }
}
