//! The CUDA driver's own allocator in the registry.
//!
//! Decides what is said of it.

use super::super::driver_pool;
use super::super::on_gpu::OnGpu;
use super::{Freshness, Isolation, Parallel, TargetKind, no_siblings, nothing_missing};

pub(super) static KIND: TargetKind = TargetKind {
    name: "driver-pool@cuda",
    what: "the CUDA driver's own stream-ordered allocator (cuMemPool)",
    options: &[OnGpu::HELP],
    isolation: Isolation::Child,
    freshness: Freshness::Sequence,
    parallel: Parallel::One,
    is_tried: true,
    is: |name| name.allocator == "driver-pool" && name.place == "cuda",
    needs_gpu: true,
    missing: nothing_missing,
    prepare: super::nothing_to_prepare,
    open: driver_pool::open,
    siblings: no_siblings,
};
