//! What kind of sequences may be asked for: weights that add up, ranges that hold something, sizes where memory is asked for.

use std::ops::RangeInclusive;

use serde::Deserialize;
use serde::de::IntoDeserializer;

use super::{Problems, World, world};
use crate::spec::error::Complaint;
use crate::spec::locate::Path;
use crate::spec::raw::{RawGenerate, RawSize, Span, Weight};
use crate::spec::scenario::{FaultPlan, FaultWhen, Generate, OpKind, SizeClass, SizeDraw, Weights};

const SEQUENCES: u32 = 64;
/// Longer sequences find nothing that shorter ones do not, and take minutes.
const MOST_OPERATIONS: u32 = 1_000_000;
/// What `set_fraction` draws from unless the scenario says.
const FRACTIONS: [f64; 6] = [0.0, 0.1, 0.25, 0.5, 0.9, 1.0];

/// Checks `generate`.
pub(super) fn lower(raw: &RawGenerate, world: &World, problems: &mut Problems) -> Option<Generate> {
    let root = Path::ROOT;
    let here = root.key("generate");
    let drawn = world::lower(raw, problems, &here);
    let mut weights = weights(raw, problems, &here);
    if drawn.is_some() {
        world::fill_up(&mut weights);
    }
    let asks = |kind: &OpKind| matches!(kind, OpKind::Alloc | OpKind::AllocTensor);
    if raw.sizes.is_empty() && drawn.is_none() && weights.entries.iter().any(|(kind, weight)| asks(kind) && *weight > 0)
    {
        let complaint = Complaint::new("`alloc` has a weight, but there is no `sizes` to draw from");
        problems.add(&here, complaint.hint("for example `sizes: [ { log_uniform: [1, 1MiB] } ]`"));
    }
    let sizes: Vec<_> =
        raw.sizes.iter().enumerate().map(|(i, s)| size(s, problems, &here.key("sizes").index(i))).collect();
    if !raw.sizes.is_empty() && sizes.iter().flatten().all(|s| s.weight == 0) && sizes.iter().all(Option::is_some) {
        problems.add(&here.key("sizes"), Complaint::new("every weight is 0: no size can be drawn"));
    }
    let changes = weights.entries.iter().any(|&(kind, weight)| kind == OpKind::SetSettings && weight > 0);
    if drawn.is_some() && !raw.settings.is_empty() {
        let complaint = Complaint::new("`settings` and a drawn world: each world has settings of its own to change to");
        problems.add(&here.key("settings"), complaint);
    } else if drawn.is_none() && changes && raw.settings.is_empty() {
        let complaint = Complaint::new("`set_settings` has a weight, but there is no `settings` to draw from");
        problems.add(&here, complaint.hint("for example `settings: [ \"\", \"max_split_size_mb:64\" ]`"));
    }
    let fractions: Vec<f64> = raw.fractions.iter().map(|f| f.0).collect();
    for (index, fraction) in fractions.iter().enumerate().filter(|(_, f)| !(0.0..=1.0).contains(*f)) {
        let complaint = Complaint::new(format!("{fraction} is no fraction"));
        let hint = "`set_fraction_invalid` in `weights` draws those that must be refused";
        problems.add(&here.key("fractions").index(index), complaint.hint(hint));
    }
    if raw.limit_bytes.is_some_and(|size| i64::try_from(size.0).is_err()) {
        problems.add(&here.key("limit_bytes"), Complaint::new("a limit of 2^63 B or more limits nothing"));
    }
    let plan = |f: &crate::spec::raw::generate::RawFault| FaultPlan {
        call: f.call,
        when: f.every.0.map_or(FaultWhen::Seeded, FaultWhen::Every),
    };
    let sequences = raw.sequences.unwrap_or(SEQUENCES);
    if sequences == 0 {
        problems.add(&here.key("sequences"), Complaint::new("`sequences` is 0: nothing would run"));
    }
    let cycles = raw.cycles.unwrap_or(0);
    if raw.cycles.is_some_and(|cycles| cycles < 2) {
        let complaint =
            Complaint::new("a round repeats 2 times or more").hint("leave `cycles` out for plain sequences");
        problems.add(&here.key("cycles"), complaint);
    }
    let length = raw.length.0.clone();
    if *length.start() == 0 || length.end().saturating_mul(cycles.max(1)) > MOST_OPERATIONS {
        let complaint =
            Complaint::new(format!("a sequence has 1 to {MOST_OPERATIONS} operations, all cycles together"));
        problems.add(&here.key("length"), complaint);
    }
    Some(Generate {
        world: drawn,
        sequences,
        length,
        streams: narrow(raw.streams.as_ref(), world.streams, "streams", problems, &here),
        callers: narrow(raw.callers.as_ref(), 64, "callers", problems, &here),
        limit_bytes: raw.limit_bytes.map(|s| s.0),
        sizes: sizes.into_iter().flatten().collect(),
        weights,
        faults: raw.faults.iter().map(plan).collect(),
        cycles,
        settings: raw.settings.clone(),
        fractions: if fractions.is_empty() { FRACTIONS.to_vec() } else { fractions },
    })
}

fn narrow(span: Option<&Span>, most: u8, key: &str, problems: &mut Problems, here: &Path<'_>) -> RangeInclusive<u8> {
    let Some(Span(span)) = span else { return 1..=1 };
    if *span.start() == 0 || *span.end() > u32::from(most) {
        let complaint = Complaint::new(format!("`{key}` is 1 to {most} here"));
        problems.add(&here.key(key), complaint);
    }
    let narrow = |n: u32| u8::try_from(n).unwrap_or(most).clamp(1, most);
    narrow(*span.start())..=narrow(*span.end())
}

fn weights(raw: &RawGenerate, problems: &mut Problems, here: &Path<'_>) -> Weights {
    if raw.weights.0.is_empty() && raw.world.is_none() {
        let complaint = Complaint::new("there are no `weights`: no operation can be drawn");
        problems.add(here, complaint.hint("for example `weights: { alloc: 6, free: 4 }`"));
    }
    let here = here.key("weights");
    let mut entries = Vec::new();
    for (name, Weight(weight)) in &raw.weights.0 {
        let deserializer: serde::de::value::StrDeserializer<'_, serde::de::value::Error> =
            name.as_str().into_deserializer();
        match OpKind::deserialize(deserializer) {
            Ok(kind) => entries.push((kind, *weight)),
            Err(e) => {
                let hint = Complaint::read(&e.to_string()).hint.unwrap_or_default();
                let complaint = Complaint::new(format!("`{name}` cannot be generated"));
                problems.add(&here.key(name), complaint.hint(hint));
            }
        }
    }
    if entries.iter().all(|(_, weight)| *weight == 0) && entries.len() == raw.weights.0.len() && !entries.is_empty() {
        problems.add(&here, Complaint::new("every weight is 0: no operation can be drawn"));
    }
    Weights { entries }
}

fn size(raw: &RawSize, problems: &mut Problems, here: &Path<'_>) -> Option<SizeClass> {
    let weight = raw.weight.map_or(1000, |w| w.0);
    if raw.within.is_some() && raw.around.is_none() {
        problems.add(&here.key("within"), Complaint::new("`within` goes with `around`"));
    }
    let list = |sizes: &[crate::spec::raw::Size]| sizes.iter().map(|s| s.0).collect::<Vec<u64>>();
    let draw = match (&raw.log_uniform, &raw.around, &raw.exactly) {
        (Some([low, high]), None, None) => {
            if low.0 > high.0 || low.0 == 0 {
                let complaint = Complaint::new(format!("no size is log-uniform from {} to {}", low.0, high.0));
                problems.add(&here.key("log_uniform"), complaint.hint("from 1 or more up to something larger"));
                return None;
            }
            SizeDraw::LogUniform(low.0, high.0)
        }
        (None, Some(centres), None) if !centres.is_empty() => {
            SizeDraw::Around { centres: list(centres), within: raw.within.map_or(0, |s| s.0) }
        }
        (None, None, Some(sizes)) if !sizes.is_empty() => SizeDraw::Exactly(list(sizes)),
        (None, Some(_), None) | (None, None, Some(_)) => {
            problems.add(here, Complaint::new("the list of sizes is empty"));
            return None;
        }
        _ => {
            let complaint = Complaint::new("a size is drawn by exactly one of `log_uniform`, `around` and `exactly`");
            problems.add(here, complaint);
            return None;
        }
    };
    Some(SizeClass { weight, draw })
}
