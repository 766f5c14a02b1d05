//! What PyTorch got and gave back on its own account inside a recorded operation, as for a graph's random numbers.
//!
//! Decides that such blocks are got before what was asked, and given back after it.

use super::divergence::DivergenceKind;
use super::episode::Replayed;
use crate::device::StreamHandle;
use crate::op::trace::Action;
use crate::recording::RecordedOp;

impl Replayed {
    /// Blocks that PyTorch got inside an operation, before it did what was asked.
    pub(super) fn got_on_its_own_account(&mut self, op: &RecordedOp, kinds: &mut Vec<DivergenceKind>) {
        for &(action, device, recorded, bytes, stream) in &op.internal {
            if action != Action::Alloc || device >= self.reference.device_count() {
                continue;
            }
            match self.request(device, bytes, StreamHandle(stream)) {
                Ok(predicted) if predicted == recorded => {}
                Ok(predicted) => kinds.push(DivergenceKind::Address { recorded, predicted }),
                Err(predicted) => kinds.push(DivergenceKind::RefusedInstead { recorded, predicted }),
            }
        }
    }

    /// Blocks that PyTorch gave back inside an operation, after what was asked.
    pub(super) fn given_back_on_its_own_account(&mut self, op: &RecordedOp, kinds: &mut Vec<DivergenceKind>) {
        for &(action, _, address, _, _) in op.internal.iter().filter(|e| e.0 == Action::FreeRequested) {
            if let Err(error) = self.reference.free(address) {
                let recorded = format!("{} {address:#x}", action.name());
                kinds.push(DivergenceKind::Refusal { recorded, predicted: error.to_string() });
            }
        }
    }
}
