//! One line of text for an operation, as logs, findings and reports print it.

use super::{DeviceId, Op, Pointer, Via, size};

fn place(device: Option<DeviceId>) -> String {
    device.map_or_else(|| "the current device".to_owned(), |d| d.to_string())
}

pub(super) fn of(op: &Op) -> String {
    let name = op.name();
    match op {
        Op::Alloc { block, device, stream, bytes, via } => {
            let door = if *via == Via::Tensor { ", as a tensor" } else { "" };
            format!("alloc {block}: {} on {}, {stream}{door}", size::both(*bytes), place(*device))
        }
        Op::Free { block } => format!("free {block}"),
        Op::FreePointer { pointer } => match pointer {
            Pointer::Null => "free_pointer null".to_owned(),
            Pointer::Interior { block, offset } => format!("free_pointer {block} + {offset} B (inside a live block)"),
            Pointer::Freed { block } => format!("free_pointer {block} (already freed)"),
            Pointer::Wild { address } => format!("free_pointer {address:#x} (never handed out)"),
        },
        Op::RecordStream { block, stream } => format!("record_stream {block} on {stream}"),
        Op::Use { block, stream } => format!("use {block} on {stream}"),
        Op::Occupy { device, stream } | Op::Finish { device, stream } => format!("{name} {device}, {stream}"),
        Op::WaitStream { device, stream, on } => format!("wait_stream {device}: {stream} for {on}"),
        Op::Neighbour { device, bytes } => format!("neighbour on {device} holds {}", size::both(*bytes)),
        Op::Synchronize { device }
        | Op::ResetPeak { device }
        | Op::ResetAccumulated { device }
        | Op::SetCurrent { device }
        | Op::Dictionary { device }
        | Op::MemoryInfo { device } => format!("{name} {device}"),
        Op::SetFraction { device, fraction } => format!("set_fraction {} to {fraction}", place(*device)),
        Op::GetFraction { device } => format!("get_fraction {}", place(*device)),
        Op::SetSettings { settings } => format!("set_settings \"{}\"", settings.escape_debug()),
        Op::SetCaching { enabled } => format!("set_caching {}", if *enabled { "on" } else { "off" }),
        Op::Caller { caller } => format!("caller {caller}"),
        Op::Summary { device, abbreviated } => {
            format!("summary {device}{}", if *abbreviated { ", abbreviated" } else { "" })
        }
        Op::Fill { block } | Op::Verify { block } => format!("{name} {block}"),
        Op::Fault { device, call, skip, error } => {
            let call = call.name();
            let with = error.map_or_else(String::new, |error| format!(" with {}", error.name()));
            format!("fault {device}: {call} fails after {skip} more{with}")
        }
        Op::PoolCreate { pool, device, use_on_oom, no_split } => {
            let flags = [(*use_on_oom, ", use_on_oom"), (*no_split, ", no_split")];
            let flags: String = flags.iter().filter(|(set, _)| *set).map(|(_, text)| *text).collect();
            format!("pool_create {pool} on {device}{flags}")
        }
        Op::PoolEnter { pool, device } | Op::PoolExit { pool, device } => format!("{name} {pool} on {device}"),
        Op::PoolDelete { pool } => format!("pool_delete {pool}"),
        Op::CaptureBegin { graph, device, stream, pool } => {
            let into = pool.map_or_else(String::new, |source| format!(", into {source}"));
            format!("capture_begin {graph} on {device}, {stream}{into}")
        }
        Op::CaptureEnd { graph } | Op::GraphReset { graph } => format!("{name} {graph}"),
        Op::EmptyCache | Op::Snapshot | Op::CycleEnd => name.to_owned(),
    }
}
