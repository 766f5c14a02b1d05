//! An adapter for poolproof: a small allocator and the worker protocol around it (docs/worker-protocol.md of poolproof).

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};

use serde_json::{json, Value};

const ROUND: u64 = 256;

/// Replace this by calls of your allocator.
struct Device {
    total: u64,
    /// Bytes by address.
    free: BTreeMap<u64, u64>,
    live: BTreeMap<u64, u64>,
}

impl Device {
    fn new(base: u64, total: u64) -> Self {
        Device { total, free: BTreeMap::from([(base, total)]), live: BTreeMap::new() }
    }

    fn alloc(&mut self, bytes: u64) -> Option<u64> {
        if bytes > self.total {
            return None; // before rounding, which could overflow
        }
        let need = bytes.div_ceil(ROUND) * ROUND;
        let (&address, &have) = self.free.iter().find(|(_, have)| **have >= need)?;
        self.free.remove(&address);
        if have > need {
            self.free.insert(address + need, have - need);
        }
        self.live.insert(address, need);
        Some(address)
    }

    fn free(&mut self, mut address: u64) -> Option<()> {
        let mut bytes = self.live.remove(&address)?;
        if let Some((&before, &have)) = self.free.range(..address).next_back() {
            if before + have == address {
                self.free.remove(&before);
                (address, bytes) = (before, have + bytes);
            }
        }
        bytes += self.free.remove(&(address + bytes)).unwrap_or(0);
        self.free.insert(address, bytes);
        Some(())
    }
}

fn refused(class: &str, message: &str) -> Value {
    json!({ "refused": { "class": class, "message": message } })
}

fn apply(devices: &mut [Device], ask: &Value) -> Value {
    let (alloc, about) = (&ask["op"]["alloc"], &ask["about"]);
    if !alloc.is_null() {
        let place = alloc["device"].as_i64().and_then(|at| usize::try_from(at).ok());
        let Some(device) = place.and_then(|at| devices.get_mut(at)) else {
            return refused("invalid_argument", "there is no such device");
        };
        return match alloc["bytes"].as_u64() {
            Some(0) => json!({ "allocated": { "address": 0 } }),
            bytes => match bytes.and_then(|bytes| device.alloc(bytes)) {
                Some(address) => json!({ "allocated": { "address": address } }),
                None => refused("out_of_memory", "nothing fits"),
            },
        };
    }
    if ask["op"]["free"].is_null() {
        return refused("unsupported", "not here");
    }
    let device = about["device"].as_u64().and_then(|at| devices.get_mut(at as usize));
    let freed = about["bytes"] == 0 || device.and_then(|d| d.free(about["address"].as_u64()?)).is_some();
    if freed { json!("done") } else { refused("invalid_pointer", "no block begins there") }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let ask = BufReader::new(File::open("/dev/fd/3")?);
    let mut tell = OpenOptions::new().write(true).open("/dev/fd/4")?;
    let mut devices = Vec::new();
    for line in ask.lines() {
        let question: Value = serde_json::from_str(&line?)?;
        let answer = if !question["hello"].is_null() {
            json!({ "hello": { "protocol": "poolproof-worker/2" } })
        } else if let Some(sizes) = question["open"]["setup"]["device_bytes"].as_array() {
            let sizes = sizes.iter().filter_map(Value::as_u64);
            devices = (1..).zip(sizes).map(|(at, bytes): (u64, u64)| Device::new(at << 44, bytes)).collect();
            let told: Vec<Value> = devices.iter().map(|d| json!({ "total_bytes": d.total })).collect();
            json!({ "opened": { "info": { "devices": told, "alignment": ROUND } } })
        } else if !question["apply"].is_null() {
            json!({ "applied": { "reply": apply(&mut devices, &question["apply"]) } })
        } else if !question["observe"].is_null() {
            json!({ "observed": {} })
        } else {
            json!({ "closed": {} })
        };
        writeln!(tell, "{answer}")?;
    }
    Ok(())
}
