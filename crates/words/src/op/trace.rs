//! What an allocator did, in order: PyTorch's trace events.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What happened. The names are PyTorch's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "`name` is PyTorch's")]
pub enum Action {
    Alloc,
    FreeRequested,
    FreeCompleted,
    SegmentAlloc,
    SegmentFree,
    SegmentMap,
    SegmentUnmap,
    Snapshot,
    Oom,
}

impl Action {
    /// Every action, in the order of PyTorch's enumeration (`TraceEntry::Action`).
    pub const ALL: [Action; 9] = [
        Action::Alloc,
        Action::FreeRequested,
        Action::FreeCompleted,
        Action::SegmentAlloc,
        Action::SegmentFree,
        Action::SegmentMap,
        Action::SegmentUnmap,
        Action::Snapshot,
        Action::Oom,
    ];

    /// Memory was got from the driver, or given back.
    #[must_use]
    pub fn concerns_segments(self) -> bool {
        matches!(self, Action::SegmentAlloc | Action::SegmentFree | Action::SegmentMap | Action::SegmentUnmap)
    }

    /// PyTorch's name for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Action::Alloc => "alloc",
            Action::FreeRequested => "free_requested",
            Action::FreeCompleted => "free_completed",
            Action::SegmentAlloc => "segment_alloc",
            Action::SegmentFree => "segment_free",
            Action::SegmentMap => "segment_map",
            Action::SegmentUnmap => "segment_unmap",
            Action::Snapshot => "snapshot",
            Action::Oom => "oom",
        }
    }
}

/// One event of one device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TraceEvent {
    /// What happened.
    pub action: Action,
    /// The block's or segment's address; for an OOM what the device had free.
    pub address: u64,
    /// The original request for blocks, bytes for segments, the rounded request for an OOM.
    pub bytes: u64,
    /// The raw stream handle.
    pub stream: u64,
}

impl TraceEvent {
    /// The event in one line for a person: `segment_alloc 0x7f0000000000, 2097152 B, stream 0`.
    #[must_use]
    pub fn to_line(&self) -> String {
        format!("{} {:#x}, {} B, stream {}", self.action.name(), self.address, self.bytes, self.stream)
    }
}
