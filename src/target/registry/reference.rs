//! The reference allocator in the registry: on simulated devices and on GPUs.
//!
//! Decides what is said of it, and which settings a sweep adds.

use super::super::on_gpu::OnGpu;
use super::super::{TargetError, TargetName, reference, unfaithful};
use super::{Freshness, Isolation, Parallel, TargetKind, nothing_missing};
use crate::reference::{Defect, Settings, Variations};

pub(super) static SIM: TargetKind = TargetKind {
    name: "reference@sim",
    what: "the reference allocator on simulated devices",
    options: &[reference::Options::HELP],
    isolation: Isolation::InProcess,
    freshness: Freshness::Sequence,
    parallel: Parallel::EachCore,
    is_tried: true,
    is: |name| is(name, "sim"),
    needs_gpu: false,
    missing: nothing_missing,
    prepare: super::nothing_to_prepare,
    open: reference::open,
    siblings,
};

pub(super) static CUDA: TargetKind = TargetKind {
    name: "reference@cuda",
    what: "the reference allocator on NVIDIA GPUs",
    options: &[reference::Options::HELP, reference::Options::HELP_ON_GPU, OnGpu::HELP],
    // A failed kernel takes its process along.
    isolation: Isolation::Child,
    freshness: Freshness::Sequence,
    parallel: Parallel::One,
    is_tried: true,
    is: |name| is(name, "cuda"),
    needs_gpu: true,
    missing: nothing_missing,
    prepare: super::nothing_to_prepare,
    open: reference::open_cuda,
    siblings: super::no_siblings,
};

fn is(name: &TargetName, place: &str) -> bool {
    name.allocator == "reference" && name.place == place
}

/// What the name of a reference says of it.
#[derive(Debug, Clone)]
pub struct ReferenceOptions {
    /// As PyTorch would read them.
    pub settings: Settings,
    /// A mistake planted in it.
    pub defect: Option<Defect>,
    /// Another policy than PyTorch's.
    pub variations: Option<Variations>,
}

/// As `super::reference_options`.
pub(super) fn options(name: &TargetName) -> Result<Option<ReferenceOptions>, TargetError> {
    if !is(name, "sim") {
        return Ok(None);
    }
    let name = name.inner(&[unfaithful::OPTION]);
    let reference::Options { settings, defect, variations, .. } = reference::Options::read(&name, false)?;
    Ok(Some(ReferenceOptions { settings, defect, variations }))
}

/// Expandable segments, where the name does not say whether to have them.
fn siblings(name: &TargetName) -> Vec<TargetName> {
    const SETTING: &str = "expandable_segments";
    let is_setting =
        |(key, value): &(String, Option<String>)| key == "config" || (value.is_none() && key.contains(':'));
    let text = |(key, value): &(String, Option<String>)| value.clone().unwrap_or_else(|| key.clone());
    let given = name.options.iter().rfind(|o| is_setting(o)).map(text);
    if given.as_ref().is_some_and(|g| g.contains(SETTING)) {
        return Vec::new();
    }
    let settings = given.map_or_else(String::new, |given| format!("{given},")) + SETTING + ":True";
    let mut sibling = name.clone();
    sibling.options.retain(|option| !is_setting(option));
    sibling.options.push((settings, None));
    vec![sibling]
}
