//! Device calls: what an allocator asks of a device makes sense to it. It frees, maps, unmaps and releases what is there, and each
//! once.
//!
//! Does not cover: what is never given back (`leak`), and calls that make sense to the device and none to anybody else. A pointer
//! that no request was answered with is its caller's mistake, and so is the call that it leads to.

use super::cite::{MEM_04, say};
use super::{Oracle, Seen};
use crate::op::{Op, OracleName};
use crate::verdict::Violation;

pub(super) struct DeviceCalls;

impl Oracle for DeviceCalls {
    fn name(&self) -> OracleName {
        OracleName::DeviceCalls
    }

    fn judge(&mut self, seen: &Seen<'_>, convictions: &mut Vec<Violation>) {
        let Some(misuse) = seen.misuse.first().filter(|_| !matches!(seen.op, Some(Op::FreePointer { .. }))) else {
            return;
        };
        let (call, what, count) = (misuse.call, &misuse.what, seen.misuse.len());
        let message = say!(
            "the device was asked for what makes no sense to it: `{call}`, but {what}",
            "对设备的调用没有意义：`{call}`，但 {what}"
        );
        let figure = say!("device calls that make no sense", "没有意义的设备调用");
        let violation = Violation::new(self.name(), Some(MEM_04), message);
        convictions.push(violation.figure(figure, "0", count.to_string()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::{Misuse, Pointer, Reply};
    use crate::oracle::fixture::Bench;

    fn bench() -> Bench {
        let mut bench = Bench::new(OracleName::DeviceCalls);
        bench.alloc(1, 0x1000, 512).passes();
        bench.misuse = vec![Misuse { call: "cudaFree", what: "no segment starts at 0x1200".to_owned() }];
        bench
    }

    #[test]
    fn a_call_that_makes_no_sense_convicts() {
        let found = bench().free(1).convicts("MEM-04");
        insta::assert_snapshot!(
            found.message.en,
            @"the device was asked for what makes no sense to it: `cudaFree`, but no segment starts at 0x1200"
        );
    }

    #[test]
    fn what_a_caller_hands_in_is_the_callers_mistake() {
        let pointer = Pointer::Wild { address: 0x1200 };
        bench().step(Op::FreePointer { pointer }, Reply::Done, |_| {}).passes();
    }
}
