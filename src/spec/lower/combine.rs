//! Demanded combinations: names that exist, values that do not exclude each other, and nothing that the scenario's body can
//! obviously never bring about.

use super::Problems;
use super::reach::View;
use crate::op::combination::Combination;
use crate::op::{Dimension, State, Value, exclusion};
use crate::spec::error::{Complaint, nearest};
use crate::spec::locate::Path;
use crate::spec::raw::{Either, RawCombination};
use crate::spec::scenario::{Body, Generate};

/// What a demand means, as far as its names exist.
pub(super) fn lower(raw: &RawCombination, here: &Path<'_>, problems: &mut Problems) -> Combination {
    let mut combination = Combination::default();
    for (key, written) in &raw.0.0 {
        let here = here.key(key);
        let Some(dimension) = Dimension::named(key) else {
            let names: Vec<&str> = Dimension::ALL.iter().map(|d| d.name()).collect();
            let hint = nearest(key, names.iter().copied()).unwrap_or_else(|| format!("one of {}", names.join(", ")));
            problems.add(&here, Complaint::new(format!("a state has no `{key}`")).hint(hint));
            continue;
        };
        let values: Vec<String> = match written {
            Either::Scalar(one) => vec![one.to_string()],
            Either::Container(several) => several.iter().map(ToString::to_string).collect(),
        };
        if values.is_empty() {
            problems.add(&here, Complaint::new(format!("`{key}`: the list of values is empty")));
        }
        let mut any = State::EMPTY;
        for name in &values {
            match dimension.value(name) {
                Some(value) => any = any.with(value),
                None => {
                    let known: Vec<&str> = dimension.values().map(Value::name).collect();
                    let near = nearest(name, known.iter().copied());
                    let hint = near.unwrap_or_else(|| format!("one of {}", known.join(", ")));
                    problems.add(&here, Complaint::new(format!("`{key}` is never `{name}`")).hint(hint));
                }
            }
        }
        combination.add(dimension, any);
    }
    if raw.0.0.is_empty() {
        let hint = "for example { step: helped, failure: refused_here }; `poolproof list states` shows what there is";
        problems.add(here, Complaint::new("a combination of nothing").hint(hint));
    }
    combination
}

/// Complains where it cannot come about.
pub(super) fn check(view: &View<'_>, combination: &Combination, here: &Path<'_>, problems: &mut Problems) {
    let parts = combination.parts();
    for (at, &(one, values)) in parts.iter().enumerate() {
        let missing: Option<Vec<&str>> = values.values().map(|v| missing(view, v)).collect();
        if let Some(first) = missing.as_ref().and_then(|all| all.first()) {
            let complaint = Complaint::new(format!("`{combination}` cannot be reached: {first}"));
            problems.add(&here.key(one.name()), complaint);
        }
        for &(other, others) in &parts[at + 1..] {
            let between = |a: Value| others.values().map(move |b| exclusion::between(a, b));
            let excluded: Option<Vec<&str>> = values.values().flat_map(between).collect();
            if let Some(why) = excluded.as_ref().and_then(|all| all.first()) {
                let message = format!("`{combination}` cannot be reached: `{one}` and `{other}` exclude each other");
                problems.add(&here.key(other.name()), Complaint::new(message).hint(*why));
            }
        }
    }
}

/// What the scenario lacks for a value, if that can be told.
fn missing(view: &View<'_>, value: Value) -> Option<&'static str> {
    let unless = |met: bool, lack: &'static str| (!met).then_some(lack);
    let devices = *view.scenario.devices.end();
    let draws_settings = matches!(&view.scenario.body,
        Body::Generate(Generate { world: Some(world), .. }) if *world.settings.end() > 0);
    let configured = view.scenario.config.is_some() || draws_settings;
    match value {
        Value::Freed | Value::Merged => unless(view.frees(), "nothing is freed"),
        Value::Deferred | Value::OneStream | Value::Streams => {
            unless(view.frees() && view.records(), "no freed block waits for a recorded stream")
        }
        Value::Recorded => unless(view.records(), "no stream is recorded on a block"),
        Value::CallFailed | Value::CallSurvived | Value::CallFailedBefore => {
            unless(view.faults(), "no fault is planned")
        }
        Value::Misuse | Value::MisuseBefore => unless(view.bad_arguments(), "nothing wrong is asked"),
        Value::Zero => unless(view.zeros(), "nothing asks for 0 bytes"),
        Value::RefusedAtLimit | Value::Fraction => unless(view.limits() || configured, "no memory fraction is set"),
        Value::Limited => unless(view.limits(), "no memory fraction is set"),
        Value::Helped => unless(view.helpers(), "no pool is made with `use_on_oom`"),
        Value::PoolDied => unless(view.pool_ends(), "no pool is deleted and no graph is reset"),
        Value::PrivateFirst | Value::PrivateSecond | Value::PrivateLater => {
            unless(view.redirections() > 0, "nothing is redirected")
        }
        Value::CaptureBegun
        | Value::CaptureEnded
        | Value::Capturing
        | Value::GraphKept
        | Value::GraphOwn
        | Value::GraphShared => unless(view.captures(), "nothing is captured"),
        Value::TwoDevices | Value::DeviceSecond | Value::Another | Value::LiveToo | Value::RefusedElsewhere => {
            unless(devices > 1, "there is one device")
        }
        Value::MoreDevices | Value::DeviceLater => unless(devices > 2, "there are two devices at most"),
        Value::OneDevice => unless(*view.scenario.devices.start() == 1, "there is more than one device"),
        Value::Expandable
        | Value::MaxSplit
        | Value::Collection
        | Value::Roundup
        | Value::SegmentSize
        | Value::NonSplitRounding
        | Value::Oversize => unless(configured, "no setting is in force"),
        _ => None,
    }
}
