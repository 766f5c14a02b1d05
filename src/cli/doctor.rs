//! `poolproof doctor`: what was found on this machine, what is missing, and how to get it.
//!
//! Decides the words. A missing thing is advice and no failure: the simulated device needs none of it.

use std::fmt::Write as _;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::cuda::probe::CudaProbe;
use crate::cuda::telemetry::NvmlMatch;
use crate::doctor::{self, Findings, Import, NvmlFinding, WithoutGpu};
use crate::op::size::human;

use super::processes::{device_json, driver_json, driver_text, either, memory_text, or_reason};
use super::{CliError, Context, Exit};

/// Print what this machine has for poolproof, what is missing, and how to get it
#[derive(Debug, clap::Args)]
#[command(after_help = "Exits 0 whatever is missing: the reference on simulated devices runs everywhere.

Examples:
  poolproof doctor
  poolproof doctor --python .venv/bin/python --json")]
pub(super) struct Args {
    /// As one JSON object
    #[arg(long)]
    json: bool,
    /// The interpreter whose packages are looked for
    #[arg(long, value_name = "PROGRAM", default_value = "python3")]
    python: String,
    /// NVML's library, where it is not the driver's own
    #[arg(long, value_name = "PATH", hide_short_help = true)]
    nvml_lib: Option<PathBuf>,
}

pub(super) fn run(args: &Args, context: &mut Context) -> Result<Exit, CliError> {
    let findings = doctor::look(args.nvml_lib.as_deref(), &args.python, doctor::DEADLINE);
    let text = if args.json { format!("{:#}\n", as_json(&findings)) } else { as_text(&findings) };
    context.out.text(text)?;
    Ok(Exit::Conformant)
}

fn place_text(place: Option<&NvmlMatch>) -> String {
    match place {
        Some(NvmlMatch::Device(index)) => format!("device {index} of NVML"),
        Some(NvmlMatch::PartOf(index)) => format!("part of device {index} of NVML"),
        Some(NvmlMatch::Unknown) => "not shown by NVML".to_owned(),
        Some(NvmlMatch::Ambiguous) => "several devices of NVML carry its UUID".to_owned(),
        None => "NVML was not asked".to_owned(),
    }
}

fn cuda_text(findings: &Findings) -> String {
    match &findings.cuda {
        CudaProbe::NoLibrary => "no driver library\n".to_owned(),
        CudaProbe::SymbolMissing { function } => format!("a driver library without {function}\n"),
        CudaProbe::Failed { function, code } => format!("a driver library, and {function} failed with code {code}\n"),
        CudaProbe::Found { version, devices } => {
            let mut text =
                format!("driver for CUDA {}.{}, devices: {}\n", version / 1000, version % 1000 / 10, devices.len());
            let places = findings.places();
            for (ordinal, device) in devices.iter().enumerate() {
                // Writing to a String cannot fail, here and below.
                let _ = writeln!(
                    text,
                    "    cuda:{ordinal}  {}, {}, {}: {}",
                    device.name,
                    human(device.total_bytes),
                    device.uuid,
                    place_text(places.get(ordinal))
                );
            }
            text
        }
    }
}

fn nvml_text(nvml: &NvmlFinding) -> String {
    let mut text = format!("{}, devices: {}\n", driver_text(&nvml.driver), nvml.devices.len());
    for device in &nvml.devices {
        let _ = match device {
            Ok(d) => writeln!(
                text,
                "    nvml:{}  {}, {}: {}",
                d.index,
                or_reason(&d.name),
                or_reason(&d.uuid),
                memory_text(&d.memory)
            ),
            Err(error) => writeln!(text, "    {error}"),
        };
    }
    text
}

fn import_text(import: &Import) -> String {
    match import {
        Import::Found { version, cuda: Some(cuda) } => format!("{version}, built for CUDA {cuda}"),
        Import::Found { version, cuda: None } => version.clone(),
        Import::Absent => "not installed".to_owned(),
        Import::Broken { reason } => format!("does not work: {reason}"),
        Import::TooSlow => "did not answer in time".to_owned(),
    }
}

fn without_gpu_text(found: &WithoutGpu) -> String {
    match found {
        WithoutGpu::Tried => "will do, tried with this release".to_owned(),
        WithoutGpu::NotTried => "not tried with this release; workers/simcuda/tour.py says what goes".to_owned(),
        WithoutGpu::No { reason } => format!("will not do: {reason}"),
    }
}

fn as_text(findings: &Findings) -> String {
    let mut text = String::from("found\n");
    let _ = write!(text, "  CUDA:   {}", cuda_text(findings));
    match &findings.nvml {
        Ok(nvml) => text.push_str(&format!("  NVML:   {}", nvml_text(nvml))),
        Err(error) => text.push_str(&format!("  NVML:   {error}\n")),
    }
    let python = &findings.python;
    let _ = writeln!(text, "  Python: {} ({})", import_text(&python.interpreter), python.program);
    for (name, import) in &python.packages {
        let _ = writeln!(text, "    {name:<5} {}", import_text(import));
    }
    if let Some(found) = findings.torch_without_gpu() {
        let _ = writeln!(text, "    torch without a GPU (poolproof simcuda): {}", without_gpu_text(&found));
    }
    text.push_str("\ntargets\n");
    for target in &findings.targets {
        let state = target.missing.as_ref().map_or_else(|| "ready".to_owned(), |m| format!("needs {m}"));
        let _ = writeln!(text, "  {}: {state} ({})", target.name, target.about);
    }
    let advice = findings.advice();
    if advice.is_empty() {
        text.push_str("\nnothing is missing\n");
        return text;
    }
    text.push_str("\nmissing\n");
    for one in advice {
        let _ = writeln!(text, "  {}\n    allows: {}", one.missing, one.allows);
        match &one.command {
            Some(command) => {
                let _ = writeln!(text, "    get it: {command}");
            }
            None => text.push_str("    get it: on another machine\n"),
        }
    }
    text
}

fn import_json(import: &Import) -> Value {
    match import {
        Import::Found { version, cuda } => json!({ "state": "found", "version": version, "cuda": cuda }),
        Import::Absent => json!({ "state": "absent" }),
        Import::Broken { reason } => json!({ "state": "broken", "reason": reason }),
        Import::TooSlow => json!({ "state": "too_slow" }),
    }
}

fn cuda_json(findings: &Findings) -> Value {
    match &findings.cuda {
        CudaProbe::NoLibrary => json!({ "state": "no_library" }),
        CudaProbe::SymbolMissing { function } => json!({ "state": "symbol_missing", "function": function }),
        CudaProbe::Failed { function, code } => json!({ "state": "failed", "function": function, "code": code }),
        CudaProbe::Found { version, devices } => {
            let places = findings.places();
            let nvml = |ordinal: usize| match places.get(ordinal) {
                Some(NvmlMatch::Device(index)) => json!({ "device": index }),
                Some(NvmlMatch::PartOf(index)) => json!({ "part_of": index }),
                Some(NvmlMatch::Ambiguous) => json!("ambiguous"),
                Some(NvmlMatch::Unknown) | None => Value::Null,
            };
            let device = |(ordinal, d): (usize, &crate::cuda::probe::CudaDeviceInfo)| {
                json!({
                    "ordinal": ordinal,
                    "name": d.name,
                    "uuid": d.uuid.to_string(),
                    "total_bytes": d.total_bytes,
                    "nvml": nvml(ordinal),
                })
            };
            json!({ "state": "found", "version": version, "devices": devices.iter().enumerate().map(device).collect::<Value>() })
        }
    }
}

fn as_json(findings: &Findings) -> Value {
    let nvml = |nvml: &NvmlFinding| {
        let devices: Value = nvml.devices.iter().map(|d| either(d, device_json)).collect();
        json!({ "driver": driver_json(&nvml.driver), "devices": devices })
    };
    let python = &findings.python;
    let packages: serde_json::Map<String, Value> =
        python.packages.iter().map(|(name, import)| ((*name).to_owned(), import_json(import))).collect();
    let targets: Value = findings
        .targets
        .iter()
        .map(|t| json!({ "name": t.name, "about": t.about, "missing": t.missing.as_ref().map(ToString::to_string) }))
        .collect();
    let advice: Value = findings
        .advice()
        .iter()
        .map(|a| json!({ "missing": a.missing, "allows": a.allows, "command": a.command }))
        .collect();
    let without_gpu = findings.torch_without_gpu().map(|found| match found {
        WithoutGpu::Tried => json!({ "state": "tried" }),
        WithoutGpu::NotTried => json!({ "state": "not_tried" }),
        WithoutGpu::No { reason } => json!({ "state": "no", "reason": reason }),
    });
    json!({
        "cuda": cuda_json(findings),
        "nvml": either(&findings.nvml, nvml),
        "python": { "program": python.program, "interpreter": import_json(&python.interpreter), "packages": packages },
        "torch_without_gpu": without_gpu,
        "targets": targets,
        "advice": advice,
    })
}

#[cfg(test)]
#[path = "doctor_test.rs"]
mod tests;
