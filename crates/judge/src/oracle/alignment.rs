//! Alignment: every address is a multiple of what the contract promises.
//!
//! Does not cover: alignment that only some sizes are promised, and addresses of requests of 0 bytes.

use super::cite::{MEM_02, say};
use super::{Oracle, Seen};
use crate::model::Effect;
use crate::op::{OracleName, TargetInfo};
use crate::verdict::Violation;

pub(super) struct Alignment {
    promised: u64,
}

impl Alignment {
    pub(super) fn new(info: &TargetInfo) -> Self {
        Alignment { promised: info.contract.alignment.max(1) }
    }
}

impl Oracle for Alignment {
    fn name(&self) -> OracleName {
        OracleName::Alignment
    }

    fn judge(&mut self, seen: &Seen<'_>, convictions: &mut Vec<Violation>) {
        let Effect::Allocated(block, live) = seen.effect else { return };
        let (address, promised) = (live.address, self.promised);
        if !address.is_multiple_of(promised) {
            let over = address % promised;
            let message = say!(
                "{block} was given {address:#x}, {over} B past a multiple of the promised {promised} B",
                "{block} 得到 {address:#x}，比承诺的 {promised} B 对齐多出 {over} B"
            );
            let what = say!("address of {block}", "{block} 的地址");
            let expected = say!("a multiple of {promised} B", "{promised} B 的倍数");
            let violation = Violation::new(self.name(), Some(MEM_02), message);
            convictions.push(violation.figure(what, expected, format!("{address:#x}")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::fixture::Bench;

    #[test]
    fn multiples_pass() {
        Bench::new(OracleName::Alignment).alloc(1, 0x1200, 3).passes();
    }

    #[test]
    fn anything_else_convicts() {
        let mut bench = Bench::new(OracleName::Alignment);
        bench.alloc(1, 0x1001, 3).convicts("MEM-02");
        let found = bench.alloc(2, 0x1300, 3).convicts("MEM-02");
        insta::assert_snapshot!(found.message.en, @"b2 was given 0x1300, 256 B past a multiple of the promised 512 B");
    }
}
