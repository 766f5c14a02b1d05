//! Three runs that run out of memory for a reason that is planted, made on a simulated card and recorded.
//!
//! Decides the overviews of the runs. The files in `tests/explain/` are what is made here, and a test says so:
//! `UPDATE_PLANTED=1 cargo test planted` writes them anew.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::device::StreamHandle;
use crate::device::sim::SimDevice;
use crate::op::Stats;
use crate::op::StreamId;
use crate::op::stats::Key;
use crate::reference::{AllocError, Catch, Reference, Sound};

const MIB: u64 = 1 << 20;
const CARD: u64 = 256 * MIB;
const STREAMS: u8 = 3;

/// A run that is recorded while it goes.
struct Take {
    reference: Reference<SimDevice, Sound>,
    lines: Vec<String>,
    last: Stats,
    blocks: BTreeMap<u64, u64>,
    next: u64,
}

impl Take {
    fn new() -> Self {
        let device = SimDevice::new(0, CARD, STREAMS);
        let streams: Vec<u64> = (0..STREAMS).map(|s| device.stream_handle(StreamId(s)).0).collect();
        let mut reference = Reference::new(vec![device], &"".parse().expect("no settings"), Sound);
        reference.record_trace();
        let header = json!({
            "trace": "poolproof/1", "recorded_from": "reference@sim", "profile": "planted", "config": "",
            "backend": "native", "devices": [{"index": 0, "name": "simulated", "total_bytes": CARD}],
        });
        // The first key of a line says what it is.
        let rest = json!({"fraction": {"0": 1.0}, "streams": {"0": streams}, "stats": {"0": {"max_split_size": -1}}});
        let episode = format!("{{\"episode\":0,{}", &rest.to_string()[1..]);
        let header = format!("{{\"trace\":\"poolproof/1\",{}", &without_trace(header)[1..]);
        let last = *reference.device(0).stats();
        Take { reference, lines: vec![header, episode], last, blocks: BTreeMap::new(), next: 0 }
    }

    fn handle(&self, stream: u8) -> StreamHandle {
        self.reference.device(0).device().stream_handle(StreamId(stream))
    }

    fn line(&mut self, op: &str, mut fields: Value) {
        let now = *self.reference.device(0).stats();
        let changed = Key::all().filter(|&key| now.value(key) != self.last.value(key));
        let stats: serde_json::Map<String, Value> =
            changed.map(|key| (key.to_string(), now.value(key).into())).collect();
        self.last = now;
        fields["stats"] = json!({ "0": stats });
        self.lines.push(format!("{{\"op\":\"{op}\",{}", &fields.to_string()[1..]));
    }

    fn alloc(&mut self, mib: f64, stream: u8) -> u64 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few hundred, and exact")]
        let bytes = (mib * 1_048_576.0) as u64;
        let block = self.next;
        self.next += 1;
        let handle = self.handle(stream);
        let mut fields = json!({"block": block, "device": 0, "stream": stream, "bytes": bytes, "via": "raw"});
        match self.reference.device_mut(0).alloc(bytes, handle) {
            Ok(address) => {
                self.blocks.insert(block, address);
                fields["address"] = address.into();
            }
            Err(AllocError::OutOfMemory(refusal)) => {
                fields["error"] = json!({"type": "OutOfMemoryError", "message": refusal.to_string()});
            }
            Err(error) => panic!("{error}"),
        }
        self.line("alloc", fields);
        block
    }

    fn free(&mut self, block: u64) {
        let address = self.blocks.remove(&block).expect("a live block");
        self.reference.free(address).expect("it is live");
        self.line("free", json!({"block": block, "device": 0, "via": "raw"}));
    }

    fn capture(&mut self, graph: u64, stream: u8) {
        let handle = self.handle(stream);
        self.reference.device_mut(0).begin_redirection((graph, 0), Catch::Stream(handle));
        self.line("capture_begin", json!({"device": 0, "stream": stream, "graph": graph, "id": [graph, 0]}));
    }

    fn end_capture(&mut self, graph: u64) {
        self.reference.device_mut(0).end_redirection((graph, 0)).expect("it captures");
        self.line("capture_end", json!({"device": 0, "graph": graph}));
    }

    fn finish(mut self) -> String {
        let trace = self.reference.device_mut(0).taken_trace();
        let events: Vec<Value> = trace.iter().map(|e| json!([e.action, 0, e.address, e.bytes, e.stream])).collect();
        let rest = json!({"events": events, "segments": self.reference.snapshot().segments});
        self.lines.push(format!("{{\"end\":0,{}", &rest.to_string()[1..]));
        self.lines.join("\n") + "\n"
    }
}

fn without_trace(mut header: Value) -> String {
    header.as_object_mut().expect("an object").remove("trace");
    header.to_string()
}

/// Five pieces of work of 40 MiB; each, as it ends, leaves 2 MiB of results in its place, and work of 38 MiB beside it.
fn pinned_on(take: &mut Take, stream: u8) {
    let works: Vec<u64> = (0..5).map(|_| take.alloc(40.0, stream)).collect();
    let mut fills = Vec::new();
    for work in works {
        take.free(work);
        take.alloc(2.0, stream);
        fills.push(take.alloc(38.0, stream));
    }
    fills.into_iter().for_each(|fill| take.free(fill));
}

/// What is left of the work is pinned by its results, when more is asked for than any piece holds.
fn fragmentation() -> String {
    let mut take = Take::new();
    pinned_on(&mut take, 0);
    take.alloc(64.0, 0);
    take.finish()
}

/// The same on another stream; then the default stream asks for less than lies idle in any piece.
fn stream_cache() -> String {
    let mut take = Take::new();
    take.alloc(8.0, 0);
    pinned_on(&mut take, 1);
    take.alloc(36.0, 0);
    take.alloc(30.0, 0);
    take.finish()
}

/// Two graphs keep what they worked with while they were captured.
fn graph_pool() -> String {
    let mut take = Take::new();
    take.alloc(10.0, 0);
    for graph in 1..=2 {
        take.capture(graph, 1);
        let work: Vec<u64> = (0..4).map(|_| take.alloc(20.0, 1)).collect();
        take.alloc(1.0, 1);
        work.into_iter().for_each(|block| take.free(block));
        take.end_capture(graph);
    }
    take.alloc(120.0, 0);
    take.finish()
}

type Written = fn() -> String;

/// The runs by the names of their files.
const PLANTED: [(&str, Written); 3] =
    [("fragmentation", fragmentation), ("stream-cache", stream_cache), ("graph-pool", graph_pool)];

/// Where a planted run is kept.
pub(super) fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/explain/{name}.jsonl"))
}

#[test]
fn the_planted_runs_are_what_is_kept() {
    for (name, run) in PLANTED {
        let made = run();
        if std::env::var_os("UPDATE_PLANTED").is_some() {
            std::fs::write(path(name), &made).expect("tests/explain can be written");
        }
        let kept = std::fs::read_to_string(path(name)).expect("UPDATE_PLANTED=1 writes it");
        assert_eq!(kept, made, "{name}");
    }
}
