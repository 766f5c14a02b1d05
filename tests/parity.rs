//! Parity: the same operations on a simulated device and on a GPU, answered alike.
//!
//! Decides what "alike" is. Replies are equal once every address is replaced by the order in which it first appeared,
//! snapshots of memory block by block, and so is everything seen between operations: statistics, free memory, fractions,
//! idle streams, fired faults. The GPU places its segments in the simulation's order here (`placement=ordered`): where
//! `cuMemAlloc` puts them decides between equally good blocks, so that answers may lawfully differ from there on.
//!
//! With a driver and a GPU the trials run on it. Without, a fake libcuda is built (`tests/fake_cuda`), which runs the
//! same calls on the processor, and fewer sequences (`PROPTEST_CASES` sets how many). A scenario that too few sequences
//! do not bring where it must is drawn more of; one that does not apply is listed as ignored, with what is missing.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};
use poolproof::engine::{self, Minimise, Plan, RunOptions, Silent, Stop};
use poolproof::op::snapshot::{BlockView, SegmentView};
use poolproof::op::{DeviceView, Observation, Op, Reply, Setup, TargetInfo};
use poolproof::spec::{self, Scenario, expect};
use poolproof::target::{self, Target, TargetError, TargetName};
use poolproof::verdict::Outcome;

#[expect(dead_code, reason = "each test uses some of it")]
mod fakes;

/// Areas that are tried on the fake driver, which really writes every byte.
const AREAS_ON_FAKE: [&str; 3] = ["strm::", "trim::", "leak::"];

/// As many sequences as `poolproof run` draws: whoever does not reach what it must by then does not pass there either.
const ENOUGH: u32 = 64;

fn main() -> ExitCode {
    match start() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

fn start() -> Result<ExitCode, Box<dyn Error>> {
    let gpu: TargetName = "reference@cuda?placement=ordered".parse()?;
    let fake = std::env::var_os(fakes::FAKE).is_some();
    let missing = target::unavailable(&gpu).map(|missing| missing.reason);
    if missing.is_some()
        && !fake
        && let Ok(folder) = fakes::cuda("parity-cuda", &[])
    {
        return Ok(fakes::start_again(&folder, &[])?);
    }
    let trials = trials(&gpu, fake, missing.as_deref())?;
    Ok(libtest_mimic::run(&Arguments::from_args(), trials).exit_code())
}

fn trials(gpu: &TargetName, fake: bool, missing: Option<&str>) -> Result<Vec<Trial>, Box<dyn Error>> {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok());
    let cases = cases.unwrap_or(if fake { 1 } else { 8 });
    let place = if fake { "fake" } else { "cuda" };
    let chosen = |s: &Scenario| !fake || AREAS_ON_FAKE.iter().any(|area| s.id.starts_with(area));
    let trial = |scenario: Scenario| {
        let (gpu, title) = (gpu.clone(), format!("parity@{place}::{}", scenario.id));
        let why_not = match missing {
            Some(reason) => Some(reason.to_owned()),
            None => lacks(&gpu, &scenario)?,
        };
        let trial = Trial::test(title, move || compare(&gpu, scenario, cases));
        Ok(match why_not {
            Some(reason) => trial.with_kind(reason).with_ignored_flag(true),
            None => trial,
        })
    };
    spec::built_in().into_iter().filter(chosen).map(trial).collect()
}

/// What the scenario needs and this machine's pair has not.
fn lacks(gpu: &TargetName, scenario: &Scenario) -> Result<Option<String>, TargetError> {
    let open = |setup: &Setup| Pair::open(gpu, setup).map(|pair| Box::new(pair) as Box<dyn Target>);
    let lacks = engine::lacks(&open, scenario)?.unwrap_or_default();
    Ok((!lacks.is_empty()).then(|| format!("needs {}", lacks.join(", "))))
}

/// Runs a scenario on both at once. A difference is a panic of the pair, which the engine turns into an outcome.
fn compare(gpu: &TargetName, scenario: Scenario, cases: u32) -> Result<(), Failed> {
    let open = |setup: &Setup| Pair::open(gpu, setup).map(|pair| Box::new(pair) as Box<dyn Target>);
    let mut options = RunOptions {
        target: gpu.clone(),
        plan: Plan::new(vec![scenario], &[], None)?,
        seed: 0,
        exact: true,
        cases: Some(cases),
        jobs: 1,
        time: None,
        minimise: Minimise::default(),
        stop: Stop::default(),
        out: Path::new(env!("CARGO_TARGET_TMPDIR")).join("parity"),
        regressions: None,
        command: "cargo test".to_owned(),
    };
    for cases in std::iter::successors(Some(cases), |cases| cases.checked_mul(4)) {
        options.cases = Some(cases);
        let mut record = engine::run_on(&open, &options, &Silent)?;
        let known = expect::built_in(&gpu.allocator, &gpu.place).map_err(|errors| format!("{errors:?}"))?;
        engine::expect::apply(&mut record, &known.iter().collect::<Vec<_>>());
        let [only] = &record.scenarios[..] else { return Err("one scenario was planned".into()) };
        match only.outcome {
            Outcome::Pass | Outcome::ExpectedFail => return Ok(()),
            // So few sequences may not reach what the scenario must.
            Outcome::Inconclusive if cases < ENOUGH => {}
            other => return Err(format!("{}: {}", other.name(), only.reason.clone().unwrap_or_default().en).into()),
        }
    }
    Err("no number of sequences is enough".into())
}

/// A simulated target and one on GPUs that are asked the same.
struct Pair {
    sim: Box<dyn Target>,
    gpu: Box<dyn Target>,
    info: TargetInfo,
    names: RefCell<[Names; 2]>,
    seen: Observation,
}

/// Addresses by the order in which they appeared.
#[derive(Default)]
struct Names(BTreeMap<String, usize>);

impl Names {
    /// The text with every address replaced by its number.
    fn plain(&mut self, text: &str) -> String {
        let mut parts = text.split("0x");
        let mut plain = parts.next().unwrap_or("").to_owned();
        for part in parts {
            let end = part.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(part.len());
            let next = self.0.len();
            let number = self.0.entry(part[..end].to_owned()).or_insert(next);
            plain.push_str(&format!("@{number}{}", &part[end..]));
        }
        plain
    }
}

impl Pair {
    fn open(name: &TargetName, setup: &Setup) -> Result<Self, TargetError> {
        let gpu = target::open_here(name, setup)?;
        let (count, streams) = (gpu.info().devices.len(), setup.streams);
        let device_bytes = setup.device_bytes.iter().copied().take(count).collect();
        let sim = target::open(&simulated(), &Setup { device_bytes, streams, config: setup.config.clone() })?;
        let (names, seen) = (RefCell::default(), Observation::default());
        Ok(Pair { info: gpu.info().clone(), sim, gpu, names, seen })
    }
}

fn simulated() -> TargetName {
    TargetName { allocator: "reference".to_owned(), place: "sim".to_owned(), options: Vec::new() }
}

/// A reply as text, with addresses in hexadecimal.
fn text(reply: &Reply) -> String {
    match reply {
        Reply::Refused(refusal) => format!("{:?}: {}", refusal.class, refusal.message),
        Reply::Allocated { address } => format!("{address:#x}"),
        Reply::Snapshot(snapshot) => snapshot.segments.iter().map(segment).collect::<Vec<_>>().join("\n"),
        other => format!("{other:?}"),
    }
}

/// A segment and its blocks, with everything that is known of them.
fn segment(segment: &SegmentView) -> String {
    let SegmentView { address, blocks, .. } = segment;
    let whole = SegmentView { address: 0, stream: 0, blocks: Vec::new(), ..segment.clone() };
    let mut text = format!("{address:#x} {whole:?}, stream {:#x}", segment.stream);
    for block in blocks {
        let BlockView { address: at, size, requested_size, state } = block;
        let offset = at.wrapping_sub(*address);
        text.push_str(&format!("\n  {at:#x} at {offset}: {size} B, {requested_size} B asked for, {state:?}"));
    }
    text
}

impl Target for Pair {
    fn info(&self) -> &TargetInfo {
        &self.info
    }

    fn apply(&mut self, op: &Op) -> Reply {
        let (sim, gpu) = (self.sim.apply(op), self.gpu.apply(op));
        let mut names = self.names.borrow_mut();
        let [on_sim, on_gpu] = &mut *names;
        let (a, b) = (on_sim.plain(&text(&sim)), on_gpu.plain(&text(&gpu)));
        assert_eq!(a, b, "{}: simulated and GPU differ ({sim:?}, {gpu:?})", op.to_line());
        gpu
    }

    fn observe(&mut self, into: &mut Observation) {
        self.sim.observe(&mut self.seen);
        self.gpu.observe(into);
        assert_eq!(self.seen.devices.len(), into.devices.len(), "as many devices on both");
        for (index, (sim, gpu)) in self.seen.devices.iter().zip(&into.devices).enumerate() {
            let gpu = DeviceView { nvml: None, ..*gpu }; // a simulated device has no second opinion
            if *sim != gpu {
                panic!("device {index} looks different: {}", differences(sim, &gpu));
            }
        }
    }
}

fn differences(sim: &DeviceView, gpu: &DeviceView) -> String {
    let mut all: Vec<String> = sim
        .stats
        .dictionary()
        .into_iter()
        .zip(gpu.stats.dictionary())
        .filter(|(a, b)| a != b)
        .map(|((name, a), (_, b))| format!("{name} {a} and {b}"))
        .collect();
    let plain = |v: &DeviceView| format!("{:?}", (v.free_bytes, v.total_bytes, v.fraction, v.idle, v.faults_fired));
    if plain(sim) != plain(gpu) {
        all.push(format!("free, total, fraction, idle, faults: {} and {}", plain(sim), plain(gpu)));
    }
    all.join("; ")
}
