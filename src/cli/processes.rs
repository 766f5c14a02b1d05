//! `poolproof processes`: who holds memory on which device, by NVML.
//!
//! Decides the words. A figure that NVML keeps back is said to be kept back, with the reason; it is never 0.

use std::fmt::Write as _;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::cuda::telemetry::{DriverInfo, GpuInfo, GpuProcess, ProcessList, Telemetry, TelemetryError};
use crate::op::NvmlMemory;
use crate::op::size::{both, human};

use super::{CliError, Context, Exit};

/// Print the processes on each GPU and the memory they hold (NVML)
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Devices are numbered as NVML and nvidia-smi number them; `poolproof doctor` says which of them CUDA's are.
A process that cannot be named here has ended, or runs in another PID namespace (another container, the host).

Exit codes: 0 listed, 2 there is no such device, 3 NVML, or the list of a device, cannot be had (the reason is printed).

Examples:
  poolproof processes
  poolproof processes --device 0 --json"
)]
pub(super) struct Args {
    /// One device, by NVML's index
    #[arg(long, value_name = "N")]
    device: Option<u32>,
    /// As one JSON object
    #[arg(long)]
    json: bool,
    /// NVML's library, where it is not the driver's own
    #[arg(long, value_name = "PATH", hide_short_help = true)]
    nvml_lib: Option<PathBuf>,
}

/// A device and who is on it.
struct Row {
    info: GpuInfo,
    list: Result<ProcessList, TelemetryError>,
}

pub(super) fn run(args: &Args, context: &mut Context) -> Result<Exit, CliError> {
    match look(args) {
        Ok((driver, rows)) => {
            let text = if args.json { json_text(&as_json(&driver, &rows)) } else { as_text(&driver, &rows) };
            context.out.text(text)?;
            Ok(if rows.iter().all(|row| row.list.is_ok()) { Exit::Conformant } else { Exit::Target })
        }
        Err(error) => {
            if args.json {
                context.out.text(json_text(&error_json(&error)))?;
            }
            Err(error.into())
        }
    }
}

fn look(args: &Args) -> Result<(DriverInfo, Vec<Row>), TelemetryError> {
    let telemetry = Telemetry::open(args.nvml_lib.as_deref())?;
    let count = telemetry.device_count()?;
    let asked = match args.device {
        Some(device) if device >= count => return Err(TelemetryError::NoSuchDevice { device, count }),
        Some(device) => device..device + 1,
        None => 0..count,
    };
    let row = |index| Ok(Row { info: telemetry.device(index)?, list: telemetry.processes(index) });
    let rows = asked.map(row).collect::<Result<_, TelemetryError>>()?;
    Ok((telemetry.driver(), rows))
}

fn json_text(value: &Value) -> String {
    format!("{value:#}\n")
}

pub(super) fn error_json(error: &TelemetryError) -> Value {
    json!({ "error": error.to_string(), "advice": error.advice() })
}

/// The value, or why there is none.
pub(super) fn either<T>(value: &Result<T, TelemetryError>, into: impl Fn(&T) -> Value) -> Value {
    value.as_ref().map_or_else(error_json, into)
}

pub(super) fn driver_json(driver: &DriverInfo) -> Value {
    json!({ "version": either(&driver.version, |v| json!(v)), "cuda": either(&driver.cuda, |v| json!(v)) })
}

pub(super) fn device_json(info: &GpuInfo) -> Value {
    json!({
        "index": info.index,
        "uuid": either(&info.uuid, |v| json!(v)),
        "name": either(&info.name, |v| json!(v)),
        "memory": either(&info.memory, |m| json!(m)),
    })
}

fn as_json(driver: &DriverInfo, rows: &[Row]) -> Value {
    let one = |p: &GpuProcess| {
        json!({
            "pid": p.pid,
            "kind": p.kind.name(),
            "used_bytes": p.used_bytes,
            "gpu_instance": p.gpu_instance,
            "name": p.name,
            "is_own": p.is_own,
        })
    };
    let row = |row: &Row| {
        let mut value = device_json(&row.info);
        value["processes"] = either(&row.list, |list| list.processes.iter().map(one).collect());
        if let Ok(ProcessList { graphics_missing: Some(error), .. }) = &row.list {
            value["graphics"] = error_json(error);
        }
        value
    };
    json!({ "driver": driver_json(driver), "devices": rows.iter().map(row).collect::<Value>() })
}

pub(super) fn or_reason<T: ToString>(value: &Result<T, TelemetryError>) -> String {
    value.as_ref().map_or_else(|error| format!("unavailable ({error})"), ToString::to_string)
}

pub(super) fn driver_text(driver: &DriverInfo) -> String {
    format!("driver {}, CUDA up to {}", or_reason(&driver.version), or_reason(&driver.cuda))
}

pub(super) fn memory_text(memory: &Result<NvmlMemory, TelemetryError>) -> String {
    match memory {
        Ok(m) => format!(
            "{} in all: {} used, {} free, {} kept by the driver",
            human(m.total_bytes),
            human(m.used_bytes),
            human(m.free_bytes),
            human(m.reserved_bytes)
        ),
        Err(error) => format!("unavailable ({error})"),
    }
}

fn as_text(driver: &DriverInfo, rows: &[Row]) -> String {
    let mut text = format!("{}\n", driver_text(driver));
    if rows.is_empty() {
        text.push_str("NVML sees no device\n");
    }
    for Row { info, list } in rows {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "\ndevice {}: {}, {}", info.index, or_reason(&info.name), or_reason(&info.uuid));
        let _ = writeln!(text, "  memory: {}", memory_text(&info.memory));
        match list {
            Err(error) => {
                let _ = writeln!(text, "  processes: unavailable ({error})\n  {}", error.advice());
            }
            Ok(list) => list_text(&mut text, list),
        }
    }
    text
}

fn list_text(text: &mut String, list: &ProcessList) {
    if list.processes.is_empty() {
        text.push_str("  no processes are using this device\n");
    } else {
        let _ = writeln!(text, "  {:>10}  {:<8}  {:<28}  name", "pid", "kind", "memory");
    }
    for process in &list.processes {
        let memory = process.used_bytes.map_or_else(|| "unavailable".to_owned(), both);
        let name = process.name.as_deref().unwrap_or("(not visible here)");
        let instance = process.gpu_instance.map_or_else(String::new, |i| format!(", GPU instance {i}"));
        let own = if process.is_own { " (this program)" } else { "" };
        let (pid, kind) = (process.pid, process.kind.name());
        let _ = writeln!(text, "  {pid:>10}  {kind:<8}  {memory:<28}  {name}{own}{instance}");
    }
    if let Some(error) = &list.graphics_missing {
        let _ = writeln!(text, "  processes with graphics contexts alone are left out ({error})");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cuda::telemetry::{ProcessKind, Query};

    #[test]
    fn a_partitioned_device_reads_so() {
        let process = |pid, kind, used_bytes, gpu_instance| GpuProcess {
            pid,
            kind,
            used_bytes,
            gpu_instance,
            name: (pid == 7).then(|| "python3".to_owned()),
            is_own: false,
        };
        let processes = vec![
            process(7, ProcessKind::Both, Some(1_610_612_736), Some(1)),
            process(123_456, ProcessKind::Compute, None, Some(2)),
        ];
        let list = ProcessList { processes, graphics_missing: None };
        let info = GpuInfo {
            index: 3,
            uuid: Ok("GPU-1".to_owned()),
            name: Err(TelemetryError::NotText { query: Query::Name, device: Some(3) }),
            memory: Err(TelemetryError::GpuLost { device: Some(3) }),
        };
        let driver = DriverInfo { version: Ok("580.1".to_owned()), cuda: Err(TelemetryError::DriverNotLoaded) };
        insta::assert_snapshot!(as_text(&driver, &[Row { info, list: Ok(list) }]), @r"
        driver 580.1, CUDA up to unavailable (the NVIDIA kernel driver is not loaded)

        device 3: unavailable (nvmlDeviceGetName answered something that is not text (device 3)), GPU-1
          memory: unavailable (the device has fallen off the bus (device 3))
                 pid  kind      memory                        name
                   7  both      1.5 GiB (1610612736 B)        python3, GPU instance 1
              123456  compute   unavailable                   (not visible here), GPU instance 2
        ");
    }
}
