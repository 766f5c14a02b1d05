//! A program for the reference on simulated devices: an example of its crate.
//!
//! Decides which calls of the library crates an operation is. What the harness puts in front of them (devices that do not exist, several
//! callers, a switched-off cache) is refused.

use super::check::Check;
use super::rust_calls::step;
use super::{Program, Tongue, Unsaid, plain, quoted};
use crate::op::step::{AddressExpect, Amount};
use crate::op::{BlockId, RefusalClass};

const TONGUE: Tongue = Tongue::Rust;

pub(super) fn write(program: &Program<'_>) -> Result<String, Unsaid> {
    let source = program.source;
    let refuse = |why| Err(Unsaid::Target { target: source.reproducer.target.clone(), language: TONGUE, why });
    if source.origin.allocator != "reference" || source.origin.place != "sim" {
        return refuse("it is written for reference@sim");
    }
    if let Some(why) = source.origin.options.iter().find_map(|(key, _)| beyond(key)) {
        return refuse(why);
    }
    let mut text = String::new();
    for line in program.head() {
        text += format!("//! {line}").trim_end();
        text.push('\n');
    }
    text += "//!\n//! In a checkout of poolproof, as crates/reference/examples/NAME.rs:\n//!     cargo run -p poolproof-reference --features planted-defects --example NAME\n\n";
    text += HEAD;
    let planted = match source.origin.option("defect") {
        Some(name) => format!("Planted::Defect({}.parse().expect(\"a defect\"))", quoted(name)),
        None => "Sound".to_owned(),
    };
    text +=
        &format!("fn main() -> ExitCode {{\n    let allocator = {planted};\n    let run = || sequence(allocator);\n");
    text += "    let came = std::panic::catch_unwind(run);\n    let Ok(came) = came else {\n";
    let survives = program.checks.contains(&Check::Survives);
    text += &format!(
        "        println!(\"expected: {{}}\\nactual:   it panics\", {});\n        return ExitCode::from({});\n    }};\n",
        quoted(&program.expected()),
        if survives { 1 } else { 2 }
    );
    text += "    for (expected, actual, holds) in &came {\n        println!(\"expected: {expected}\\nactual:   {actual}{}\", if *holds { \"\" } else { \"   <- wrong\" });\n    }\n";
    text += "    ExitCode::from(u8::from(came.iter().any(|(_, _, holds)| !holds)))\n}\n\n";
    text += "fn sequence<P: Planting>(planted: P) -> Vec<(&'static str, String, bool)> {\n";
    let sizes = &source.reproducer.setup.device_bytes;
    let streams = source.reproducer.setup.streams;
    let settings = quoted(&program.settings().unwrap_or_default());
    text += &format!("    let settings: Settings = {settings}.parse().expect(\"settings\");\n");
    text += &format!("    let devices = SimDevice::process(&{sizes:?}, {streams});\n");
    text += "    let mut a = Reference::new(devices, &settings, planted);\n";
    for at in 0..program.lines.len() {
        let told = step(program, at)?;
        if at == program.judged {
            text += &before(program);
        }
        text += &format!("    {told} // {}\n", plain(&program.lines[at].op.to_line()));
        if at == program.judged && program.checks.iter().any(Check::is_of_the_answer) {
            // What cannot fail is served.
            let outcome = if told.contains("let outcome") { "outcome" } else { "(\"served\", \"served\".to_owned())" };
            text += &format!("    let (class, said) = {outcome};\n");
        }
    }
    text += "    vec![\n";
    for check in &program.checks {
        let (actual, holds) = checked(program, check);
        text += &format!("        ({}, {actual}, {holds}),\n", quoted(&check.expected()));
    }
    text += "    ]\n}\n";
    Ok(text)
}

/// Options of the target that the crates alone do not know.
fn beyond(key: &str) -> Option<&'static str> {
    match key {
        "variation" => Some("a variation breaks no promise"),
        "caching" => Some("the harness's front switches caching off"),
        "rules" | "library" => Some("rules of another release are not written here"),
        "unfaithful" => Some("the target tells a figure wrongly, and the crates do not"),
        _ => None,
    }
}

const HEAD: &str = "\
#![allow(unused)]

use std::process::ExitCode;

use poolproof_device::sim::SimDevice;
use poolproof_device::{DeviceError, StreamHandle};
use poolproof_reference::{
    AllocError, Catch, FreeError, Planted, Planting, PoolFlags, Reference, Settings, Sound,
};
use poolproof_words::op::stats::Key;
use poolproof_words::op::{ContentsReport, DeviceCall, FaultError, StreamId};

/// How a call ends: a class, and what is said.
trait Told {
    fn told(&self) -> (&'static str, String);
}

impl Told for AllocError {
    fn told(&self) -> (&'static str, String) {
        let class = match self {
            AllocError::OutOfMemory(_) => \"out_of_memory\",
            AllocError::Device(_) => \"device_error\",
            _ => \"invalid_argument\",
        };
        (class, self.to_string())
    }
}

impl Told for FreeError {
    fn told(&self) -> (&'static str, String) {
        let class = if matches!(self, FreeError::Device(_)) { \"device_error\" } else { \"invalid_pointer\" };
        (class, self.to_string())
    }
}

impl Told for DeviceError {
    fn told(&self) -> (&'static str, String) {
        (\"device_error\", self.to_string())
    }
}

impl Told for poolproof_reference::FractionError {
    fn told(&self) -> (&'static str, String) {
        (\"invalid_argument\", self.to_string())
    }
}

impl Told for poolproof_reference::SettingsError {
    fn told(&self) -> (&'static str, String) {
        (\"invalid_argument\", self.to_string())
    }
}

impl Told for poolproof_reference::PoolError {
    fn told(&self) -> (&'static str, String) {
        (\"invalid_argument\", self.to_string())
    }
}

fn told<T, E: Told>(result: &Result<T, E>) -> (&'static str, String) {
    result.as_ref().map_or_else(Told::told, |_| (\"served\", \"served\".to_owned()))
}

fn figure<P: Planting>(a: &Reference<SimDevice, P>, device: usize, key: &str) -> i64 {
    a.device(device).stats().value(Key::parse(key).expect(\"a statistic\"))
}

fn overlap((one, bytes): (u64, u64), (other, of_other): (u64, u64)) -> bool {
    one < other + of_other && other < one + bytes
}

";

/// What is read before the call that is checked.
fn before(program: &Program<'_>) -> String {
    let mut text = String::new();
    for check in &program.checks {
        if let Check::Moved { device, key, .. } = check {
            let (key, name) = (quoted(&key.to_string()), variable(&key.to_string(), *device));
            text += &format!("    let {name} = figure(&a, {device}, {key});\n");
        }
    }
    text
}

fn variable(key: &str, device: i32) -> String {
    format!("before_{}_{device}", key.replace('.', "_"))
}

fn condition(amount: Amount, value: &str) -> String {
    match amount {
        Amount::Exactly(wanted) => format!("{value} == {wanted}"),
        Amount::Between { at_least, at_most } => {
            let (low, high) = (at_least.unwrap_or(i64::MIN), at_most.unwrap_or(i64::MAX));
            format!("({low}..={high}).contains(&({value}))")
        }
    }
}

fn both(block: BlockId, other: BlockId) -> String {
    format!(
        "format!(\"{block} [{{:#x}}, {{:#x}}), {other} [{{:#x}}, {{:#x}})\", {block}.0, {block}.0 + {block}.1, {other}.0, {other}.0 + {other}.1)"
    )
}

fn listed(classes: &[RefusalClass]) -> String {
    classes.iter().map(|class| quoted(class.name())).collect::<Vec<_>>().join(", ")
}

/// The expression of what there is, and of whether it is right.
fn checked(program: &Program<'_>, check: &Check) -> (String, String) {
    let said = || "said.clone()".to_owned();
    match check {
        Check::Served => (said(), "class == \"served\"".to_owned()),
        Check::Refused(classes) => (said(), format!("[{}].contains(&class)", listed(classes))),
        Check::ServedOr(classes) => (said(), format!("class == \"served\" || [{}].contains(&class)", listed(classes))),
        Check::Contains(text) => (said(), format!("said.contains({})", quoted(text))),
        Check::Lacks(text) => (said(), format!("!said.contains({})", quoted(text))),
        Check::Survives => ("\"it lives on\".to_owned()".to_owned(), "true".to_owned()),
        Check::Address(block, wanted) => {
            let (b, shown) = (format!("{block}.0"), format!("format!(\"{{:#x}}\", {block}.0)"));
            match wanted {
                AddressExpect::Null => (shown, format!("{b} == 0")),
                AddressExpect::NotNull => (shown, format!("{b} != 0")),
                AddressExpect::SameAs(other) => (shown, format!("{b} == {other}.0")),
                AddressExpect::DifferentFrom(other) => (shown, format!("{b} != {other}.0")),
            }
        }
        Check::Figure { device, key, amount } => {
            let value = format!("figure(&a, {device}, {})", quoted(&key.to_string()));
            (format!("{value}.to_string()"), condition(*amount, &value))
        }
        Check::Moved { device, key, amount } => {
            let key = key.to_string();
            let value = format!("figure(&a, {device}, {}) - {}", quoted(&key), variable(&key, *device));
            (format!("({value}).to_string()"), condition(*amount, &value))
        }
        Check::Fraction { device, value } => {
            let read = format!("a.device({device}).fraction()");
            let total = usize::try_from(*device).ok().and_then(|d| program.source.reproducer.setup.device_bytes.get(d));
            let holds = format!("({read} - {value:?}).abs() * {}_f64 <= 1.0", total.copied().unwrap_or(1));
            (format!("{read}.to_string()"), holds)
        }
        Check::Apart { block, other } => (both(*block, *other), format!("!overlap({block}, {other})")),
        Check::NotUnderWork { block, former, device, streams } => {
            let idle = format!("a.device({device}).device().idle_mask()");
            let works: Vec<String> = streams.iter().map(|stream| format!("{idle} >> {stream} & 1 == 0")).collect();
            (both(*block, *former), format!("!(overlap({block}, {former}) && ({}))", works.join(" || ")))
        }
        Check::Aligned { block, to } => (format!("format!(\"{{:#x}}\", {block}.0)"), format!("{block}.0 % {to} == 0")),
        Check::Intact(block) => {
            (format!("format!(\"{{read_{block}:?}}\")"), format!("matches!(read_{block}, ContentsReport::Intact)"))
        }
    }
}
