//! The target that must crash: the same operations on an allocator with a planted mistake.
//!
//! Decides which mistake: one that shows only after a request was refused by the device, was served after the cache was
//! flushed, and then one more was made. A fuzzer that does not find it within a minute finds nothing.

use arbitrary::{Arbitrary, Unstructured};
use poolproof::target::TargetName;

use super::coverage::Cells;
use super::draft::Plan;
use super::operations;

/// The planted mistake.
pub const DEFECT: &str = "stats-skipped-after-retry";

pub fn run(data: &[u8], cells: &mut Cells) {
    let Ok(plan) = Plan::arbitrary(&mut Unstructured::new(data)) else { return };
    operations::judge(&broken(), &plan, cells);
}

pub fn broken() -> TargetName {
    operations::planted(DEFECT, "")
}
