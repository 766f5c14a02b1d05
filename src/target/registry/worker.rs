//! `worker:` in the registry: any other target in a process of its own.
//!
//! Decides what is said of it. A name behind it is of the kind that it names.

use super::super::worker::PROCESS_HELP;
use super::{Freshness, Isolation, Parallel, TargetKind, linux_missing, no_siblings, unknown};

pub(super) static KIND: TargetKind = TargetKind {
    name: "worker:NAME",
    what: "any of the others in a process of its own; takes its options too",
    options: &[PROCESS_HELP],
    isolation: Isolation::Child,
    freshness: Freshness::Sequence,
    parallel: Parallel::EachCore,
    is_tried: false,
    // `worker:` is taken off before a kind is looked for; twice it means nothing.
    is: |_| false,
    needs_gpu: false,
    missing: linux_missing,
    prepare: super::nothing_to_prepare,
    open: |name, _| Err(unknown(name)),
    siblings: no_siblings,
};
