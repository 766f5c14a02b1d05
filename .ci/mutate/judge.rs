//! Judges one change: `judge run NUMBER [SEED]` by the policy-free oracles of a default run up to its first violation,
//! `judge exact NUMBER [SEED]` by the exact one, too, `judge twin NUMBER OPERATIONS [SEED]` by the sound allocator beside it. Part of the copied tree only: see `.ci/mutants`.
//!
//! Decides what is compared with the sound allocator: every answer, every figure after every operation, and snapshots. A line of
//! JSON says what came of it; a hang, or a panic outside of a sequence, is for whoever started it to see.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use arbitrary::{Arbitrary, Unstructured};
use poolproof::engine::{self, Minimise, Plan, Progress, RunOptions, Stop, Watch};
use poolproof::mutant;
use poolproof::op::snapshot::{BlockState, Snapshot};
use poolproof::op::stats::{Key, PoolKind, Row};
use poolproof::op::{Family, Observation, Op, Reply, Setup, Step};
use poolproof::spec::{self, Body};
use poolproof::target::{self, TargetName};
use poolproof::verdict::Outcome;
use poolproof::workload;
use serde_json::{Value, json};

#[path = "../../fuzz/bodies/mod.rs"]
#[allow(dead_code)]
mod bodies;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize| arguments.get(at).and_then(|text| text.parse().ok()).unwrap_or(0_u64);
    let mutant = u32::try_from(number(1)).unwrap_or(0);
    let result = match arguments.first().map(String::as_str) {
        Some("first") => pass(mutant, number(2), false, Some(1)),
        Some("run") => pass(mutant, number(2), false, None),
        Some("exact") => pass(mutant, number(2), true, None),
        Some("twin") => twin(mutant, number(2), number(3)),
        _ => panic!("judge first|run|exact NUMBER [SEED] | judge twin NUMBER OPERATIONS [SEED]"),
    };
    println!("{result}");
}

/// Asks the run to stop at its first failure.
struct First {
    stop: Stop,
    is_found: AtomicBool,
    operations: AtomicU64,
}

impl Watch for First {
    fn ran(&self, operations: u64) {
        if !self.is_found.load(Ordering::Relaxed) {
            self.operations.fetch_add(operations, Ordering::Relaxed);
        }
    }

    fn found(&self) {
        self.is_found.store(true, Ordering::Relaxed);
        self.stop.ask();
    }
}

impl Progress for First {}

/// A default run up to its first failure, or so many sequences of each of its scenarios.
fn pass(number: u32, seed: u64, exact: bool, cases: Option<u32>) -> Value {
    std::panic::set_hook(Box::new(|_| {}));
    let target: TargetName = "reference@sim".parse().expect("a name");
    let mut plan = Plan::new(spec::built_in(), &[], None).expect("the built-in scenarios").telling(&target);
    if !exact {
        plan.leave_out_exact();
    }
    let out = std::env::temp_dir().join(format!("mutant-{}", std::process::id()));
    let stop = Stop::default();
    let first = First { stop: stop.clone(), is_found: AtomicBool::new(false), operations: AtomicU64::new(0) };
    let options = RunOptions {
        target,
        plan,
        seed,
        exact,
        cases,
        jobs: 1,
        time: None,
        minimise: Minimise::default(),
        stop,
        out: out.clone(),
        regressions: None,
        command: String::new(),
    };
    mutant::set(number);
    let start = Instant::now();
    let record = engine::run(&options, &first);
    let seconds = start.elapsed().as_secs_f64();
    let reached = mutant::is_reached();
    mutant::set(0);
    drop(std::fs::remove_dir_all(out));
    let record = match record {
        Ok(record) => record,
        Err(error) => return json!({"number": number, "reached": reached, "error": error.to_string()}),
    };
    let ids = |outcome: Outcome| -> Vec<&str> {
        record.scenarios.iter().filter(|s| s.outcome == outcome).map(|s| s.id.as_str()).collect()
    };
    let found = first.is_found.load(Ordering::Relaxed);
    // After a violation the rest was not run, and inconclusive for that reason alone.
    let inconclusive = if found { Vec::new() } else { ids(Outcome::Inconclusive) };
    let findings: Vec<Value> = record
        .findings
        .iter()
        .map(|f| {
            json!({"requirement": f.requirement, "oracle": f.violation.oracle, "scenario": f.scenario,
            "message": f.violation.message.en})
        })
        .collect();
    json!({
        "number": number, "reached": reached, "found": found, "findings": findings, "broken": ids(Outcome::Broken),
        "inconclusive": inconclusive, "operations": first.operations.load(Ordering::Relaxed), "seconds": seconds,
    })
}

/// Where sequences for the twin come from, without end: generated and explicit scenarios, then worlds, settings and
/// operations as the fuzz target `operations` draws them.
struct Source {
    seed: u64,
    round: u32,
}

impl Source {
    fn round(&mut self) -> Vec<(TargetName, Setup, Vec<Step>)> {
        let name: TargetName = "reference@sim".parse().expect("a name");
        let mut all = Vec::new();
        for scenario in spec::built_in() {
            match &scenario.body {
                Body::Generate(generate) => {
                    let Ok(widest) = target::open(&name, &workload::widest_world(&scenario)) else { continue };
                    let offers = workload::Offers::of(widest.info(), false);
                    let swarm = workload::swarm(generate, self.seed, &scenario.id, self.round);
                    let generate = if self.round % 2 == 0 { generate } else { &swarm };
                    let (setup, steps) = workload::draw(&scenario, generate, &offers, (self.seed, self.round, 0));
                    all.push((name.clone(), setup, steps));
                }
                Body::Steps(variants) if self.round < 4 => {
                    let setup = workload::world(&scenario, self.round);
                    let Ok(target) = target::open(&name, &setup) else { continue };
                    for variant in variants {
                        if let Ok(steps) = workload::steps_on(variant, target.info()) {
                            all.push((name.clone(), setup.clone(), steps));
                        }
                    }
                }
                Body::Steps(_) => {}
            }
        }
        for nth in 0..400_u64 {
            let mut state = workload::scatter(self.seed ^ u64::from(self.round) << 32 ^ nth << 8);
            let mut bytes = Vec::new();
            while bytes.len() < 8 * (64 + usize::try_from(nth % 8).unwrap_or(0) * 64) {
                state = workload::scatter(state.wrapping_add(0x9e37_79b9_7f4a_7c15));
                bytes.extend(state.to_le_bytes());
            }
            let Ok(plan) = bodies::draft::Plan::arbitrary(&mut Unstructured::new(&bytes)) else { continue };
            let steps = plan.ops.into_iter().map(Step::from).collect();
            all.push((bodies::operations::reference(&plan.config), plan.setup, steps));
        }
        self.round += 1;
        all
    }
}

fn twin(number: u32, most: u64, seed: u64) -> Value {
    let mut source = Source { seed, round: 0 };
    let start = Instant::now();
    let mut operations = 0;
    let mut reached = false;
    let mut difference = None;
    while operations < most && difference.is_none() {
        for (name, setup, steps) in source.round() {
            mutant::set(number);
            difference = compare(&name, &setup, &steps, &mut operations);
            reached |= mutant::is_reached();
            mutant::set(0);
            if difference.is_some() || operations >= most {
                break;
            }
        }
    }
    json!({
        "number": number, "reached": reached, "difference": difference, "operations": operations,
        "seconds": start.elapsed().as_secs_f64(),
    })
}

/// The first difference between the changed allocator and the sound one over a sequence.
fn compare(name: &TargetName, setup: &Setup, steps: &[Step], operations: &mut u64) -> Option<Value> {
    let changed = target::open(name, setup);
    let sound = target::open_suspended(name, setup);
    let (mut changed, mut sound) = match (changed, sound) {
        (Ok(changed), Ok(sound)) => (changed, sound),
        (Err(_), Err(_)) => return None,
        (changed, sound) => {
            let text = |r: Result<_, target::TargetError>| r.err().map_or("opened".to_owned(), |e| e.to_string());
            return Some(
                json!({"what": "settings", "changed": text(changed.map(drop)), "sound": text(sound.map(drop)),
                "op": "", "world": name.to_string(), "figures": null, "events": false, "miscounts": []}),
            );
        }
    };
    let (mut one, mut other) = (Observation::default(), Observation::default());
    let mut all: Vec<&Op> = Vec::new();
    // A snapshot costs as much as there are blocks, and long sequences have thousands.
    let gap = (steps.len() / 100).max(4);
    for (nth, op) in steps.iter().filter_map(|s| s.op.as_ref()).enumerate() {
        all.push(op);
        if nth % gap == gap - 1 {
            all.push(&Op::Snapshot);
        }
    }
    all.extend(&[Op::Snapshot, Op::EmptyCache, Op::Snapshot]);
    // The first call only has them tell.
    target::events_of(changed.as_mut());
    target::events_of(sound.as_mut());
    for (nth, op) in all.into_iter().enumerate() {
        *operations += 1;
        let (answered, expected) = (meaning(changed.apply(op)), meaning(sound.apply(op)));
        let (did, does) = (target::events_of(changed.as_mut()), target::events_of(sound.as_mut()));
        changed.observe(&mut one);
        sound.observe(&mut other);
        if answered == expected && did == does && one == other {
            continue;
        }
        let figures = in_figures(&one, &other);
        let (what, is, was) = if answered != expected {
            in_answers(op, &answered, &expected)
        } else if let Some(figures) = &figures {
            figures.clone()
        } else {
            ("events".to_owned(), did.clone(), does.clone())
        };
        return Some(json!({
            "what": cut(&what), "changed": cut(&is), "sound": cut(&was), "op": op.to_line(), "nth": nth,
            "world": format!("{name}, {} devices", setup.device_bytes.len()), "figures": figures.map(|f| cut(&f.0)),
            "events": did != does, "miscounts": miscounts(changed.as_mut()),
        }));
    }
    None
}

/// How two answers differ: what kind of difference it is, and both.
fn in_answers(op: &Op, answered: &Reply, expected: &Reply) -> (String, String, String) {
    let what = match (answered, expected) {
        (Reply::Snapshot(a), Reply::Snapshot(b)) => {
            let (a, b) = (serde_json::to_value(a), serde_json::to_value(b));
            let path = a.ok().zip(b.ok()).and_then(|(a, b)| first_path(&a, &b, String::new()));
            let (path, a, b) = path.unwrap_or_default();
            return (format!("snapshot {path}"), a, b);
        }
        (Reply::Refused(a), Reply::Refused(b)) if a.class == b.class => "text",
        (Reply::Refused(_), _) | (_, Reply::Refused(_)) => "refusal",
        _ if op.to_line().starts_with("alloc") => "address",
        _ => "answer",
    };
    (what.to_owned(), format!("{answered:?}"), format!("{expected:?}"))
}

/// The figures that differ, by name, and both values of each.
fn in_figures(one: &Observation, other: &Observation) -> Option<(String, String, String)> {
    let (mut keys, mut is, mut was) = (Vec::new(), Vec::new(), Vec::new());
    for (place, (a, b)) in one.devices.iter().zip(&other.devices).enumerate() {
        for key in Key::all().filter(|&k| a.stats.value(k) != b.stats.value(k)) {
            keys.push(key.to_string());
            is.push(format!("{place}:{key}={}", a.stats.value(key)));
            was.push(format!("{place}:{key}={}", b.stats.value(key)));
        }
    }
    if keys.is_empty() {
        let (a, b) = (serde_json::to_value(one).ok()?, serde_json::to_value(other).ok()?);
        let (path, a, b) = first_path(&a, &b, String::new())?;
        return Some((format!("device {path}"), a, b));
    }
    Some((format!("figures {}", keys.join(" ")), is.join(" "), was.join(" ")))
}

/// The figures of the changed allocator that its own snapshot contradicts: whatever it chose, these are wrong.
fn miscounts(target: &mut dyn target::Target) -> Vec<String> {
    let mut seen = Observation::default();
    target.observe(&mut seen);
    let Reply::Snapshot(snapshot) = target.apply(&Op::Snapshot) else { return Vec::new() };
    let mut wrong = Vec::new();
    for (place, device) in seen.devices.iter().enumerate() {
        for (row, kind) in
            [(Row::SmallPool, Some(PoolKind::Small)), (Row::LargePool, Some(PoolKind::Large)), (Row::All, None)]
        {
            let counted = counted(&snapshot, u32::try_from(place).unwrap_or(0), kind);
            for (family, value) in counted {
                if device.stats.get(family, row).current != value {
                    wrong.push(format!("{}.{}", family.name(), row.name()));
                }
            }
        }
    }
    wrong.sort();
    wrong.dedup();
    wrong
}

fn counted(snapshot: &Snapshot, device: u32, kind: Option<PoolKind>) -> Vec<(Family, i64)> {
    let mut sums = std::collections::BTreeMap::new();
    for family in Family::ALL {
        sums.insert(*family, 0);
    }
    for segment in snapshot.segments.iter().filter(|s| s.device == device && kind.is_none_or(|k| k == s.segment_type)) {
        let mut add = |family, value: u64| *sums.entry(family).or_insert(0) += value.cast_signed();
        add(Family::ReservedBytes, segment.total_size);
        add(Family::Segment, u64::from(!segment.is_expandable));
        for block in &segment.blocks {
            match block.state {
                BlockState::ActiveAllocated => {
                    add(Family::Allocation, 1);
                    add(Family::AllocatedBytes, block.size);
                }
                BlockState::ActivePendingFree => {}
                BlockState::Inactive => {
                    let split = !segment.is_expandable && segment.blocks.len() > 1;
                    add(Family::InactiveSplit, u64::from(split));
                    add(Family::InactiveSplitBytes, if split { block.size } else { 0 });
                    continue;
                }
            }
            add(Family::Active, 1);
            add(Family::ActiveBytes, block.size);
            add(Family::RequestedBytes, block.requested_size);
        }
    }
    sums.into_iter().collect()
}

/// An answer without what nobody may rely on: what a free block was asked for last.
fn meaning(mut reply: Reply) -> Reply {
    if let Reply::Snapshot(snapshot) = &mut reply {
        let blocks = snapshot.segments.iter_mut().flat_map(|s| &mut s.blocks);
        blocks.filter(|b| b.state == BlockState::Inactive).for_each(|b| b.requested_size = 0);
    }
    reply
}

fn cut(text: &str) -> String {
    text.chars().take(300).collect()
}

/// Where two values first differ.
fn first_path(a: &Value, b: &Value, at: String) -> Option<(String, String, String)> {
    match (a, b) {
        (Value::Object(x), Value::Object(y)) => {
            x.iter().find_map(|(k, v)| first_path(v, y.get(k)?, format!("{at}.{k}")))
        }
        (Value::Array(x), Value::Array(y)) if x.len() == y.len() => {
            x.iter().zip(y).find_map(|(v, w)| first_path(v, w, format!("{at}[]")))
        }
        (a, b) if a != b => Some((at, a.to_string(), b.to_string())),
        _ => None,
    }
}
