//! The allocator's memory as it can be looked at: segments, and the blocks in them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::stats::PoolKind;

/// What a block is doing. The names are PyTorch's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BlockState {
    /// Given out.
    ActiveAllocated,
    /// Freed by its owner while another stream may still be using it.
    ActivePendingFree,
    /// Neither given out nor waited for.
    Inactive,
}

/// A block of a segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BlockView {
    /// Where it starts.
    pub address: u64,
    /// Its length in bytes, rounding included.
    pub size: u64,
    /// Meaningful for active blocks only: an inactive one keeps whatever was last written.
    pub requested_size: u64,
    /// Whether it is given out, waited for or free.
    pub state: BlockState,
}

/// Memory that was taken from the device in one piece, or mapped piece by piece into one range.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SegmentView {
    /// The device's position.
    pub device: u32,
    /// Where it starts.
    pub address: u64,
    /// Its length in bytes.
    pub total_size: u64,
    /// Bytes of blocks that are given out.
    pub allocated_size: u64,
    /// Bytes of blocks that are given out or waited for.
    pub active_size: u64,
    /// Bytes that were asked for in blocks that are given out or waited for.
    pub requested_size: u64,
    /// The raw stream handle.
    pub stream: u64,
    /// The pool it belongs to.
    pub segment_type: PoolKind,
    /// The private pool it belongs to, as PyTorch numbers them; `(0, 0)` for none.
    pub segment_pool_id: (u64, u64),
    /// Mapped piece by piece.
    pub is_expandable: bool,
    /// By address, without gaps.
    pub blocks: Vec<BlockView>,
}

/// Segments by device, then by address.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Snapshot {
    /// By device, then by address.
    pub segments: Vec<SegmentView>,
}
