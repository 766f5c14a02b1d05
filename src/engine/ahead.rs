//! What a sequence will ask next, as long as every answer is plain: for targets that are asked before they have answered.
//!
//! Decides how far that can be foretold, fills and reads of blocks included (`probes`), and stops where an answer could change it.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::Model;
use crate::op::{BlockId, Op, Step};

/// So many operations are foretold at most.
const MOST: usize = 96;

/// The next operations of the steps, in the order in which they will be asked if each of them is served and no memory goes back to
/// a device. `contents` says that blocks are filled and read by the harness; a device has `streams`.
pub(super) fn plan(model: &Model, contents: bool, streams: u8, steps: &[Step]) -> Vec<Op> {
    let mut plan = Plan { model, contents, streams, ops: Vec::new(), new: BTreeMap::new(), gone: BTreeSet::new() };
    if model.pools().is_capturing() {
        return Vec::new(); // what can be written, and when, is another matter there
    }
    for op in steps.iter().filter_map(|step| step.op.as_ref()) {
        if plan.ops.len() >= MOST || !plan.add(op) {
            break;
        }
    }
    plan.ops
}

struct Plan<'a> {
    model: &'a Model,
    contents: bool,
    streams: u8,
    ops: Vec<Op>,
    /// Blocks that it asks for itself and has not given back, and whether they have bytes.
    new: BTreeMap<BlockId, bool>,
    /// Blocks that it gives back.
    gone: BTreeSet<BlockId>,
}

impl Plan<'_> {
    /// Adds an operation with what goes with it; `false` where it cannot be foretold.
    fn add(&mut self, op: &Op) -> bool {
        match *op {
            Op::Alloc { block, bytes, .. } => {
                if self.gone.contains(&block) || self.new.contains_key(&block) || self.model.admits(op).is_err() {
                    return false;
                }
                self.ops.push(op.clone());
                if self.contents && bytes > 0 {
                    self.ops.push(Op::Fill { block });
                }
                self.new.insert(block, bytes > 0);
                true
            }
            Op::Free { block } => {
                let Some(has_bytes) = self.has_bytes(block) else { return false };
                if self.contents && has_bytes {
                    self.ops.push(Op::Verify { block });
                }
                self.ops.push(op.clone());
                self.new.remove(&block);
                self.gone.insert(block);
                true
            }
            Op::RecordStream { block, stream } if self.new.contains_key(&block) => {
                let exists = stream.0 < self.streams;
                if exists {
                    self.ops.push(op.clone());
                }
                exists
            }
            Op::RecordStream { block, .. } | Op::Use { block, .. } => !self.gone.contains(&block) && self.admitted(op),
            Op::CycleEnd => {
                self.ops.push(op.clone());
                true
            }
            Op::Occupy { .. } | Op::Finish { .. } | Op::WaitStream { .. } | Op::ResetPeak { .. } => self.admitted(op),
            _ => false,
        }
    }

    /// Adds what makes sense by what is known now.
    fn admitted(&mut self, op: &Op) -> bool {
        let is_admitted = self.model.admits(op).is_ok();
        if is_admitted {
            self.ops.push(op.clone());
        }
        is_admitted
    }

    /// Of a block that will be live; `None` of another.
    fn has_bytes(&self, block: BlockId) -> Option<bool> {
        let live = || self.model.block(block).filter(|_| !self.gone.contains(&block)).map(|live| live.bytes > 0);
        self.new.get(&block).copied().or_else(live)
    }
}
