//! The share of a device that may be reserved (`set_per_process_memory_fraction`).
//!
//! Decides how a fraction becomes bytes, and what reads back.

use super::allocator::DeviceAllocator;
use super::defect::{Defect, Planting};
use crate::device::Device;

impl<D: Device, P: Planting> DeviceAllocator<D, P> {
    /// No growth beyond `fraction` of the device's memory; the caller has checked the range.
    pub(super) fn set_limit(&mut self, fraction: f64) {
        if let Some(limit) = self.mislimit(fraction) {
            self.limit = limit;
            return;
        }
        let total = self.device.total_bytes();
        #[expect(clippy::cast_precision_loss, reason = "as PyTorch computes it")]
        let limit = fraction * total as f64;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "truncated, as PyTorch does")]
        let limit = if self.limit_rounds { limit.round() } else { limit } as u64; // truncated, as PyTorch does before 2.13
        if self.planted.has(Defect::LimitOnlyShrinks) {
            self.limit = Some(limit.min(self.limit.unwrap_or(total)));
            return;
        }
        self.limit = (fraction < 1.0).then_some(limit);
    }

    /// The share of the device's memory that the limit allows.
    #[must_use]
    pub fn fraction(&self) -> f64 {
        let total = self.device.total_bytes();
        #[expect(clippy::cast_precision_loss, reason = "devices are far smaller than 2^53 bytes")]
        self.limit.map_or(1.0, |limit| limit as f64 / total.max(1) as f64)
    }
}
