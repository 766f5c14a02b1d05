//! Whether a scenario applies to a target: what it requires and the target lacks, or a world in which none of its steps hold.
//!
//! Decides from what the target says of itself in the scenario's widest world. Whether steps hold in a world is `premise`'s.

use std::collections::BTreeSet;

use crate::op::{Capability, Setup, TargetInfo, Text, Versions, size};
use crate::spec::{Body, Scenario};
use crate::target::{TargetError, TargetName};
use crate::workload;

use super::case::worlds;
use super::opener::{Named, Opener, inspect};
use super::premise;

/// A device that any machine can play.
const SMALL: u64 = 64 << 20;

/// What a scenario requires and a target lacks, as capabilities are written; what shows that it reached what it must is
/// required too.
pub(super) fn missing(scenario: &Scenario, info: &TargetInfo) -> Vec<String> {
    lacking(scenario, info).iter().map(ToString::to_string).collect()
}

/// The same as capabilities.
pub(super) fn lacking(scenario: &Scenario, info: &TargetInfo) -> BTreeSet<Capability> {
    let places = Capability::Devices(*scenario.devices.start());
    let shown = scenario.must_reach.iter().filter_map(|m| m.shown_by());
    let wanted = scenario.requires.iter().copied().chain(shown).chain([places]);
    wanted.filter(|c| !info.can(*c)).collect()
}

/// What the target says of itself in the scenario's widest world. Where that cannot be had here, in a small one, if what it
/// lacks in any world keeps the scenario from it.
pub(super) fn look(
    open: &Opener<'_>,
    scenario: &Scenario,
) -> Result<Result<(TargetInfo, Versions), String>, TargetError> {
    let widest = workload::widest_world(scenario);
    let looked = inspect(open, &widest);
    if let Err(TargetError::Unavailable { .. } | TargetError::TooSmall { .. }) = &looked
        && let Ok(Ok((info, versions))) = inspect(open, &small(widest))
        && !missing(scenario, &info).is_empty()
    {
        return Ok(Ok((info, versions)));
    }
    looked
}

/// Why a scenario does not apply where no device is as large as it wants.
pub(super) fn too_small(total_bytes: u64, wanted_bytes: u64) -> Text {
    let (total, wanted) = (size::human(total_bytes), size::human(wanted_bytes));
    Text::new(
        format!("needs a device of {wanted}, and there is none above {total}"),
        format!("需要 {wanted} 的设备，而此处最大为 {total}"),
    )
}

/// Why a scenario does not apply to an allocator that does not take its settings.
pub(super) fn refused_settings(settings: &str, reason: &str) -> Text {
    Text::new(
        format!("it takes no such settings as `{settings}`: {reason}"),
        format!("其不接受 `{settings}` 这样的配置：{reason}"),
    )
}

/// The same world with devices that any machine can play.
fn small(world: Setup) -> Setup {
    Setup { device_bytes: vec![SMALL; world.device_bytes.len()], ..world }
}

/// Opens a target once, to see whether there is such a one and whether it can be had.
///
/// # Errors
/// What the target says where it cannot be built.
pub fn ensure_opens(name: &TargetName, setup: &Setup) -> Result<(), TargetError> {
    inspect(&Named(name), setup).map(|_| ())
}

/// What a scenario requires and this target lacks; `None` if the target panics before it can say.
///
/// # Errors
/// What the target says where it cannot be built.
pub fn lacks(open: &Opener<'_>, scenario: &Scenario) -> Result<Option<Vec<String>>, TargetError> {
    Ok(inspect(open, &workload::widest_world(scenario))?.ok().map(|(info, _)| missing(scenario, &info)))
}

/// Why a scenario does not apply to this target: what it lacks, or a world in which none of its steps hold. `None` where it
/// applies, or if the target panics before it can say.
///
/// # Errors
/// What the target says where it cannot be built.
pub fn inapplicable(open: &Opener<'_>, scenario: &Scenario) -> Result<Option<Text>, TargetError> {
    let widest = workload::widest_world(scenario);
    let lacks = |info: &TargetInfo| {
        let names = Some(missing(scenario, info)).filter(|missing| !missing.is_empty())?.join(", ");
        Some(Text::new(format!("lacks {names}"), format!("不具备 {names}")))
    };
    let (info, _) = match inspect(open, &widest) {
        Ok(Ok(opened)) => opened,
        Ok(Err(_)) => return Ok(None),
        // A world that cannot be had here: what the target lacks in any world decides first.
        Err(error) => {
            let opened = inspect(open, &small(widest)).ok().and_then(Result::ok);
            if let Some(reason) = opened.and_then(|(info, _)| lacks(&info)) {
                return Ok(Some(reason));
            }
            return match error {
                TargetError::TooSmall { total_bytes, wanted_bytes, .. } => {
                    Ok(Some(too_small(total_bytes, wanted_bytes)))
                }
                TargetError::SettingsRefused { settings, reason, .. } => Ok(Some(refused_settings(&settings, &reason))),
                other => Err(other),
            };
        }
    };
    if let Some(reason) = lacks(&info) {
        return Ok(Some(reason));
    }
    let Body::Steps(variants) = &scenario.body else { return Ok(None) };
    let setups: Vec<Setup> = (0..worlds(scenario)).map(|world| workload::world(scenario, world)).collect();
    let mut reason = None;
    for (variant, setup) in variants.iter().flat_map(|v| setups.iter().map(move |s| (v, s))) {
        match premise::steps_in(scenario, variant, setup, &info) {
            Ok(_) => return Ok(None),
            Err(elsewhere) => drop(reason.get_or_insert(elsewhere)),
        }
    }
    Ok(reason)
}
