//! Calls that make no sense to a device, as a target tells of them.

use super::super::lockstep;
use super::*;
use crate::op::{Misuse, Observation, Pointer, Reply, TargetInfo};

/// Asks its device for nonsense whenever anything is given back.
struct Misusing {
    inner: Bump,
    info: TargetInfo,
    misuse: Vec<Misuse>,
}

impl Target for Misusing {
    fn info(&self) -> &TargetInfo {
        &self.info
    }

    fn apply(&mut self, op: &Op) -> Reply {
        if matches!(op, Op::Free { .. } | Op::FreePointer { .. }) {
            self.misuse.push(Misuse { call: "cudaFree", what: "no segment starts there".to_owned() });
        }
        if let Op::FreePointer { .. } = op { Reply::Done } else { self.inner.apply(op) }
    }

    fn observe(&mut self, into: &mut Observation) {
        self.inner.observe(into);
    }

    fn take_misuse(&mut self, into: &mut Vec<Misuse>) {
        into.append(&mut self.misuse);
    }
}

fn run(steps: &[Step]) -> Run {
    let inner = Bump::new(&small_world(), Flaw::None);
    let mut info = inner.info().clone();
    info.capabilities.extend([Capability::DeviceLedger, Capability::RawFree]);
    let mut target = Misusing { inner, info, misuse: Vec::new() };
    let oracles = [OracleName::DeviceCalls].into();
    lockstep::run(&mut target, &JudgedSequence::new(steps, &oracles, false), &Cell::new(0))
}

#[test]
fn a_step_is_convicted_of_its_own_calls_alone() {
    let alone = || Step { op: None, expect: Some(Box::new(Expect::default())) };
    let wild = Step::from(Op::FreePointer { pointer: Pointer::Wild { address: 4096 } });
    let excused = run(&[alloc(0, 512), wild, alone(), alloc(1, 512), alone()]);
    assert_eq!(excused.conviction, None, "a caller's pointer is the caller's, also for whoever looks afterwards");
    let conviction = run(&[alloc(0, 512), alone(), free(0), alone()]).conviction.expect("nobody asked for that");
    let cited = conviction.violations[0].requirement.map(|requirement| requirement.to_string());
    assert_eq!((conviction.step, cited.as_deref()), (2, Some("MEM-04")));
}
