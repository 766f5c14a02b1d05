//! What a target must be able to do for a scenario: every operation and every figure names its capability.
//!
//! A scenario that asks for more than it requires would accuse a target of lacking what it never offered.

use std::collections::BTreeMap;

use super::Problems;
use crate::op::contract::Capability;
use crate::op::reply::RefusalClass;
use crate::op::stats::{Family, Key, Oversize, Row};
use crate::op::{Expect, Op, PoolSource, Step, StreamId, Via};
use crate::spec::error::Complaint;
use crate::spec::locate::Path;
use crate::spec::scenario::{Body, Generate, Scenario};

/// Capabilities, each with what first needs it.
type Needs = BTreeMap<Capability, String>;

/// Complains of capabilities that are used and not required.
pub(super) fn check(scenario: &Scenario, problems: &mut Problems) {
    let needs = needs(scenario);
    let lacking: Vec<_> = needs
        .iter()
        .filter(|&(&needed, _)| !scenario.requires.iter().any(|required| required.covers(needed)))
        .collect();
    if lacking.is_empty() {
        return;
    }
    let each: Vec<String> = lacking.iter().map(|(c, what)| format!("`{c}` (for {what})")).collect();
    let names = scenario.requires.iter().filter(|c| !matches!(c, Capability::Devices(_)));
    let all: Vec<String> = names.chain(lacking.iter().map(|(c, _)| *c)).map(quoted).collect();
    let complaint = Complaint::new(format!("`requires` lacks {}", each.join(", ")));
    problems.add(&Path::ROOT.key("requires"), complaint.hint(format!("requires: [{}]", all.join(", "))));
}

/// As YAML takes it in a list: a colon wants quotes.
fn quoted(capability: &Capability) -> String {
    let name = capability.to_string();
    if name.contains(':') { format!("\"{name}\"") } else { name }
}

fn needs(scenario: &Scenario) -> Needs {
    let mut needs = Needs::new();
    if scenario.config.is_some() {
        add(&mut needs, Capability::Settings, "`config`");
    }
    match &scenario.body {
        Body::Steps(variants) => {
            for step in variants.iter().flat_map(|v| &v.steps) {
                step_needs(step, &mut needs);
            }
        }
        Body::Generate(generate) => generate_needs(generate, &mut needs),
    }
    needs
}

fn add(needs: &mut Needs, capability: Capability, what: impl Into<String>) {
    needs.entry(capability).or_insert_with(|| what.into());
}

fn step_needs(step: &Step, needs: &mut Needs) {
    if let Some(op) = &step.op {
        let what = format!("`{}`", op.name());
        for capability in op_needs(op) {
            add(needs, capability, what.clone());
        }
    }
    if let Some(expect) = &step.expect {
        expect_needs(expect, needs);
    }
}

fn op_needs(op: &Op) -> Vec<Capability> {
    use Capability as C;
    let streams = |stream: &StreamId| (stream.0 > 0).then_some(C::Streams);
    match op {
        Op::Alloc { device, stream, via, .. } => {
            let current = device.is_none().then_some(C::CurrentDevice);
            let tensors = (*via == Via::Tensor).then_some(C::Tensors);
            current.into_iter().chain(tensors).chain(streams(stream)).collect()
        }
        Op::FreePointer { .. } => vec![C::RawFree],
        Op::RecordStream { stream, .. } => [C::RecordStream].into_iter().chain(streams(stream)).collect(),
        Op::Use { stream, .. } => [C::Contents].into_iter().chain(streams(stream)).collect(),
        Op::Occupy { stream, .. } | Op::Finish { stream, .. } => {
            [C::StreamControl].into_iter().chain(streams(stream)).collect()
        }
        Op::WaitStream { .. } => vec![C::StreamControl, C::Streams],
        Op::Neighbour { .. } => vec![C::Neighbours],
        Op::EmptyCache => vec![C::EmptyCache],
        Op::ResetPeak { .. } => vec![C::PeakReset],
        Op::ResetAccumulated { .. } => vec![C::AccumulatedReset],
        Op::SetFraction { device, .. } | Op::GetFraction { device } => {
            [C::MemoryFraction].into_iter().chain(device.is_none().then_some(C::CurrentDevice)).collect()
        }
        Op::SetSettings { .. } => vec![C::SettingsChange],
        Op::SetCaching { .. } => vec![C::CachingSwitch],
        Op::SetCurrent { .. } => vec![C::CurrentDevice],
        Op::Caller { .. } => vec![C::Callers],
        Op::Dictionary { .. } => vec![C::Dictionary],
        Op::Summary { .. } => vec![C::Summary],
        Op::Snapshot => vec![C::Snapshot],
        Op::MemoryInfo { .. } => vec![C::MemoryInfo],
        Op::Fill { .. } | Op::Verify { .. } => vec![C::Contents],
        Op::Fault { .. } => vec![C::Faults],
        Op::Free { .. } | Op::Synchronize { .. } | Op::CycleEnd => Vec::new(),
        Op::PoolCreate { .. } | Op::PoolEnter { .. } | Op::PoolExit { .. } | Op::PoolDelete { .. } => {
            vec![C::PrivatePools]
        }
        Op::CaptureBegin { pool: Some(PoolSource::Pool(_)), .. } => {
            vec![C::GraphCapture, C::PrivatePools, C::Streams]
        }
        Op::CaptureBegin { .. } => vec![C::GraphCapture, C::Streams],
        Op::CaptureEnd { .. } | Op::GraphReset { .. } => vec![C::GraphCapture],
    }
}

fn expect_needs(expect: &Expect, needs: &mut Needs) {
    if expect.refused == Some(RefusalClass::OutOfMemory) {
        add(needs, Capability::OomTyped, "`refused: out_of_memory`");
    }
    if !expect.fraction.is_empty() {
        add(needs, Capability::MemoryFraction, "`fraction`");
    }
    for name in expect.stats.values().chain(expect.change.values()).flat_map(BTreeMap::keys) {
        let capability = match Key::parse(name) {
            Some(Key::Family(family, Row::All, column)) => Capability::Figure(family, column),
            Some(Key::Family(family, _, _)) => Capability::Stats(family),
            Some(Key::Counter(_)) => Capability::Counters,
            Some(Key::Oversize(Oversize::Allocations, _)) => Capability::Stats(Family::Allocation),
            Some(Key::Oversize(Oversize::Segments, _)) => Capability::Stats(Family::Segment),
            None => Capability::MemoryInfo,
        };
        add(needs, capability, format!("`{name}`"));
    }
}

fn generate_needs(generate: &Generate, needs: &mut Needs) {
    if generate.world.is_some() {
        return; // what a target lacks is left out of its worlds
    }
    for (kind, weight) in &generate.weights.entries {
        if let Some(capability) = kind.needs().filter(|_| *weight > 0) {
            let name = serde_json::to_value(kind).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default();
            add(needs, capability, format!("`{name}`"));
        }
    }
    if *generate.streams.end() > 1 {
        add(needs, Capability::Streams, "`streams`");
    }
    if *generate.callers.end() > 1 {
        add(needs, Capability::Callers, "`callers`");
    }
    if generate.limit_bytes.is_some() {
        add(needs, Capability::MemoryFraction, "`limit_bytes`");
    }
    if !generate.faults.is_empty() {
        add(needs, Capability::Faults, "`faults`");
    }
}
