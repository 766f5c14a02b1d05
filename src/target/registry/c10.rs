//! PyTorch's released allocators in the registry: over simulated devices and on GPUs.
//!
//! Decides what is said of them.

use super::super::c10;
use super::super::on_gpu::OnGpu;
use super::super::worker::PROCESS_HELP;
use super::{Freshness, Isolation, Missing, Parallel, TargetKind, linux_missing, no_siblings};

pub(super) static SIM: TargetKind = TargetKind {
    name: "c10@sim",
    what: "PyTorch's own allocator, as a release ships it, on simulated devices (`poolproof setup torch`)",
    options: &[c10::Options::HELP, PROCESS_HELP],
    isolation: Isolation::Forked,
    // Its state is the process's.
    freshness: Freshness::Process,
    parallel: Parallel::EachCore,
    is_tried: false,
    is: |name| name.allocator == "c10" && name.place == "sim",
    needs_gpu: false,
    missing,
    prepare: c10::prepare,
    open: c10::open,
    siblings: no_siblings,
};

pub(super) static CUDA: TargetKind = TargetKind {
    name: "c10@cuda",
    what: "the same on NVIDIA GPUs: its calls of CUDA's runtime become the harness's calls of the driver",
    options: &[c10::Options::HELP, OnGpu::HELP, PROCESS_HELP],
    parallel: Parallel::One,
    is: |name| name.allocator == "c10" && name.place == "cuda",
    needs_gpu: true,
    open: c10::open_cuda,
    ..SIM
};

fn missing() -> Option<Missing> {
    let none = || Missing { reason: "no release of PyTorch is set up".to_owned(), lift: "poolproof setup torch" };
    linux_missing().or_else(|| c10::newest().is_none().then(none))
}
