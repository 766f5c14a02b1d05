//! A program for c10's library alone, in the form of `reports/trophies/c10/`: over the stand-in for CUDA that lies there.
//!
//! Decides which calls of c10 an operation is. The stand-in runs nothing and writes nothing: what blocks hold is refused.

use std::collections::BTreeSet;

use super::check::Check;
use super::{Program, Tongue, Unsaid, plain, quoted};
use crate::op::stats::{Key, Row};
use crate::op::step::{AddressExpect, Amount};
use crate::op::{DeviceCall, DeviceId, Op, Pointer, PoolName, PoolSource, RefusalClass};

const TONGUE: Tongue = Tongue::Cpp;

/// Devices of the stand-in.
const DEVICES: usize = 2;

pub(super) fn write(program: &Program<'_>) -> Result<String, Unsaid> {
    let source = program.source;
    let refuse = |why| Err(Unsaid::Target { target: source.reproducer.target.clone(), language: TONGUE, why });
    if source.origin.allocator.rsplit(':').next() != Some("c10") {
        return refuse("it is written for c10");
    }
    if source.origin.option("caching") == Some("off") {
        return refuse("caching is off from the start");
    }
    if program.devices() > DEVICES {
        return refuse("the stand-in for CUDA has two devices");
    }
    if program.checks.contains(&Check::Survives) {
        return refuse("a program that ends in a signal tells no verdict of its own");
    }
    let mut text = String::new();
    for line in program.head() {
        text += format!("// {line}").trim_end();
        text.push('\n');
    }
    text += "//\n// In a checkout of poolproof: reports/trophies/c10/run ~/.cache/poolproof/torch-2.15.0 THIS.cpp\n";
    text += HEAD;
    text += "int main() {\n";
    for (device, bytes) in source.reproducer.setup.device_bytes.iter().enumerate() {
        text += &format!("  standin_total({device}, {bytes}ul);\n");
    }
    let settings = program.settings();
    text += &format!("  begin({});\n", settings.as_deref().map_or_else(String::new, quoted));
    text += &streams(program);
    for at in 0..program.lines.len() {
        if at == program.judged {
            for check in &program.checks {
                if let Check::Moved { device, key, .. } = check {
                    text += &format!("  const int64_t {} = {};\n", variable(*key, *device), figure(*key, *device));
                }
            }
        }
        text += &format!("  {} // {}\n", step(program, at)?, plain(&program.lines[at].op.to_line()));
    }
    let checks = program.checks.iter().map(|check| checked(program, check)).collect::<Result<Vec<_>, _>>()?;
    let holds: Vec<String> = checks.iter().map(|(_, holds)| format!("({holds})")).collect();
    let actual: Vec<String> = checks.into_iter().map(|(actual, _)| actual).collect();
    text += &format!(
        "  return verdict({}, {}, !({}));\n}}\n",
        quoted(&program.expected()),
        actual.join(" + \"; \" + "),
        holds.join(" && ")
    );
    Ok(text)
}

const HEAD: &str = r#"#include "begin.h"
#include <cuda_runtime_api.h>

struct Block { uintptr_t at = 0; size_t bytes = 0; };

// Runs something on a device, as torch.cuda.device does.
template <class Action> auto on(int device, Action action) {
  struct Back {
    c10::DeviceIndex was = c10::cuda::current_device();
    ~Back() { c10::cuda::set_device(was); }
  } back;
  c10::cuda::set_device(static_cast<c10::DeviceIndex>(device));
  return action();
}

// What an action ends in: "served", or a class and the text of what it throws.
template <class Action> std::string told(Action action) {
  try {
    action();
    return "served";
  } catch (const c10::OutOfMemoryError &error) {
    return std::string("out_of_memory: ") + error.what_without_backtrace();
  } catch (const c10::Error &error) {
    return std::string("error: ") + error.what_without_backtrace();
  } catch (const std::exception &error) {
    return std::string("error: ") + error.what();
  }
}

[[maybe_unused]] static Block alloc(int device, c10::cuda::CUDAStream stream, size_t bytes) {
  void *at = on(device, [&] { return a::raw_alloc_with_stream(bytes, stream.stream()); });
  return {reinterpret_cast<uintptr_t>(at), bytes};
}
[[maybe_unused]] static void give(uintptr_t at) { a::raw_delete(reinterpret_cast<void *>(at)); }
[[maybe_unused]] static bool overlap(Block one, Block other) {
  return one.at < other.at + other.bytes && other.at < one.at + one.bytes;
}
[[maybe_unused]] static std::string hex(uintptr_t number) {
  char text[32];
  std::snprintf(text, sizeof text, "0x%zx", static_cast<size_t>(number));
  return text;
}
[[maybe_unused]] static std::string range(Block block) { return "[" + hex(block.at) + ", " + hex(block.at + block.bytes) + ")"; }

"#;

/// The streams that the sequence names, by device.
fn streams(program: &Program<'_>) -> String {
    let mut all: BTreeSet<(i32, u8)> = BTreeSet::new();
    let devices = i32::try_from(program.devices()).unwrap_or(i32::MAX);
    for line in &program.lines {
        let named = match line.op {
            Op::WaitStream { stream, on, .. } => vec![stream.0, on.0],
            ref op => op.stream().map(|stream| stream.0).into_iter().collect(),
        };
        // A block's own device may be another than the current one.
        all.extend(named.into_iter().flat_map(|stream| (0..devices).map(move |device| (device, stream))));
    }
    for check in &program.checks {
        if let Check::NotUnderWork { device, streams, .. } = check {
            all.extend(streams.iter().map(|&stream| (*device, stream)));
        }
    }
    let mut text = String::new();
    for (device, stream) in all {
        let made = match stream {
            0 => format!("c10::cuda::getDefaultCUDAStream({device})"),
            _ => format!("on({device}, [] {{ return c10::cuda::getStreamFromPool(false, {device}); }})"),
        };
        text += &format!("  [[maybe_unused]] const auto s{device}_{stream} = {made};\n");
    }
    text
}

fn figure(key: Key, device: i32) -> String {
    let stats = format!("a::getDeviceStats({device})");
    match key {
        Key::Counter(counter) => format!("static_cast<int64_t>({stats}.{})", counter.name()),
        Key::Family(family, row, column) => {
            let row = match row {
                Row::All => 0,
                Row::SmallPool => 1,
                Row::LargePool => 2,
            };
            format!("{stats}.{}[{row}].{}", family.name(), column.name())
        }
        Key::Oversize(which, column) => format!("{stats}.{}.{}", which.name(), column.name()),
    }
}

fn variable(key: Key, device: i32) -> String {
    format!("before_{}_{device}", key.to_string().replace('.', "_"))
}

fn condition(amount: Amount, value: &str) -> String {
    match amount {
        Amount::Exactly(wanted) => format!("{value} == {wanted}"),
        Amount::Between { at_least, at_most } => {
            let low = at_least.map(|low| format!("{value} >= {low}"));
            let high = at_most.map(|high| format!("{value} <= {high}"));
            let all: Vec<String> = low.into_iter().chain(high).collect();
            if all.is_empty() { "true".to_owned() } else { all.join(" && ") }
        }
    }
}

/// What there is, as text, and whether it is right.
fn checked(program: &Program<'_>, check: &Check) -> Result<(String, String), Unsaid> {
    let unseen = |why| Err(Unsaid::Check { what: check.expected(), language: TONGUE, why });
    let said = || "said".to_owned();
    Ok(match check {
        Check::Served => (said(), "said == \"served\"".to_owned()),
        Check::Refused(classes) => {
            let is = |class: &RefusalClass| match class {
                RefusalClass::OutOfMemory => "said.rfind(\"out_of_memory\", 0) == 0".to_owned(),
                _ => "said.rfind(\"error\", 0) == 0 && said.find(\"INTERNAL ASSERT\") == said.npos".to_owned(),
            };
            (said(), classes.iter().map(is).collect::<Vec<_>>().join(" || "))
        }
        Check::Contains(text) => (said(), format!("said.find({}) != said.npos", quoted(text))),
        Check::Lacks(text) => (said(), format!("said.find({}) == said.npos", quoted(text))),
        Check::Address(block, wanted) => {
            let at = format!("{block}.at");
            let holds = match wanted {
                AddressExpect::Null => format!("{at} == 0"),
                AddressExpect::NotNull => format!("{at} != 0"),
                AddressExpect::SameAs(other) => format!("{at} == {other}.at"),
                AddressExpect::DifferentFrom(other) => format!("{at} != {other}.at"),
            };
            (format!("\"{block} at \" + hex({at})"), holds)
        }
        Check::Figure { device, key, amount } => {
            let value = figure(*key, *device);
            (format!("\"{key} of device {device} is \" + std::to_string({value})"), condition(*amount, &value))
        }
        Check::Moved { device, key, amount } => {
            let value = format!("({} - {})", figure(*key, *device), variable(*key, *device));
            (format!("\"{key} of device {device} moves by \" + std::to_string({value})"), condition(*amount, &value))
        }
        Check::Fraction { device, value } => {
            let total = usize::try_from(*device).ok().and_then(|d| program.source.reproducer.setup.device_bytes.get(d));
            let (read, total) = (format!("a::getMemoryFraction({device})"), total.copied().unwrap_or(1));
            let low = format!("({read} - {value:?}) * {total}.0 <= 1 && ({value:?} - {read}) * {total}.0 <= 1");
            (format!("\"fraction \" + std::to_string({read})"), low)
        }
        Check::Apart { block, other } => (both(block, other), format!("!overlap({block}, {other})")),
        Check::NotUnderWork { block, former, device, streams } => {
            let works: Vec<String> =
                streams.iter().map(|s| format!("standin_is_busy({device}, s{device}_{s}.stream())")).collect();
            (both(block, former), format!("!(overlap({block}, {former}) && ({}))", works.join(" || ")))
        }
        Check::Aligned { block, to } => {
            (format!("\"{block} at \" + hex({block}.at)"), format!("{block}.at % {to} == 0"))
        }
        Check::Intact(_) => return unseen("the stand-in for CUDA has addresses and no memory"),
        Check::Survives => return unseen("a program that ends in a signal tells no verdict of its own"),
    })
}

fn both(block: &crate::op::BlockId, other: &crate::op::BlockId) -> String {
    format!("\"{block} \" + range({block}) + \", {other} \" + range({other})")
}

fn user_id(pool: PoolName) -> String {
    format!("Pool{{0, {}}}", u64::from(pool.0) + 1)
}

/// Device, id and stream of a capture.
fn captured(program: &Program<'_>, graph: crate::op::GraphName) -> Option<(i32, String, u8)> {
    program.lines.iter().find_map(|line| match line.op {
        Op::CaptureBegin { graph: begun, device, stream, pool } if begun == graph => {
            let id = match pool {
                None => format!("Pool{{{}, 0}}", u64::from(graph.0) + 1),
                Some(PoolSource::Pool(pool)) => user_id(pool),
                Some(PoolSource::Graph(other)) => captured(program, other).map(|(_, id, _)| id)?,
            };
            Some((device.0, id, stream.0))
        }
        _ => None,
    })
}

fn home(program: &Program<'_>, at: usize, block: crate::op::BlockId) -> i32 {
    let made = program.lines[..at].iter().rev().find_map(|line| match line.op {
        Op::Alloc { block: made, device, .. } if made == block => Some(device.map_or(current(program, at), |d| d.0)),
        _ => None,
    });
    made.unwrap_or(0)
}

/// The current device before a line.
fn current(program: &Program<'_>, at: usize) -> i32 {
    let set = program.lines[..at].iter().rev().find_map(|line| match line.op {
        Op::SetCurrent { device } if !line.answered.starts_with("refused") => Some(device.0),
        _ => None,
    });
    set.unwrap_or(0)
}

fn step(program: &Program<'_>, at: usize) -> Result<String, Unsaid> {
    let line = &program.lines[at];
    let refuse = |why| Err(program.unsaid(at, TONGUE, why));
    let count = i32::try_from(program.devices()).unwrap_or(i32::MAX);
    let answers = at == program.judged && program.checks.iter().any(Check::is_of_the_answer);
    let call = |action: String| {
        if answers {
            format!("const std::string said = told([&] {{ {action} }});")
        } else if program.may_be_refused(at) {
            format!("told([&] {{ {action} }});")
        } else {
            action
        }
    };
    // The stream names of devices that are not there do not exist.
    if line.op.stream().is_some() && line.op.device().is_some_and(|device: DeviceId| !(0..count).contains(&device.0)) {
        return refuse("the stand-in has no stream of such a device");
    }
    let place = |device: Option<DeviceId>| device.map_or_else(|| current(program, at), |d| d.0);
    Ok(match &line.op {
        Op::Alloc { block, device, stream, bytes, .. } => {
            let device = place(*device);
            let action = format!("{block} = alloc({device}, s{device}_{}, {bytes}ul);", stream.0);
            format!("Block {block}; {}", call(action))
        }
        Op::Free { block } => call(format!("give({block}.at);")),
        Op::FreePointer { pointer } => call(match pointer {
            Pointer::Null => "give(0);".to_owned(),
            Pointer::Interior { block, offset } => format!("give({block}.at + {offset}ul);"),
            Pointer::Freed { block } => format!("give({block}.at);"),
            Pointer::Wild { address } => format!("give({address:#x}ul);"),
        }),
        Op::RecordStream { block, stream } => {
            let device = home(program, at, *block);
            call(format!("record(reinterpret_cast<void *>({block}.at), s{device}_{});", stream.0))
        }
        Op::Use { .. } | Op::Fill { .. } | Op::Verify { .. } => "/* nothing is written on the stand-in */".to_owned(),
        Op::Occupy { device, stream } => format!("standin_busy({0}, s{0}_{1}.stream());", device.0, stream.0),
        Op::Finish { device, stream } => {
            format!("on({0}, [&] {{ return cudaStreamSynchronize(s{0}_{1}.stream()); }});", device.0, stream.0)
        }
        Op::Synchronize { device } => format!("on({}, [] {{ return cudaDeviceSynchronize(); }});", device.0),
        Op::EmptyCache => call("a::emptyCache();".to_owned()),
        Op::ResetPeak { device } => call(format!("a::resetPeakStats({});", device.0)),
        Op::ResetAccumulated { device } => call(format!("a::resetAccumulatedStats({});", device.0)),
        Op::SetFraction { fraction, .. } if !fraction.is_finite() => return refuse("such a fraction has no literal"),
        Op::SetFraction { device, fraction } => {
            call(format!("a::setMemoryFraction({fraction:?}, {});", place(*device)))
        }
        Op::GetFraction { device } => call(format!("(void)a::getMemoryFraction({});", place(*device))),
        Op::SetSettings { settings } => call(format!("settings({});", quoted(settings))),
        Op::SetCaching { enabled } => call(format!("a::enable({enabled});")),
        Op::SetCurrent { device } => call(format!("c10::cuda::set_device({});", device.0)),
        Op::Fault { call, skip, error, .. } => match fault(*call, *skip, error.map(crate::op::FaultError::code)) {
            Some(text) if program.devices() == 1 => text,
            _ => return refuse("the stand-in lets no such call fail"),
        },
        Op::PoolCreate { use_on_oom: false, no_split: false, .. } => {
            "/* a pool is made when it is entered */".to_owned()
        }
        Op::PoolCreate { .. } => return refuse("a pool with options is made by ATen"),
        Op::PoolEnter { pool, device } => call(format!("enter({}, {});", device.0, user_id(*pool))),
        Op::PoolExit { pool, device } => call(format!("leave({}, {});", device.0, user_id(*pool))),
        Op::PoolDelete { .. } => return refuse("a pool is taken down by ATen"),
        Op::CaptureBegin { graph, .. } | Op::CaptureEnd { graph } | Op::GraphReset { graph } => {
            let Some((device, id, stream)) = captured(program, *graph) else {
                return refuse("the graph was not captured");
            };
            call(match line.op {
                Op::CaptureBegin { .. } => format!("capture({device}, {id}, s{device}_{stream});"),
                Op::CaptureEnd { .. } => format!("capture_ends({device}, {id}, s{device}_{stream});"),
                _ => format!("a::releasePool({device}, {id});"),
            })
        }
        Op::Snapshot => call("(void)a::snapshot();".to_owned()),
        Op::Dictionary { .. } | Op::MemoryInfo { .. } | Op::CycleEnd => "/* only reads */".to_owned(),
        Op::Summary { .. } => return refuse("the table is Python's"),
        Op::WaitStream { .. } => return refuse("the stand-in lets no stream wait for another"),
        Op::Neighbour { .. } => return refuse("the stand-in has no other process"),
        Op::Caller { .. } => return refuse("calls come from one thread"),
    })
}

/// Device calls that the stand-in lets fail, and with which error if none is given.
fn fault(call: DeviceCall, skip: u32, error: Option<i32>) -> Option<String> {
    let (name, usual) = match call {
        DeviceCall::Reserve => ("cudaMalloc", 2),
        DeviceCall::Release => ("cudaFree", 999),
        DeviceCall::RecordEvent => ("cudaEventRecord", 999),
        DeviceCall::QueryEvent => ("cudaEventQuery", 999),
        DeviceCall::Map => ("cuMemCreate", 2),
        DeviceCall::SetAccess => ("cuMemSetAccess", 999),
        DeviceCall::Unmap => ("cuMemUnmap", 999),
        DeviceCall::ReserveAddresses => ("cuMemAddressReserve", 2),
        DeviceCall::MemoryInfo => return None,
    };
    Some(format!("standin_fail(\"{name}\", {}, {});", u64::from(skip) + 1, error.unwrap_or(usual)))
}
