//! What is switched while the target runs.
//!
//! Decides what it promises from then on. What a switch does is the reference's.

use super::apply::ReplyResult;
use super::{HeldBlock, ReferenceTarget, contract, options, page};
use crate::device::{ControlledDevice, DeviceError};
use crate::op::GRANULE;
use crate::op::contract::Growth;
use crate::op::{BlockId, Capability, Contract, RefusalClass, Reply, Via};
use crate::reference::{Defect, Planting, TENSOR_LIMIT};
use crate::target::played::device_failed;

/// What is promised where every request goes to the device: what its driver promises.
pub(in crate::target) const UNCACHED: Contract = Contract {
    alignment: 256,
    growth: Growth::plain(GRANULE, GRANULE),
    counts_segments: true,
    tensor_limit: Some(TENSOR_LIMIT),
};

/// Whether this is left where nothing is ever cached: no figure moves, no limit is looked at, and lack of memory is an
/// error of the device like others (`torch.AcceleratorError`).
pub(in crate::target) fn without_cache(capability: Capability) -> bool {
    use Capability as C;
    !matches!(
        capability,
        C::Stats(_) | C::Counters | C::Summary | C::Dictionary | C::Snapshot | C::PeakReset | C::AccumulatedReset
    ) && !matches!(
        capability,
        C::MemoryFraction
            | C::OomTyped
            | C::PrivatePools
            | C::GraphCapture
            | C::Caching
            | C::CachingSwitch
            | C::KeepsCached
    ) && !matches!(
        capability,
        C::Settings
            | C::SettingsChange
            | C::CutsAnyBlock
            | C::MergesAtFree
            | C::SmallPool
            | C::FixedSegments
            | C::Policy(_)
            | C::DeviceEvents
            | C::DeferredFree
    )
}

impl<D: ControlledDevice, P: Planting> ReferenceTarget<D, P> {
    /// Pages that no device maps are refused, though PyTorch would take them and serve no large request from then on.
    pub(super) fn change_settings(&mut self, text: &str) -> ReplyResult {
        let refused = |message: String| Reply::refused(RefusalClass::InvalidArgument, message);
        let mut wanted = *self.reference.settings();
        if wanted.change(text).is_ok()
            && let Some(reason) = options::unmappable(&wanted)
        {
            return Err(refused(reason));
        }
        let changed = self.reference.change_settings(text);
        let settings = self.reference.settings();
        self.page = page(settings, self.page);
        changed.map_err(|error| refused(error.as_raised()))?;
        Ok(Reply::Terms(Box::new(contract(settings, self.page))))
    }

    /// `cudaMalloc` of just so many bytes, past every figure and limit.
    pub(super) fn alloc_direct(&mut self, block: BlockId, held: HeldBlock) -> ReplyResult {
        let device = self.reference.device_mut(held.device).device_mut();
        let address = device.reserve(held.bytes).map_err(|error| match error {
            DeviceError::OutOfMemory => Reply::refused(RefusalClass::OutOfMemory, "CUDA error: out of memory"),
            other => device_failed(&other),
        })?;
        self.held.insert(block, HeldBlock { address, ..held });
        Ok(Reply::Allocated { address })
    }

    /// Whether a block is given to `cudaFree`. A tensor knows where it came from; a raw pointer goes where the switch points
    /// by now, in PyTorch 2.11.
    pub(super) fn goes_to_device(&self, held: HeldBlock) -> bool {
        let planted = self.reference.planted();
        match held.via {
            Via::Tensor if planted.has(Defect::FreedBySwitch) => self.uncached,
            Via::Tensor => held.direct,
            Via::Raw => self.uncached,
        }
    }

    /// `cudaFree`, which waits for all work. Of a cached block it takes the whole segment if it starts there, and fails if not.
    pub(super) fn free_direct(&mut self, block: BlockId, held: HeldBlock) -> ReplyResult {
        if !self.reference.planted().has(Defect::DirectFreeLost) {
            let device = self.reference.device_mut(held.device).device_mut();
            device.release(held.address).map_err(|e| device_failed(&e))?;
        }
        self.held.remove(&block);
        self.former.insert(block, held.address);
        Ok(Reply::Done)
    }

    /// Whether a small request is cached although caching is off.
    pub(super) fn is_cached_all_the_same(&self, bytes: u64) -> bool {
        self.reference.planted().has(Defect::SmallAlwaysCached) && bytes <= 4096
    }
}
