//! `plugin:` in the registry: a shared library with the functions of PyTorch's `CUDAPluggableAllocator`.
//!
//! Decides what is said of it.

use super::super::on_gpu::OnGpu;
use super::super::plugin;
use super::super::worker::{FOREIGN_HELP, PROCESS_HELP};
use super::{Freshness, Isolation, Parallel, TargetKind, linux_missing, no_siblings};

pub(super) static KIND: TargetKind = TargetKind {
    name: "plugin:PATH@PLACE",
    what: "any .so with the functions of PyTorch's CUDAPluggableAllocator (docs/plugin.md); @host: memory of the host, @cuda: of a GPU",
    options: &[plugin::Options::HELP, PROCESS_HELP, FOREIGN_HELP, OnGpu::HELP],
    isolation: Isolation::Child,
    // Statics of a library begin anew only with a process.
    freshness: Freshness::Process,
    parallel: Parallel::EachCore,
    is_tried: false,
    is: |name| name.library().is_some(),
    needs_gpu: false,
    missing: linux_missing,
    prepare: super::nothing_to_prepare,
    open: plugin::open,
    siblings: no_siblings,
};
