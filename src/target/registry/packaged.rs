//! Allocators that PyPI has in the registry: RMM's resources and ONNX Runtime's arena.
//!
//! Decides what is said of them. Which releases there are, and what a name stands for, is `packaged`'s.

use super::super::packaged::{ONNX_HELP, Package, RMM_HELP};
use super::super::worker::{FOREIGN_HELP, PROCESS_HELP};
use super::{Freshness, Isolation, Parallel, TargetKind, linux_missing, no_siblings, unknown};

pub(super) static RMM: TargetKind = TargetKind {
    name: "rmm@host",
    what: "RMM's memory resources, from PyPI, over a device of made-up addresses",
    options: &[RMM_HELP, PROCESS_HELP, FOREIGN_HELP],
    isolation: Isolation::Child,
    freshness: Freshness::Sequence,
    parallel: Parallel::EachCore,
    is_tried: false,
    is: |name| Package::named(name) == Some(Package::Rmm),
    needs_gpu: false,
    missing: || linux_missing().or_else(|| Package::Rmm.missing()),
    prepare: super::nothing_to_prepare,
    // Its adapter is another program.
    open: |name, _| Err(unknown(name)),
    siblings: no_siblings,
};

pub(super) static ONNX: TargetKind = TargetKind {
    name: "onnx@host",
    what: "ONNX Runtime's BFC arena, from PyPI, on memory of the host",
    options: &[ONNX_HELP, PROCESS_HELP, FOREIGN_HELP],
    is: |name| Package::named(name) == Some(Package::Onnx),
    missing: || linux_missing().or_else(|| Package::Onnx.missing()),
    prepare: super::nothing_to_prepare,
    ..RMM
};
