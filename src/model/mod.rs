//! Floor 2, what any allocator owes its callers: a reading of the law that knows no policy.
//!
//! Decides what is live, what waits, what a caller's current device is and which answers are legal.
//! Knows nothing of pools, splitting or caching, and never looks at `reference`.

use crate::op::{BlockId, DeviceId, Drop, Observation, Op, RefusalClass, Reply, StreamId, TargetInfo};

/// A block that its caller holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Live {
    /// Position of its device.
    pub device: usize,
    pub stream: StreamId,
    pub address: u64,
    pub bytes: u64,
    /// Streams recorded on it, one bit each.
    pub recorded: u64,
    /// Which caller asked for it.
    pub caller: u8,
}

/// Which answers to an operation are legal, as far as no policy has a say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Law {
    /// It must be refused with this class.
    MustRefuse(RefusalClass),
    /// It must not be refused.
    MustServe,
    /// It may be served or refused for lack of memory, and not otherwise.
    MayLackMemory,
    /// A device call was made to fail: any honest answer is legal.
    Any,
}

/// What an answered operation did to the callers' side of the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    None,
    Allocated(BlockId, Live),
    /// A request of 0 bytes was answered.
    AllocatedNothing(BlockId),
    Freed(BlockId, Live),
    /// A request was refused for lack of memory.
    Refused {
        device: usize,
    },
}

/// The callers' side of the world.
#[derive(Debug)]
pub struct Model {
    _private: (),
}

impl Model {
    /// A world in which nothing has been asked yet.
    #[must_use]
    pub fn new(_info: &TargetInfo) -> Self {
        unimplemented!()
    }

    /// Whether the operation can be asked at all: `Err` where the block it names is not live, or its
    /// id is taken, so that the engine drops it. Bad devices are *not* dropped: they must be refused.
    ///
    /// # Errors
    /// Why it is dropped.
    pub fn admits(&self, _op: &Op) -> Result<(), Drop> {
        unimplemented!()
    }

    /// Which answers are legal, before the operation is asked.
    #[must_use]
    pub fn law(&self, _op: &Op) -> Law {
        unimplemented!()
    }

    /// Takes note of an answer.
    pub fn apply(&mut self, _op: &Op, _reply: &Reply, _after: &Observation) -> Effect {
        unimplemented!()
    }

    #[must_use]
    pub fn block(&self, _block: BlockId) -> Option<&Live> {
        unimplemented!()
    }

    /// Live block ids in ascending order (including blocks of 0 bytes).
    #[must_use]
    pub fn live_ids(&self) -> Vec<BlockId> {
        unimplemented!()
    }

    /// The position of the device an operation is about: the one it names, or the caller's current one.
    #[must_use]
    pub fn device_of(&self, _op: &Op) -> Option<usize> {
        unimplemented!()
    }

    #[must_use]
    pub fn current_device(&self) -> DeviceId {
        unimplemented!()
    }
}
