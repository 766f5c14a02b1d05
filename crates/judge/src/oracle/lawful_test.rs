//! No judge convicts the lawful: recordings of the real allocator, replayed as observations.
//!
//! The recordings are those of `tests/recordings`. Their free figures are not recorded at each step and are
//! taken to follow what is reserved.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};

use serde_json::Value;

use crate::model::{Effect, Law, MilestoneTracker, Model};
use crate::op::stats::Key;
use crate::op::{
    BlockId, DeviceId, DeviceView, GraphName, Milestone, Observation, Op, OracleName, PoolName, PoolSource,
    RefusalClass, Reply, StreamId, TargetInfo, Via,
};
use crate::oracle::{Moved, Oracle, Seen, build, fixture};

/// What one recording came to.
struct Replay {
    info: TargetInfo,
    model: Model,
    oracles: Vec<Box<dyn Oracle>>,
    milestones: MilestoneTracker,
    now: Observation,
    /// Free memory of each device in this episode while nothing is reserved.
    free: Vec<i64>,
    steps: u64,
    convictions: Vec<String>,
}

impl Replay {
    fn new(header: &Value) -> Self {
        let mut info = fixture::info();
        let devices = header["devices"].as_array().expect("a header");
        info.devices = devices
            .iter()
            .map(|d| crate::op::DeviceInfo::whole("", d["total_bytes"].as_u64().expect("bytes")))
            .collect();
        info.streams = 4;
        // What the settings promise: see the contract of the reference as a target.
        let has = |setting: &str| header["config"].as_str().is_some_and(|c| c.contains(setting));
        info.contract.growth.least = if has("large_segment_size_mb:64") { 64 } else { 20 } << 20;
        info.contract.growth.numerator = if has("roundup_power2_divisions") { 2 } else { 1 };
        let expandable = has("expandable_segments:True");
        info.contract.counts_segments = !expandable;
        if expandable {
            info.contract.growth.granule = 20 << 20;
        }
        let (model, milestones) = (Model::new(&info), MilestoneTracker::new(&info));
        Replay {
            info,
            model,
            oracles: Vec::new(),
            milestones,
            now: Observation::default(),
            free: Vec::new(),
            steps: 0,
            convictions: Vec::new(),
        }
    }

    fn start(&mut self, episode: &Value) {
        self.now.devices = (0..self.info.devices.len())
            .map(|d| {
                let mut view = DeviceView {
                    total_bytes: self.info.devices[d].total_bytes,
                    idle: u64::MAX,
                    // Others were on the card, so that what a text says was free need not be what is worked out here.
                    crowded: true,
                    ..DeviceView::default()
                };
                let fraction = episode["fraction"][d.to_string()].as_f64().unwrap_or(1.0);
                view.fraction = readback(fraction, view.total_bytes);
                view
            })
            .collect();
        self.observe(episode);
        self.model = Model::new(&self.info);
        let all = OracleName::ALL.iter().copied().collect();
        self.oracles = build(&all, &self.info, &self.now);
    }

    fn observe(&mut self, line: &Value) {
        for (d, view) in self.now.devices.iter_mut().enumerate() {
            let name = d.to_string();
            for (key, value) in line["stats"][&name].as_object().into_iter().flatten() {
                view.stats.set(Key::parse(key).expect("a key"), value.as_i64().expect("a figure"));
            }
            if let Some(idle) = line["idle"][&name].as_array() {
                view.idle = idle.iter().map(|s| 1 << s.as_u64().expect("a stream")).sum();
            }
            let reserved = view.stats.all(crate::op::Family::ReservedBytes).current;
            view.free_bytes = u64::try_from(self.free[d] - reserved).unwrap_or(0);
        }
    }

    fn step(&mut self, line: &Value) {
        let Some((op, reply)) = translate(line) else { return };
        let before = self.now.clone();
        self.observe(line);
        if let (Op::SetFraction { device: Some(device), fraction }, Reply::Done) = (&op, &reply) {
            let view = &mut self.now.devices[device.index(8).expect("exists")];
            view.fraction = readback(*fraction, view.total_bytes);
        }
        let current = line["current_device"].as_i64().and_then(|d| i32::try_from(d).ok());
        if let Some(device) = current {
            self.model.apply(&Op::SetCurrent { device: DeviceId(device) }, &Reply::Done, &before);
        }
        let hidden = self.hidden(line);
        assert_eq!(self.model.admits(&op), Ok(()), "recordings only ask what can be asked: {}", op.to_line());
        let law = self.model.law(&op);
        let mut effect = self.model.apply(&op, &reply, &self.now);
        self.milestones.note(&op, &reply, &effect, &before, &self.now, &self.model);
        if !hidden {
            self.judge(&op, &reply, law, effect, &before);
        }
        if line["synchronized"] == true {
            let device = DeviceId(i32::try_from(line["device"].as_i64().expect("a device")).expect("small"));
            effect = self.model.apply(&Op::Synchronize { device }, &Reply::Done, &self.now);
            assert_eq!(effect, Effect::None);
        }
    }

    /// Blocks that PyTorch got and gave back on its own account inside another operation: live like any other, but
    /// figures between them and the operation are not known, so that the step is not judged.
    fn hidden(&mut self, line: &Value) -> bool {
        let events: Vec<&Value> = line["internal"].as_array().into_iter().flatten().collect();
        for event in &events {
            let address = event[2].as_u64().expect("an address");
            let block = BlockId(0xE000_0000 | u32::try_from(address >> 9 & 0xff_ffff).expect("24 bits"));
            let (op, reply) = if event[0] == "alloc" {
                let stream = StreamId(u8::try_from(line["stream"].as_u64().unwrap_or(0)).expect("small"));
                let device = Some(DeviceId(i32::try_from(event[1].as_i64().expect("a device")).expect("small")));
                let bytes = event[3].as_u64().expect("bytes");
                (Op::Alloc { block, device, stream, bytes, via: Via::Raw }, Reply::Allocated { address })
            } else {
                (Op::Free { block }, Reply::Done)
            };
            self.model.apply(&op, &reply, &self.now);
        }
        !events.is_empty()
    }

    fn judge(&mut self, op: &Op, reply: &Reply, law: Law, effect: Effect, before: &Observation) {
        let (model, after) = (&self.model, &self.now);
        let mut moved = Moved::default();
        moved.become_of(before, after);
        let seen = Seen {
            op: Some(op),
            reply,
            expect: None,
            before,
            after,
            moved: &moved,
            law,
            effect,
            model,
            is_retry: false,
            is_end: false,
            events: None,
            misuse: &[],
        };
        let mut found = Vec::new();
        self.oracles.iter_mut().for_each(|o| o.judge(&seen, &mut found));
        self.steps += 1;
        let step = self.steps;
        let line =
            |v: crate::verdict::Violation| format!("{step} {:?} {:?}: {}", v.oracle, v.requirement, v.message.en);
        self.convictions.extend(found.into_iter().map(line));
    }
}

fn readback(fraction: f64, total: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "devices are far smaller than 2^53 bytes")]
    crate::model::limit_bytes(fraction, total).map_or(1.0, |limit| limit as f64 / total as f64)
}

fn translate(line: &Value) -> Option<(Op, Reply)> {
    let number = |key: &str| line[key].as_u64();
    let device = || DeviceId(line["device"].as_i64().and_then(|d| i32::try_from(d).ok()).unwrap_or(0));
    let block = || BlockId(u32::try_from(number("block").expect("a block")).expect("small"));
    let stream = || StreamId(u8::try_from(number("stream").expect("a stream")).expect("small"));
    let op = match line["op"].as_str()? {
        "alloc" => {
            let via = if line["via"] == "raw" { Via::Raw } else { Via::Tensor };
            let bytes = number("bytes").expect("bytes");
            let op = Op::Alloc { block: block(), device: Some(device()), stream: stream(), bytes, via };
            let reply = match number("address") {
                Some(address) => Reply::Allocated { address },
                None => Reply::refused(RefusalClass::OutOfMemory, line["error"]["message"].as_str().unwrap_or("")),
            };
            return Some((op, reply));
        }
        "free" => Op::Free { block: block() },
        "record_stream" => Op::RecordStream { block: block(), stream: stream() },
        "occupy" => Op::Occupy { device: device(), stream: stream() },
        "wait_stream" => {
            let on = StreamId(u8::try_from(number("on").expect("a stream")).expect("small"));
            Op::WaitStream { device: device(), stream: stream(), on }
        }
        "synchronize" => Op::Synchronize { device: device() },
        "empty_cache" => Op::EmptyCache,
        "reset_peak" => Op::ResetPeak { device: device() },
        "reset_accumulated" => Op::ResetAccumulated { device: device() },
        "set_fraction" => {
            Op::SetFraction { device: Some(device()), fraction: line["fraction"].as_f64().expect("a fraction") }
        }
        other => return Some((translate_pools(other, line), Reply::Done)),
    };
    Some((op, Reply::Done))
}

fn translate_pools(name: &str, line: &Value) -> Op {
    let small = |value: &Value| u32::try_from(value.as_u64().expect("a number")).expect("small");
    let device = DeviceId(line["device"].as_i64().and_then(|d| i32::try_from(d).ok()).unwrap_or(0));
    let pool = || PoolName(small(&line["pool"]));
    let graph = || GraphName(small(&line["graph"]));
    match name {
        "pool_create" => {
            let (use_on_oom, no_split) = (line["use_on_oom"] == true, line["no_split"] == true);
            Op::PoolCreate { pool: pool(), device, use_on_oom, no_split }
        }
        "pool_enter" => Op::PoolEnter { pool: pool(), device },
        "pool_exit" => Op::PoolExit { pool: pool(), device },
        "pool_delete" => Op::PoolDelete { pool: pool() },
        "capture_begin" => {
            let shared = |text: &str| text.strip_prefix("graph:").and_then(|n| n.parse().ok()).expect("a graph");
            let source = match &line["pool"] {
                Value::Null => None,
                Value::String(text) => Some(PoolSource::Graph(GraphName(shared(text)))),
                number => Some(PoolSource::Pool(PoolName(small(number)))),
            };
            let stream = StreamId(u8::try_from(line["stream"].as_u64().expect("a stream")).expect("small"));
            Op::CaptureBegin { graph: graph(), device, stream, pool: source }
        }
        "capture_end" => Op::CaptureEnd { graph: graph() },
        "graph_reset" => Op::GraphReset { graph: graph() },
        other => panic!("unknown operation {other}"),
    }
}

fn replay(path: &std::path::Path) -> Replay {
    let file = std::fs::File::open(path).expect("a recording");
    let lines = BufReader::new(flate2::read::GzDecoder::new(file)).lines();
    let parse = |line: std::io::Result<String>| -> Value {
        serde_json::from_str(&line.expect("readable")).expect("a line of JSON")
    };
    let lines: Vec<Value> = lines.map(parse).collect();
    let mut replay = Replay::new(&lines[0]);
    replay.free = unreserved(&lines);
    for line in &lines {
        if line.get("episode").is_some() && line.get("op").is_none() {
            replay.start(line);
        } else if line.get("op").is_some() {
            replay.step(line);
        }
    }
    replay
}

/// What each device has free with nothing reserved: its free figure at the end of the first episode and what
/// was reserved then. The header's figure is older than the process's own use of the device.
fn unreserved(lines: &[Value]) -> Vec<i64> {
    let end = lines.iter().position(|line| line.get("end").is_some()).expect("an episode ends");
    let free = |d: usize| {
        let name = d.to_string();
        let reserved = |line: &Value| line["stats"][&name]["reserved_bytes.all.current"].as_i64();
        let last = lines[..end].iter().rev().find_map(reserved).unwrap_or(0);
        lines[end]["free_bytes"][&name].as_i64().expect("a figure") + last
    };
    (0..lines[0]["devices"].as_array().expect("a header").len()).map(free).collect()
}

/// With expandable segments the allocator holds a request's size against the limit and then maps whole pages:
/// a true finding.
const KNOWN: &str = "expandable-pressure.jsonl.gz: 244 Limit Some(FRAC-01): reserved memory of device 0 grew to \
     2.8 GiB (3003121664 B), 902.4 KiB (924058 B) past the limit of 2.8 GiB (3002197606 B)";

#[test]
fn recordings_of_the_real_allocator_are_not_convicted() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/recordings");
    let mut files: Vec<_> = std::fs::read_dir(folder).expect("a folder").map(|e| e.expect("an entry").path()).collect();
    files.sort();
    let mut reached = BTreeSet::new();
    let mut convicted = Vec::new();
    let mut steps = 0;
    for path in files.iter().filter(|p| p.extension().is_some_and(|e| e == "gz")) {
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let replay = replay(path);
        steps += replay.steps;
        reached.extend(replay.milestones.reached());
        convicted.extend(replay.convictions.into_iter().map(|line| format!("{name}: {line}")));
    }
    assert_eq!(convicted, [KNOWN]);
    assert!(steps >= 7000, "{steps} steps");
    for milestone in [
        Milestone::RetrySucceeded,
        Milestone::PendingResolved,
        Milestone::Merge,
        Milestone::CrossDeviceCall,
        Milestone::NestedPools,
        Milestone::GraphCaptured,
        Milestone::PoolDied,
        Milestone::FreeDeferred,
    ] {
        assert!(reached.contains(&milestone), "{milestone:?}");
    }
}
