//! Where freed blocks were, and whether that memory is withheld still.
//!
//! Remembers the latest ones only. Decides nothing of memory in which no block ever lay.

use super::device::DeviceState;
use super::{Live, Model};
use crate::op::BlockId;

/// Former addresses are remembered for about this many freed blocks.
const FORMER: usize = 1024;

/// A freed block.
#[derive(Debug, Clone, Copy)]
pub(super) struct Former {
    block: BlockId,
    pub(super) address: u64,
    device: usize,
    /// Work that it had to wait for had not finished.
    waited: bool,
    /// The device's steps that gave memory back, up to the free.
    returns: u64,
}

/// The latest freed blocks, each at the position of its id modulo `FORMER`: no further than the last one, since most
/// sequences have few, and each begins with none.
#[derive(Debug, Default)]
pub(super) struct FormerBlocks(Vec<Option<Former>>);

impl FormerBlocks {
    pub(super) fn put(&mut self, block: BlockId, live: &Live, waited: bool, state: &DeviceState) {
        let returns = state.returns - u64::from(state.returned); // the free itself may have given memory back
        let former = Former { block, address: live.address, device: live.device, waited, returns };
        let place = block.0 as usize % FORMER;
        if self.0.len() <= place {
            self.0.resize(place + 1, None);
        }
        self.0[place] = Some(former);
    }

    pub(super) fn get(&self, block: BlockId) -> Option<&Former> {
        self.0.get(block.0 as usize % FORMER)?.as_ref().filter(|former| former.block == block)
    }
}

impl Model {
    /// Whether memory in which a freed block lay may lawfully have been handed out to any request since: it may have
    /// gone back to the device, or what it waited for is over.
    #[must_use]
    pub fn may_lie_there(&self, block: BlockId) -> bool {
        let Some(former) = self.former.get(block).filter(|_| !self.held.contains_key(&block)) else { return false };
        let gone = self.devices.get(former.device).is_some_and(|d| d.returns != former.returns);
        gone || former.waited && self.trespass.is_none()
    }
}
