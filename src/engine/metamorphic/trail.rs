//! A bare run: what each operation was answered, and the figures after it; and how two of them are compared.
//!
//! Decides what must agree: whether a request was served, and the memory that is held, by device, up to where another of
//! the free blocks was taken: which one that fits is anybody's choice, by its handle or its address too. Figures that only
//! count what happened are left to the other oracles.

use serde::{Deserialize, Serialize};

use crate::model::{Effect, Model};
use crate::op::stats::{Column, Key, Row};
use crate::op::{Counter, DeviceView, Family, Observation, Op, OracleName, RefusalClass, Reply, Text, wording};
use crate::target::Target;

use super::variant::Variant;

/// The figures that no renaming, no order and nothing that was given back may change.
const FAMILIES: [Family; 5] =
    [Family::Allocation, Family::AllocatedBytes, Family::ActiveBytes, Family::ReservedBytes, Family::RequestedBytes];

/// How an operation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum OpOutcome {
    Served,
    Refused(RefusalClass),
    Dropped,
}

impl OpOutcome {
    pub(super) fn to_line(self) -> String {
        match self {
            OpOutcome::Served => "served".to_owned(),
            OpOutcome::Refused(class) => format!("refused ({})", class.name()),
            OpOutcome::Dropped => "not asked".to_owned(),
        }
    }
}

/// The current figures of one device.
type CurrentFigures = [i64; FAMILIES.len()];

/// A run, operation by operation.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Trail {
    pub(super) answers: Vec<OpOutcome>,
    /// After each operation, by device.
    held: Vec<Vec<CurrentFigures>>,
    /// All that can be seen after each operation, where that was asked for.
    seen: Vec<Observation>,
    /// Where each request was served without taking memory, from where the first block of its device was.
    chosen: Vec<Option<u64>>,
}

impl Trail {
    /// Asks every operation of a target that was built for it.
    /// `whole`: with all that can be seen after each.
    pub(super) fn of(target: &mut dyn Target, ops: &[&Op], whole: bool) -> Trail {
        let mut model = Model::new(target.info());
        let mut seen = Observation::default();
        let size = ops.len();
        let mut trail = Trail {
            answers: Vec::with_capacity(size),
            held: Vec::with_capacity(size),
            seen: Vec::new(),
            chosen: Vec::with_capacity(size),
        };
        let mut origins: Vec<Option<u64>> = vec![None; target.info().devices.len()];
        let mut before = vec![(0, 0); origins.len()];
        for op in ops {
            let mut chosen = None;
            let answer = if model.admits(op).is_err() {
                OpOutcome::Dropped
            } else {
                let reply = target.apply(op);
                target.observe(&mut seen);
                if let Effect::Allocated(_, live) | Effect::AllocatedDirect(_, live) = model.apply(op, &reply, &seen) {
                    let origin = origins.get_mut(live.device).map_or(0, |o| *o.get_or_insert(live.address));
                    let took = seen.devices.get(live.device).map(taken) > before.get(live.device).copied();
                    chosen = (!took).then(|| live.address.wrapping_sub(origin));
                }
                before.clear();
                before.extend(seen.devices.iter().map(taken));
                match &reply {
                    Reply::Dropped(_) => OpOutcome::Dropped,
                    Reply::Refused(refusal) => OpOutcome::Refused(refusal.class),
                    _ => OpOutcome::Served,
                }
            };
            trail.answers.push(answer);
            trail.chosen.push(chosen);
            let held = |view: &DeviceView| FAMILIES.map(|family| view.stats.all(family).current);
            trail.held.push(seen.devices.iter().map(held).collect());
            if whole {
                trail.seen.push(seen.clone());
            }
        }
        trail
    }

    /// Whether nothing is reserved on any device after this operation.
    pub(super) fn is_empty_after(&self, at: usize) -> bool {
        self.held[at].iter().all(|figures| figures.iter().all(|&f| f == 0))
    }
}

/// Moves up, whatever else it does, when memory is got from a device.
fn taken(view: &DeviceView) -> (i64, i64) {
    (view.stats.counter(Counter::NumDeviceAlloc), view.stats.all(Family::ReservedBytes).current)
}

/// Where two runs part.
#[derive(Debug)]
pub(super) struct Difference {
    /// The operation of the first run; `None` for the end.
    pub(super) at: Option<usize>,
    pub(super) what: Text,
    pub(super) one: String,
    pub(super) other: String,
}

/// The first difference that the relation forbids.
pub(super) fn compare(relation: OracleName, base: &Trail, other: &Trail, variant: &Variant) -> Option<Difference> {
    let mut place = vec![None; base.answers.len()];
    for (theirs, (_, given)) in variant.ops.iter().enumerate() {
        if let Some(ours) = given {
            place[*ours] = Some(theirs);
        }
    }
    let ordered = relation != OracleName::DeviceOrder;
    for (ours, theirs) in place.iter().enumerate() {
        let Some(theirs) = *theirs else { continue };
        let (one, two) = (base.answers[ours], other.answers[theirs]);
        if (one == OpOutcome::Dropped) != (two == OpOutcome::Dropped) {
            return None; // the harness asked one target and not the other: no word on the targets from here on
        }
        if one != two {
            if is_open(variant, ours, theirs, one, two) {
                return None; // what is cached may serve the one and not the other
            }
            let what = Text::new("its answer", "其应答");
            return Some(Difference { at: Some(ours), what, one: one.to_line(), other: two.to_line() });
        }
        if ordered && parted(base.chosen[ours], other.chosen[theirs]) {
            return None; // another free block was taken: any that fits may be, and what follows depends on it
        }
        // Operations of the harness's own belong to the given one before them.
        let after =
            (theirs + 1..variant.ops.len()).take_while(|&i| variant.ops[i].1.is_none()).last().unwrap_or(theirs);
        if relation == OracleName::WithoutRefused {
            if let Some(difference) = traces(base.seen.get(ours)?, other.seen.get(after)?, variant, ours) {
                return Some(Difference { at: Some(ours), ..difference });
            }
            continue;
        }
        if ordered && let Some(difference) = figures(relation, &base.held[ours], &other.held[after], variant) {
            return Some(Difference { at: Some(ours), ..difference });
        }
    }
    if relation == OracleName::WithoutRefused {
        return None; // the last call that was not left out has been compared
    }
    figures(relation, base.held.last()?, other.held.last()?, variant)
}

/// Whether two requests that took no memory were served from different places.
fn parted(one: Option<u64>, other: Option<u64>) -> bool {
    one.is_some() && other.is_some() && one != other
}

fn figures(
    relation: OracleName,
    ours: &[CurrentFigures],
    theirs: &[CurrentFigures],
    variant: &Variant,
) -> Option<Difference> {
    for (device, held) in ours.iter().enumerate() {
        let named = variant.devices.get(device).copied().unwrap_or(device);
        let Some(other) = theirs.get(named) else { continue };
        for (index, family) in FAMILIES.into_iter().enumerate() {
            let expected = relation == OracleName::SizeBin && family == Family::RequestedBytes;
            if held[index] == other[index] || expected {
                continue;
            }
            let key = Key::Family(family, Row::All, Column::Current);
            let (en, zh) = wording::words_of_family(family);
            let what = if named == device {
                Text::new(format!("{en} of device {device}"), format!("设备 {device} 的{zh}"))
            } else {
                let (en, zh) = (format!("{en} of device {device}"), format!("设备 {device} 的{zh}"));
                Text::new(format!("{en} (there device {named})"), format!("{zh}（另一次运行中为设备 {named}）"))
            };
            let (one, other) = (wording::amount(key, held[index]), wording::amount(key, other[index]));
            return Some(Difference { at: None, what, one, other });
        }
    }
    None
}

/// Whether a request may be served in one run and lack memory in the other, since they have not cached the same.
fn is_open(variant: &Variant, ours: usize, theirs: usize, one: OpOutcome, other: OpOutcome) -> bool {
    let is_lack = |answer| answer == OpOutcome::Refused(RefusalClass::OutOfMemory);
    let Op::Alloc { device: Some(device), .. } = &variant.ops[theirs].0 else { return false };
    let loose = device.index(variant.loose.len()).is_some_and(|d| variant.loose[d].is_some_and(|from| from < ours));
    loose && (is_lack(one) && other == OpOutcome::Served || is_lack(other) && one == OpOutcome::Served)
}

/// What calls that were left out have left behind. Where they may have emptied the cache, and waited for streams before,
/// only the number of blocks that callers hold must agree.
fn traces(ours: &Observation, theirs: &Observation, variant: &Variant, at: usize) -> Option<Difference> {
    for (device, (one, other)) in ours.devices.iter().zip(&theirs.devices).enumerate() {
        let is_loose = variant.loose.get(device).is_some_and(|from| from.is_some_and(|from| from < at));
        let held = |key: &Key| *key == Key::Family(Family::Allocation, Row::All, Column::Current);
        let mut pairs = one.stats.entries().zip(other.stats.entries());
        let unlike = pairs.find(|((key, a), (_, b))| a != b && (!is_loose || held(key)));
        if let Some(((key, a), (_, b))) = unlike {
            let (what, one, other) =
                (wording::statistic(key, device), wording::amount(key, a), wording::amount(key, b));
            return Some(Difference { at: None, what, one, other });
        }
        if one.fraction.to_bits() != other.fraction.to_bits() {
            let what = Text::new(format!("memory fraction of device {device}"), format!("设备 {device} 的内存比例"));
            let (one, other) = (one.fraction.to_string(), other.fraction.to_string());
            return Some(Difference { at: None, what, one, other });
        }
    }
    None
}
