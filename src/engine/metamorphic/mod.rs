//! Judges of two runs: a sequence, and one made from it that must come to the same.
//!
//! Decides which relation is broken, and says by which two sequences. Both are run bare: no block is filled or read, no
//! refused request is repeated, so that nothing but the sequences differs. How the other sequence is made is `variant`'s;
//! what is compared, `trail`'s.
//!
//! Does not cover: addresses, which any policy may choose; accumulated figures, but for calls that were refused for their
//! arguments, which change nothing at all; sequences with planned faults, which
//! say which call fails by its number; targets that do not promise to answer alike when asked again.

mod trail;
mod variant;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::op::{Capability, Op, OracleName, Setup, Step, TargetInfo, Text};
use crate::requirement::{Area, RequirementId};
use crate::target::TargetError;
use crate::verdict::Violation;

use super::forked;
use super::lockstep::Conviction;
use super::opener::Opener;
use trail::{Difference, Trail};
use variant::Variant;

/// Lines of the other sequence that a finding carries; a minimal one has far fewer.
const MOST_LINES: usize = 40;

/// The promise that a relation holds an allocator to.
fn requirement(relation: OracleName) -> RequirementId {
    let number = match relation {
        OracleName::StreamNames => 1,
        OracleName::DeviceNames => 2,
        OracleName::WarmUp => 3,
        OracleName::SpareTrim => 4,
        OracleName::DeviceOrder => 5,
        OracleName::WithoutRefused => 7,
        _ => 6,
    };
    RequirementId::new(Area::Same, number)
}

/// Compares a sequence with its variant under each relation in turn, up to the first that is broken.
///
/// # Errors
/// What the target says where it cannot be built.
pub(super) fn judge(
    open: &Opener<'_>,
    setup: &Setup,
    steps: &[Step],
    relations: &[OracleName],
) -> Result<Judged, Unjudged> {
    let mut judged = Judged::default();
    let ops: Vec<(usize, &Op)> = steps.iter().enumerate().filter_map(|(i, s)| Some((i, s.op.as_ref()?))).collect();
    if relations.is_empty() || ops.is_empty() || ops.iter().any(|(_, op)| matches!(op, Op::Fault { .. })) {
        return Ok(judged);
    }
    let plain: Vec<&Op> = ops.iter().map(|(_, op)| *op).collect();
    let whole = relations.contains(&OracleName::WithoutRefused);
    let least = Least { repeats: true, devices: setup.device_bytes.len(), streams: 0 };
    let Bare { info, trail: Some(base) } = bare(open, setup, &plain, whole, least)? else {
        return Ok(judged); // devices that exist on paper alone cannot be told apart
    };
    for &relation in relations {
        let Some(variant) = variant::of(relation, &info, setup, &plain, &base) else { continue };
        let other: Vec<&Op> = variant.ops.iter().map(|(op, _)| op).collect();
        let least = Least { streams: variant.setup.streams, ..Least::default() };
        let Some(theirs) = bare(open, &variant.setup, &other, whole, least)?.trail else {
            continue; // streams that exist on paper alone
        };
        judged.pairs += 1;
        if let Some(difference) = trail::compare(relation, &base, &theirs, &variant) {
            let step = difference.at.map_or(steps.len(), |at| ops[at].0);
            let violations = vec![violation(relation, &difference, &plain, &variant, &theirs)];
            judged.conviction = Some(Conviction { step, violations });
            break;
        }
    }
    Ok(judged)
}

/// What a target must have for a run of it to say anything.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(super) struct Least {
    /// It answers alike when asked again.
    repeats: bool,
    devices: usize,
    streams: u8,
}

/// A run for the comparison with another one.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Bare {
    info: TargetInfo,
    /// `None` of a target that has not what it takes.
    trail: Option<Trail>,
}

/// Why nothing was compared.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unjudged {
    #[error(transparent)]
    Target(#[from] TargetError),
    /// In a process of its own; elsewhere a panic is one.
    #[error("{0}")]
    Panicked(String),
}

/// Runs operations on a target of their own, wherever that is.
fn bare(open: &Opener<'_>, setup: &Setup, ops: &[&Op], whole: bool, least: Least) -> Result<Bare, Unjudged> {
    match open.forked() {
        Some(name) => forked::bare(name, setup, ops, whole, least),
        None => Ok(bare_here(open, setup, ops, whole, least)?),
    }
}

/// The same in this process.
pub(super) fn bare_here(
    open: &Opener<'_>,
    setup: &Setup,
    ops: &[&Op],
    whole: bool,
    least: Least,
) -> Result<Bare, TargetError> {
    let mut target = open.open(setup)?;
    let info = target.info().clone();
    let lacks = least.repeats && !info.can(Capability::Repeatable)
        || info.devices.len() < least.devices
        || info.streams < least.streams;
    let trail = (!lacks).then(|| Trail::of(&mut *target, ops, whole));
    Ok(Bare { info, trail })
}

/// What comparing came to.
#[derive(Debug, Default)]
pub(super) struct Judged {
    /// Pairs of runs that were compared.
    pub(super) pairs: u64,
    pub(super) conviction: Option<Conviction>,
}

fn violation(
    relation: OracleName,
    difference: &Difference,
    ops: &[&Op],
    variant: &Variant,
    theirs: &Trail,
) -> Violation {
    let (en, zh) = (&variant.change.en, &variant.change.zh);
    let (one, other) = (&difference.one, &difference.other);
    let (place_en, place_zh) = match difference.at {
        Some(at) => {
            let op = ops[at].to_line();
            (format!("after `{op}`"), format!("在 `{op}` 之后"))
        }
        None => ("at the end".to_owned(), "在结束时".to_owned()),
    };
    let what = &difference.what;
    let message = Text::new(
        format!("{en}: {place_en} {} was {one}, and {other} in the other run", what.en),
        format!("{zh}：{place_zh}{}为 {one}，另一次运行中为 {other}", what.zh),
    );
    let mut violation = Violation::new(relation, Some(requirement(relation)), message).figure(
        Text::new(format!("{} {place_en}", what.en), format!("{place_zh}{}", what.zh)),
        Text::new(format!("{one}, as in the first run"), format!("{one}，与第一次运行相同")),
        Text::new(format!("{other} in the other run"), format!("另一次运行中为 {other}")),
    );
    violation = violation.with("The two runs differ in", "两次运行的差别", en);
    for (number, ((op, given), answer)) in (1..).zip(variant.ops.iter().zip(&theirs.answers)).take(MOST_LINES) {
        let mark = if given.is_none() { " +" } else { "" };
        let line = format!("{} -> {}", op.to_line(), answer.to_line());
        violation =
            violation.with(&format!("The other run, {number}{mark}"), &format!("另一次运行，{number}{mark}"), line);
    }
    violation
}
