//! `exec:` in the registry: any command as a target.
//!
//! Decides what is said of it.

use super::super::worker::{FOREIGN_HELP, PROCESS_HELP};
use super::{Freshness, Isolation, Parallel, TargetKind, linux_missing, no_siblings, unknown};

pub(super) static KIND: TargetKind = TargetKind {
    name: "exec:COMMAND@PLACE",
    what: "any program that speaks poolproof-worker/2 (docs/worker-protocol.md); @host, @sim, @cuda say where it allocates",
    options: &[PROCESS_HELP, FOREIGN_HELP],
    isolation: Isolation::Child,
    freshness: Freshness::Sequence,
    parallel: Parallel::EachCore,
    is_tried: false,
    is: |name| name.command().is_some(),
    needs_gpu: false,
    missing: linux_missing,
    prepare: super::nothing_to_prepare,
    // Only a process of its own speaks the protocol.
    open: |name, _| Err(unknown(name)),
    siblings: no_siblings,
};
