//! A program for c10's library alone, in the form of `reports/trophies/c10/`: over the stand-in for CUDA that lies there.
//!
//! Decides which calls of c10 an operation is. The stand-in runs nothing and writes nothing: what blocks hold is refused.

use std::collections::BTreeSet;

use super::check::Check;
use super::cpp_calls::step;
use super::{Program, Tongue, Unsaid, plain, quoted};
use crate::op::stats::{Key, Row};
use crate::op::step::{AddressExpect, Amount};
use crate::op::{Op, RefusalClass};

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

fn refusals(classes: &[RefusalClass]) -> String {
    let is = |class: &RefusalClass| match class {
        RefusalClass::OutOfMemory => "said.rfind(\"out_of_memory\", 0) == 0",
        _ => "(said.rfind(\"error\", 0) == 0 && said.find(\"INTERNAL ASSERT\") == said.npos)",
    };
    classes.iter().map(is).collect::<Vec<_>>().join(" || ")
}

/// What there is, as text, and whether it is right.
fn checked(program: &Program<'_>, check: &Check) -> Result<(String, String), Unsaid> {
    let unseen = |why| Err(Unsaid::Check { what: check.expected(), language: TONGUE, why });
    let said = || "said".to_owned();
    Ok(match check {
        Check::Served => (said(), "said == \"served\"".to_owned()),
        Check::Refused(classes) => (said(), refusals(classes)),
        Check::ServedOr(classes) => (said(), format!("said == \"served\" || {}", refusals(classes))),
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
