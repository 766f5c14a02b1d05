//! Recordings: JSON lines as they are, gzip as it is, or lines made of hostile values; read, lived again, and tried
//! under other settings.
//!
//! The first byte says which: `{` text, gzip's own magic as it is, `Z` text to be compressed; anything else is a choice.

use arbitrary::{Result, Unstructured};
use poolproof::replay::{self, Reading, what_if};
use serde_json::{Value, json};

use super::coverage::Cells;
use super::files::{on_disk, zipped};
use super::value::{address, number, one_of, rarely};

const CONFIGS: [&str; 6] = [
    "",
    "expandable_segments:True",
    "max_split_size_mb:32",
    "garbage_collection_threshold:0.6,per_process_memory_fraction:0.5",
    "roundup_power2_divisions:[1:8,>:4]",
    "large_segment_size_mb:17592186044416",
];

const VERBS: [&str; 24] = [
    "alloc",
    "alloc",
    "alloc",
    "alloc",
    "alloc",
    "free",
    "free",
    "free",
    "free",
    "record_stream",
    "occupy",
    "synchronize",
    "empty_cache",
    "reset_peak",
    "reset_accumulated",
    "set_fraction",
    "pool_create",
    "pool_enter",
    "pool_exit",
    "pool_delete",
    "capture_begin",
    "capture_end",
    "graph_reset",
    "alloc",
];

pub fn run(data: &[u8], _: &mut Cells) {
    match data.first() {
        None | Some(b'{' | 0x1f | b'\n') => read(data),
        Some(b'Z') => read(&zipped(&data[1..])),
        Some(_) => {
            if let Ok(text) = made(&mut Unstructured::new(data)) {
                read(text.as_bytes());
            }
        }
    }
}

fn read(bytes: &[u8]) {
    on_disk(bytes, |path| {
        if let Err(error) = replay::lived(path, bytes.len().is_multiple_of(2), Reading::default()) {
            assert!(!error.to_string().is_empty());
        }
        let configs = ["expandable_segments:True".to_owned()];
        if let Err(error) = what_if::compare(path, &configs, Some(1 << 30), Reading::default()) {
            assert!(!error.to_string().is_empty());
        }
    });
}

fn made(u: &mut Unstructured<'_>) -> Result<String> {
    let config = one_of(u, &CONFIGS)?;
    let backend = if rarely(u, 16)? { "cudaMallocAsync" } else { "native" };
    let mut devices = Vec::new();
    for place in 0..1 + u64::from(rarely(u, 6)?) {
        let index = if rarely(u, 24)? { number(u)? } else { place };
        let total = if rarely(u, 4)? { number(u)? } else { 1 << 30 };
        devices.push(json!({ "index": index, "name": "d", "total_bytes": total }));
    }
    let header = json!({ "trace": "poolproof/1", "recorded_from": "", "profile": "", "seed": 0, "config": config,
        "backend": backend, "devices": devices });
    let mut lines = vec![first("trace", &header)];
    let mut number_of_episode = 0;
    while !u.is_empty() && number_of_episode < 3 {
        episode(u, number_of_episode, &mut lines)?;
        number_of_episode += 1;
    }
    Ok(lines.join("\n") + "\n")
}

/// The object as a line, with this key first: the format tells its lines apart by it.
fn first(key: &str, object: &Value) -> String {
    let mut line = format!("{{\"{key}\":{}", object[key]);
    for (name, value) in object.as_object().into_iter().flatten().filter(|(name, _)| *name != key) {
        line.push_str(&format!(",\"{name}\":{value}"));
    }
    line + "}"
}

fn episode(u: &mut Unstructured<'_>, index: u64, lines: &mut Vec<String>) -> Result<()> {
    let streams = if rarely(u, 12)? {
        json!({ "0": [number(u)?, number(u)?] })
    } else {
        json!({ "0": [0, 64, 128], "1": [0, 192] })
    };
    let fraction = if rarely(u, 6)? { f64::from(u.arbitrary::<u8>()?) / 200.0 - 0.1 } else { 1.0 };
    let start = json!({ "episode": index, "fraction": { "0": fraction }, "streams": streams, "stats": { "0": {} } });
    lines.push(first("episode", &start));
    let mut events = Vec::new();
    while !rarely(u, 40)? && !u.is_empty() && lines.len() < 300 {
        let op = operation(u, &mut events)?;
        lines.push(first("op", &op));
    }
    if !rarely(u, 24)? {
        lines.push(first("end", &json!({ "end": index, "events": events, "segments": [] })));
    }
    Ok(())
}

/// One operation, and the events that the recorded allocator would have had of it.
fn operation(u: &mut Unstructured<'_>, events: &mut Vec<Value>) -> Result<Value> {
    let device = if rarely(u, 12)? { number(u)? } else { 0 };
    let block = if rarely(u, 16)? { number(u)? } else { u64::from(u.arbitrary::<u8>()? & 15) };
    let mut op = json!({ "op": one_of(u, &VERBS)?, "block": block, "device": device, "via": "raw" });
    if !rarely(u, 24)? {
        op["stream"] = if rarely(u, 8)? { number(u)?.into() } else { u64::from(u.arbitrary::<u8>()? & 1).into() };
    }
    if !rarely(u, 12)? {
        op["bytes"] = number(u)?.into();
    }
    if !rarely(u, 12)? {
        op["address"] = address(u)?.into();
    }
    match u.arbitrary::<u8>()? {
        0..8 => op["error"] = json!({ "type": "OutOfMemoryError", "message": "CUDA out of memory" }),
        8..16 => op["synchronized"] = true.into(),
        16..24 => op["idle"] = json!({ "0": [number(u)?, 0, 1] }),
        24..40 => op["pool"] = (u64::from(u.arbitrary::<u8>()? & 3)).into(),
        40..48 => op["pool"] = "graph:0".into(),
        48..56 => op["pool"] = format!("graph:{}", number(u)?).into(),
        56..72 => op["id"] = json!([number(u)? & 3, 0]),
        72..88 => op["graph"] = (number(u)? & 3).into(),
        88..96 => op["use_on_oom"] = true.into(),
        96..104 => op["no_split"] = true.into(),
        104..112 => op["fraction"] = json!(f64::from(u.arbitrary::<u8>()?) / 100.0),
        112..116 => op["fraction"] = json!(-1e300),
        116..124 => op["internal"] = json!([["alloc", 0, address(u)?, number(u)?, 0]]),
        124..132 => op["stats"] = json!({ "0": { "active.all.current": number(u)? } }),
        _ => {}
    }
    let actions =
        ["segment_alloc", "segment_map", "segment_free", "segment_unmap", "alloc", "free_requested", "free_completed"];
    if !rarely(u, 3)? {
        events.push(json!([one_of(u, &actions)?, device, address(u)?, number(u)?, 0]));
    }
    Ok(op)
}
