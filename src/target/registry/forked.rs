//! `forked:` in the registry: a target of the harness's own process, of which each sequence is judged in another one.
//!
//! Decides what is said of it. A name behind it is of the kind that it names.

use super::super::worker::PROCESS_HELP;
use super::{Freshness, Isolation, Parallel, TargetKind, linux_missing, no_siblings, nothing_to_prepare, unknown};

pub(super) static KIND: TargetKind = TargetKind {
    name: "forked:NAME",
    what: "any that runs in process; each sequence is judged in a copy of a process that is ready; takes its options too",
    options: &[PROCESS_HELP],
    isolation: Isolation::Forked,
    freshness: Freshness::Process,
    parallel: Parallel::EachCore,
    is_tried: false,
    // `forked:` is taken off before a kind is looked for.
    is: |_| false,
    needs_gpu: false,
    missing: linux_missing,
    prepare: nothing_to_prepare,
    open: |name, _| Err(unknown(name)),
    siblings: no_siblings,
};
