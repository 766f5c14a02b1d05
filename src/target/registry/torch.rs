//! A live PyTorch in the registry: on GPUs, and over simulated devices.
//!
//! Decides what is said of it.

use super::super::torch;
use super::super::worker::{FOREIGN_HELP, PROCESS_HELP};
use super::{Freshness, Isolation, Parallel, TargetKind, linux_missing, no_siblings, unknown};

pub(super) static CUDA: TargetKind = TargetKind {
    name: "torch@cuda",
    what: "a live PyTorch on NVIDIA GPUs, through `torch.cuda` and `torch.cuda.memory` as Python calls them",
    options: &[torch::HELP, PROCESS_HELP, FOREIGN_HELP],
    isolation: Isolation::Child,
    // Its front forks a process for each settings string.
    freshness: Freshness::Sequence,
    parallel: Parallel::One,
    is_tried: false,
    is: |name| torch::is_meant(name) && name.place == "cuda",
    // Whether an interpreter has torch is found out when it is started.
    needs_gpu: true,
    missing: linux_missing,
    prepare: super::nothing_to_prepare,
    // Its worker is another program.
    open: |name, _| Err(unknown(name)),
    siblings: no_siblings,
};

pub(super) static SIM: TargetKind = TargetKind {
    name: "torch@sim",
    what: "the same over simulated devices, which run no kernels (docs/simcuda.md)",
    parallel: Parallel::EachCore,
    is: |name| torch::is_meant(name) && name.place == "sim",
    needs_gpu: false,
    missing: linux_missing,
    ..CUDA
};
