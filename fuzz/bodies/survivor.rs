//! The operations of `operations` on an allocator with a planted defect, under the settings of the input.
//!
//! Decides nothing but the target: what convicts is what convicts there.

use arbitrary::{Arbitrary, Unstructured};
use poolproof::op::{Op, Setup, Step};
use poolproof::target;

use super::coverage::Cells;
use super::draft::Plan;
use super::operations::{self, Failure};

/// Whether there is such a defect.
///
/// # Errors
/// What the target says.
pub fn check(defect: &str) -> Result<(), String> {
    let setup = Setup { device_bytes: vec![1 << 30], streams: 1, config: None };
    target::open(&operations::planted(defect, ""), &setup).map(drop).map_err(|e| e.to_string())
}

/// What convicts the allocator on this input, if anything does.
pub fn failure(defect: &str, data: &[u8], cells: &mut Cells) -> Option<Failure> {
    let plan = Plan::arbitrary(&mut Unstructured::new(data)).ok()?;
    let steps: Vec<Step> = plan.ops.iter().cloned().map(Op::into).collect();
    operations::failure(&operations::planted(defect, &plan.config), &plan.setup, &steps, cells)
}
