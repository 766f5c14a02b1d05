//! From what was written to what it means: a checked `Scenario`, or everything that is wrong with it.
//!
//! Decides what makes sense together. Does not decide the form of single values (`raw`).

mod combine;
mod expect;
mod generate;
mod need;
mod pools;
mod reach;
mod steps;
mod streams;
mod world;

use std::collections::BTreeSet;
use std::hash::{Hash, Hasher};
use std::ops::RangeInclusive;

use rustc_hash::FxHasher;

use super::error::{Complaint, MOST_TOLD};
use super::locate::{Path, Segment};
use super::raw::{Either, Ordered, RawScenario, RawStep, Scalar, Span};
use super::scenario::{Body, Generate, Scenario, Variant};
use crate::op::{Capability, Combination, Milestone, OracleName, StreamId};
use crate::requirement::Severity;

/// A mistake at a place that is yet to be looked up.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Problem {
    pub path: Vec<Segment>,
    pub complaint: Complaint,
}

/// What is wrong with a document: what can be told, and how much more there is.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub kept: Vec<Problem>,
    pub more: usize,
}

/// What is wrong with a document. Variants and repetitions say a thing once.
#[derive(Debug, Default)]
pub(super) struct Problems {
    found: Found,
    /// Fingerprints of what was said.
    said: BTreeSet<u64>,
}

impl Problems {
    fn add(&mut self, path: &Path<'_>, complaint: Complaint) {
        let problem = Problem { path: path.segments(), complaint };
        let mut hasher = FxHasher::default();
        (&problem.path, &problem.complaint.message).hash(&mut hasher);
        if !self.said.insert(hasher.finish()) {
            return;
        }
        if self.is_full() { self.found.more += 1 } else { self.found.kept.push(problem) }
    }

    fn is_empty(&self) -> bool {
        self.found.kept.is_empty()
    }

    /// Whether more will only be counted, so that hints are not worth their time.
    fn is_full(&self) -> bool {
        self.found.kept.len() >= MOST_TOLD
    }

    fn count(&self) -> usize {
        self.said.len()
    }
}

/// The devices and streams that operations can name.
#[derive(Debug, Clone)]
pub(super) struct World {
    pub devices: RangeInclusive<u8>,
    pub streams: u8,
}

/// More devices than any simulated world needs; keeps a slip of the pen from asking for 4 billion.
const MOST_DEVICES: u32 = 16;
/// More combinations of `for_each` than anyone means.
const MOST_VARIANTS: usize = 4096;
/// More variables than anyone means: two values of each would be more combinations than are allowed.
const MOST_VARIABLES: usize = 64;
/// Steps of all combinations together; a sequence alone has fewer.
const MOST_STEPS_IN_ALL: usize = 400_000;
/// Device capacities unless given, in turn: different sizes catch what mixes devices up.
const CAPACITIES: [u64; 4] = [1 << 30, 512 << 20, 2 << 30, 256 << 20];
const STREAMS: u8 = 4;

/// Checks one document.
pub(super) fn scenario(raw: &RawScenario, file: &str) -> Result<Scenario, Found> {
    let mut problems = Problems::default();
    let root = Path::ROOT;
    identity(raw, &mut problems);
    let world = World { devices: devices(raw, &mut problems), streams: streams(raw, &mut problems) };
    let body = body(raw, &world, &mut problems);
    let requirement = raw.requirement.0;
    let mut requires: BTreeSet<Capability> = raw.requires.iter().map(|c| c.0).collect();
    if *world.devices.start() > 1 {
        requires.insert(Capability::Devices(*world.devices.start()));
    }
    let oracles = match &raw.oracles {
        None | Some(Either::Scalar(_)) => OracleName::ALL.iter().copied().collect(),
        Some(Either::Container(listed)) => listed.clone(),
    };
    if raw.config.as_ref().is_some_and(|c| c.trim().is_empty()) {
        problems.add(&root.key("config"), Complaint::new("no setting is given").hint("leave the key out"));
    }
    if oracles.is_empty() {
        problems.add(&root.key("oracles"), Complaint::new("no oracle judges this").hint("leave the key out for all"));
    }
    let device_bytes = device_bytes(raw, &mut problems);
    if let Some(Body::Generate(Generate { world: Some(drawn), .. })) = &body {
        world::check(raw, drawn, &mut problems);
    }
    let (milestones, combinations) = demands(raw, &mut problems);
    let Some(body) = body else { return Err(problems.found) };
    let scenario = Scenario {
        id: format!("{}::{}", requirement.area().code().to_lowercase(), raw.scenario),
        file: file.to_owned(),
        requirement,
        title: raw.title.clone(),
        severity: severity(raw, &mut problems),
        effort_days: raw.effort_days,
        requires,
        devices: world.devices,
        device_bytes,
        streams: world.streams,
        config: raw.config.clone(),
        oracles,
        must_reach: milestones.iter().map(|(_, milestone)| *milestone).collect(),
        must_combine: combinations.iter().map(|(_, combination)| combination.clone()).collect(),
        exact_world: raw.exact_world.unwrap_or(false),
        epilogue: raw.epilogue.unwrap_or(true),
        body,
    };
    if problems.is_empty() {
        need::check(&scenario, &mut problems);
    }
    reach::check(&scenario, &milestones, &combinations, &mut problems);
    if problems.is_empty() { Ok(scenario) } else { Err(problems.found) }
}

/// Situations and combinations that are demanded, each with its place in the list.
type Demands = (Vec<(usize, Milestone)>, Vec<(usize, Combination)>);

fn demands(raw: &RawScenario, problems: &mut Problems) -> Demands {
    let (root, mut milestones, mut combinations) = (Path::ROOT, Vec::new(), Vec::new());
    let list = root.key("must_reach");
    for (index, demand) in raw.must_reach.iter().enumerate() {
        match demand {
            Either::Scalar(milestone) => milestones.push((index, *milestone)),
            Either::Container(raw) => combinations.push((index, combine::lower(raw, &list.index(index), problems))),
        }
    }
    (milestones, combinations)
}

fn identity(raw: &RawScenario, problems: &mut Problems) {
    let root = Path::ROOT;
    let word = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    if !raw.scenario.split('-').all(word) {
        let lower = raw.scenario.to_lowercase();
        let parts: Vec<&str> = lower.split(|c: char| !c.is_ascii_alphanumeric()).filter(|p| !p.is_empty()).collect();
        let complaint = Complaint::new(format!("`{}` is not a name in kebab-case", raw.scenario));
        let hint = if parts.is_empty() { "for example `out-of-range`".to_owned() } else { parts.join("-") };
        problems.add(&root.key("scenario"), complaint.hint(format!("small letters, digits and `-`: {hint}")));
    }
    for (language, text) in [("en", &raw.title.en), ("zh", &raw.title.zh)] {
        if text.trim().is_empty() {
            problems
                .add(&root.key("title").key(language), Complaint::new(format!("the title in `{language}` is empty")));
        }
    }
    if !(raw.effort_days.is_finite() && raw.effort_days >= 0.0) {
        let complaint = Complaint::new(format!("{} is not a number of person-days", raw.effort_days));
        problems.add(&root.key("effort_days"), complaint);
    }
}

/// The promise's, or what the scenario raises it to.
fn severity(raw: &RawScenario, problems: &mut Problems) -> Severity {
    let id = raw.requirement.0;
    let promised = id.get().severity;
    let Some(said) = raw.severity else { return promised };
    // the worst is the first
    if said > promised {
        let complaint =
            Complaint::new(format!("a violation of {id} is {} at least, not {}", promised.name(), said.name()));
        let hint = "leave the key out: a scenario may only raise the severity of its promise";
        problems.add(&Path::ROOT.key("severity"), complaint.hint(hint));
    }
    said.min(promised)
}

fn devices(raw: &RawScenario, problems: &mut Problems) -> RangeInclusive<u8> {
    let Some(Span(span)) = &raw.devices else { return 1..=1 };
    if *span.start() == 0 || *span.end() > MOST_DEVICES {
        let complaint = Complaint::new(format!("a scenario has 1 to {MOST_DEVICES} devices"));
        problems.add(&Path::ROOT.key("devices"), complaint);
    }
    let narrow = |n: u32| u8::try_from(n.clamp(1, MOST_DEVICES)).unwrap_or(1);
    narrow(*span.start())..=narrow(*span.end())
}

fn streams(raw: &RawScenario, problems: &mut Problems) -> u8 {
    let streams = raw.streams.unwrap_or(STREAMS);
    if !(1..=StreamId::LIMIT).contains(&streams) {
        let complaint = Complaint::new(format!("a device has 1 to {} streams", StreamId::LIMIT));
        problems.add(&Path::ROOT.key("streams"), complaint);
    }
    streams.clamp(1, StreamId::LIMIT)
}

fn device_bytes(raw: &RawScenario, problems: &mut Problems) -> Vec<u64> {
    let sizes = match &raw.device_bytes {
        None => return CAPACITIES.to_vec(),
        Some(Either::Scalar(size)) => vec![size.0],
        Some(Either::Container(sizes)) => sizes.iter().map(|s| s.0).collect(),
    };
    let root = Path::ROOT;
    let here = root.key("device_bytes");
    if sizes.is_empty() {
        problems.add(&here, Complaint::new("the list of capacities is empty"));
    }
    if let Some(zero) = sizes.iter().position(|&s| s == 0 || i64::try_from(s).is_err()) {
        let complaint = Complaint::new(format!("no device has a capacity of {} B", sizes[zero]));
        let place = if sizes.len() > 1 { here.index(zero) } else { here };
        problems.add(&place, complaint);
    }
    sizes
}

fn body(raw: &RawScenario, world: &World, problems: &mut Problems) -> Option<Body> {
    let root = Path::ROOT;
    match (&raw.steps, &raw.generate) {
        (Some(steps), None) => Some(Body::Steps(variants(steps, raw.for_each.as_ref(), world, problems))),
        (None, Some(generate)) => {
            if raw.for_each.is_some() {
                let complaint = Complaint::new("`for_each` gives values to `steps`; generated sequences have none");
                problems.add(&root.key("for_each"), complaint);
            }
            generate::lower(generate, world, problems).map(Body::Generate)
        }
        (Some(_), Some(_)) => {
            let complaint = Complaint::new("both `steps` and `generate`: a scenario has one of them");
            problems
                .add(&root.key("generate"), complaint.hint("put the other into a document of its own, after `---`"));
            None
        }
        (None, None) => {
            let complaint = Complaint::new("neither `steps` nor `generate`: there is nothing to run");
            problems.add(&root.key("scenario"), complaint);
            None
        }
    }
}

/// One value of a `for_each` variable, and where it stands in its list.
#[derive(Debug, Clone, Copy)]
pub(super) struct Binding<'a> {
    name: &'a str,
    index: usize,
    value: &'a Scalar,
}

/// Every combination of values, the first variable changing slowest; one more than allowed at most.
fn combinations(for_each: &Ordered<Vec<Scalar>>) -> Vec<Vec<Binding<'_>>> {
    let mut all = vec![Vec::new()];
    for (name, values) in &for_each.0 {
        let mut longer = Vec::new();
        for shorter in &all {
            for (index, value) in values.iter().enumerate() {
                let mut bindings: Vec<Binding<'_>> = shorter.clone();
                bindings.push(Binding { name, index, value });
                longer.push(bindings);
            }
            if longer.len() > MOST_VARIANTS {
                break;
            }
        }
        all = longer;
    }
    all
}

fn variants(
    steps: &[RawStep],
    for_each: Option<&Ordered<Vec<Scalar>>>,
    world: &World,
    problems: &mut Problems,
) -> Vec<Variant> {
    let root = Path::ROOT;
    let none = Ordered::default();
    if steps.is_empty() {
        problems.add(&root.key("steps"), Complaint::new("the list of steps is empty"));
    }
    if for_each.is_some_and(|f| f.0.is_empty()) {
        problems.add(&root.key("for_each"), Complaint::new("`for_each` over nothing: name a variable and its values"));
    }
    let for_each = for_each.unwrap_or(&none);
    for (name, values) in &for_each.0 {
        if values.is_empty() {
            let complaint = Complaint::new(format!("`for_each` over nothing: `{name}` has no values"));
            problems.add(&root.key("for_each").key(name), complaint);
        }
    }
    if for_each.0.len() > MOST_VARIABLES {
        problems.add(&root.key("for_each"), Complaint::new(format!("more than {MOST_VARIABLES} variables")));
        return Vec::new();
    }
    let combinations = combinations(for_each);
    if combinations.len() > MOST_VARIANTS {
        problems.add(&root.key("for_each"), Complaint::new(format!("more than {MOST_VARIANTS} combinations")));
        return Vec::new();
    }
    let mut used = BTreeSet::new();
    let mut variants = Vec::new();
    let mut in_all = 0;
    for bindings in &combinations {
        let label: Vec<String> = bindings.iter().map(|b| format!("{} = {}", b.name, b.value)).collect();
        let (steps, names, shares) = steps::lower(steps, bindings, world, &mut used, problems);
        in_all += steps.len();
        variants.push(Variant { label: label.join(", "), steps, names, shares });
        if in_all > MOST_STEPS_IN_ALL {
            let message = format!("more than {MOST_STEPS_IN_ALL} steps in all its combinations");
            problems.add(&root.key("for_each"), Complaint::new(message));
        }
        // With so much wrong there is no scenario in the end, and what else is wrong is not told.
        if in_all > MOST_STEPS_IN_ALL || problems.is_full() {
            return variants;
        }
    }
    for (name, values) in &for_each.0 {
        if !used.contains(name) && !values.is_empty() && !combinations.is_empty() {
            let complaint = Complaint::new(format!("`for_each` variable `{name}` is never used"));
            problems.add(&root.key("for_each").key(name), complaint.hint(format!("write `${name}` in the steps")));
        }
    }
    variants
}
