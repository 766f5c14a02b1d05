//! The allocator's memory as it can be looked at: segments, and the blocks in them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::stats::PoolKind;

/// What a block is doing. The names are PyTorch's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BlockState {
    ActiveAllocated,
    /// Freed by its owner while another stream may still be using it.
    ActivePendingFree,
    Inactive,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BlockView {
    pub address: u64,
    pub size: u64,
    /// Meaningful for active blocks only: an inactive one keeps whatever was last written.
    pub requested_size: u64,
    pub state: BlockState,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SegmentView {
    pub device: u32,
    pub address: u64,
    pub total_size: u64,
    pub allocated_size: u64,
    pub active_size: u64,
    pub requested_size: u64,
    /// The raw stream handle.
    pub stream: u64,
    pub segment_type: PoolKind,
    pub segment_pool_id: (u64, u64),
    pub is_expandable: bool,
    pub blocks: Vec<BlockView>,
}

/// Segments by device, then by address.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Snapshot {
    pub segments: Vec<SegmentView>,
}
