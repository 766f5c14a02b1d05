//! `poolproof bench`: what operations cost, on the bare reference and through the whole harness.

use std::path::PathBuf;
use std::time::Duration;

use crate::bench::{self, Effort, Followed, Trace};
use crate::cuda;
use crate::target::{TargetError, TargetName};

use super::{CliError, Context, Exit};

/// Time the reference and the harness on this machine
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Figures are wall-clock times of one thread, the best of several readings: build with --release, and
compare only figures of one run.

Examples:
  poolproof bench
  poolproof bench --target reference@cuda
  poolproof bench --trace benches/traces/live1000.bin.gz --peer torch
  poolproof bench --telemetry"
)]
pub(super) struct Args {
    /// Time this target on a GPU instead: its cache against the driver's own calls, and contents against the card's copies
    #[arg(long, value_name = "NAME", conflicts_with_all = ["trace", "peer"])]
    target: Option<TargetName>,
    /// Time these allocation traces instead of the built-in ones (little-endian u32 slot, u64 bytes; may be .gz)
    #[arg(long, value_name = "FILE")]
    trace: Vec<PathBuf>,
    /// Time another allocator on the same traces, in the same run (needs its Python package, a compiler and a GPU)
    #[arg(long, value_enum, value_name = "NAME")]
    peer: Option<Peer>,
    /// The interpreter that has the peer's package
    #[arg(long, value_name = "PROGRAM", default_value = "python3")]
    python: String,
    /// Readings of each trace
    #[arg(long, value_name = "N", default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    repeats: u32,
    /// Instead: how soon and how exactly device memory figures follow changes, at these rates a second
    #[arg(
        long,
        value_name = "RATES",
        value_delimiter = ',',
        num_args = 0..=1,
        default_missing_value = "1,10,100,1000",
        value_parser = clap::value_parser!(u32).range(1..=100_000),
        conflicts_with_all = ["trace", "peer", "repeats"]
    )]
    telemetry: Vec<u32>,
    /// NVML's library, where it is not the driver's own
    #[arg(long, value_name = "PATH", hide_short_help = true, requires = "telemetry")]
    nvml_lib: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Peer {
    /// PyTorch's raw_alloc and raw_delete
    Torch,
}

const LIVE: [u32; 4] = [100, 1_000, 10_000, 100_000];

pub(super) fn run(args: &Args, context: &mut Context) -> Result<Exit, CliError> {
    if let Some(name) = args.target.as_ref().filter(|name| name.place == "cuda") {
        return on_gpu(name, context);
    }
    if !args.telemetry.is_empty() {
        return telemetry(args, context);
    }
    let traces = if args.trace.is_empty() {
        bench::built_in_traces()?
    } else {
        args.trace.iter().map(|path| Trace::open(path)).collect::<Result<_, _>>()?
    };
    let time_all = || traces.iter().map(|trace| bench::time_trace(trace, args.repeats)).collect::<Result<Vec<_>, _>>();
    let mut timings = time_all()?;
    let peers = match args.peer {
        Some(Peer::Torch) => Some(bench::time_torch(&args.python, &traces, args.repeats)?),
        None => None,
    };
    if peers.is_some() {
        // Once more after the peer: a neighbour that was busy at one end does not decide the ratio.
        for (timing, again) in timings.iter_mut().zip(time_all()?) {
            timing.nanoseconds_per_operation = timing.nanoseconds_per_operation.min(again.nanoseconds_per_operation);
        }
    }
    context.out.line("the reference alone: allocate and free with all statistics")?;
    for (number, timing) in timings.iter().enumerate() {
        context.out.line(format_args!(
            "  {:<40} {:>8} operations {:>8.1} ns each",
            timing.name, timing.operations, timing.nanoseconds_per_operation
        ))?;
        if let Some(peer) = peers.as_ref().and_then(|p| p.get(number)) {
            context.out.line(format_args!(
                "    torch {} ({}): {:.1} ns each; the reference takes {:.2} of its time",
                peer.torch,
                peer.kind,
                peer.nanoseconds_per_operation,
                timing.nanoseconds_per_operation / peer.nanoseconds_per_operation
            ))?;
        }
    }
    if !args.trace.is_empty() {
        return Ok(Exit::Conformant);
    }
    const LIVE_BLOCKS: u32 = 100_000;
    if let Some(bytes) = bench::memory_per_live_block(LIVE_BLOCKS)? {
        context.out.line(format_args!(
            "  memory: {bytes:.0} bytes for each of {LIVE_BLOCKS} live blocks, free ones included"
        ))?;
    }
    harness(args.target.as_ref(), context)?;
    Ok(Exit::Conformant)
}

fn through_harness(name: &TargetName, effort: Effort, context: &mut Context) -> Result<(), CliError> {
    let speed = bench::throughput(name, effort).map_err(crate::engine::EngineError::Target)?;
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let rate = |count: u64, seconds: f64| count as f64 / seconds;
    context.out.line(format_args!("\nthrough the harness, mixed operations on one core, {name}"))?;
    context.out.line(format_args!(
        "  all oracles  {:>12.0} operations/s  ({:.0}/s counting the {} fills, reads and retries it adds)",
        rate(speed.given, speed.seconds_judged),
        rate(speed.executed, speed.seconds_judged),
        speed.executed.saturating_sub(speed.given)
    ))?;
    context.out.line(format_args!("  no oracles   {:>12.0} operations/s", rate(speed.given, speed.seconds_bare)))?;
    if let Some(seconds) = speed.seconds_exact {
        context.out.line(format_args!("  and the twin {:>12.0} operations/s", rate(speed.given, seconds)))?;
        context
            .out
            .line(format_args!("  time with the twin over time without: {:.2}", seconds / speed.seconds_judged))?;
    }
    context
        .out
        .line(format_args!("  time with oracles over time without: {:.2}", speed.seconds_judged / speed.seconds_bare))
}

fn on_gpu(name: &TargetName, context: &mut Context) -> Result<Exit, CliError> {
    const SIZES: [u64; 4] = [4 << 10, 1 << 20, 2 << 20, 64 << 20];
    let unavailable = |e: cuda::CudaError| TargetError::Unavailable { target: name.to_string(), reason: e.to_string() };
    let failed = crate::engine::EngineError::Target;
    let gpu = cuda::probe().map_err(unavailable).map_err(failed)?.gpus.into_iter().next();
    let (title, total) = gpu.map_or_else(|| (String::new(), 0), |g| (g.name, g.total_bytes));
    context.out.line(format_args!("{name} on GPU 0 ({title})"))?;
    context.out.line("\na request and its free together, in microseconds")?;
    context.out.line("         bytes   from cache  + statistics  + contents   cuMemAlloc   cuMemAllocAsync")?;
    for bytes in SIZES {
        let times = bench::cached_pairs(name, bytes, 2000).map_err(failed)?;
        let calls = cuda::call_times(0, bytes, 200).map_err(unavailable).map_err(failed)?;
        let micro = |nanoseconds: f64| nanoseconds / 1e3;
        context.out.line(format_args!(
            "  {bytes:>12} {:>12.3} {:>13.3} {:>11.1} {:>12.2} {:>17.3}",
            micro(times.plain),
            micro(times.observed),
            micro(times.contents),
            micro(calls.alloc_free),
            micro(calls.pooled)
        ))?;
    }
    let width = cuda::bandwidth(0, (total / 32).clamp(64 << 20, 4 << 30)).map_err(unavailable).map_err(failed)?;
    context.out.line(format_args!(
        "\nbytes a second over {} MiB: copy {:.2} TB (read and written), fill {:.2} TB ({:.2} of it), check {:.2} TB ({:.2})",
        width.bytes >> 20,
        width.copy / 1e12,
        width.fill / 1e12,
        width.fill / width.copy,
        width.verify / 1e12,
        width.verify / width.copy
    ))?;
    through_harness(name, Effort::SHORT, context)?;
    Ok(Exit::Conformant)
}

fn harness(target: Option<&TargetName>, context: &mut Context) -> Result<(), CliError> {
    let name: TargetName = target.map_or_else(|| "reference@sim".parse(), |name| Ok(name.clone()))?;
    through_harness(&name, Effort::FULL, context)?;
    context.out.line("\ncost of an operation by live blocks (free one, ask for one)")?;
    context.out.line("        live   all oracles    no oracles   against 100 live")?;
    let points = bench::curve(&name, &LIVE).map_err(crate::engine::EngineError::Target)?;
    let base = points.first().map_or(1.0, |p| p.judged);
    for point in &points {
        context.out.line(format_args!(
            "  {:>10} {:>10.0} ns {:>10.0} ns {:>16.2}",
            point.live,
            point.judged,
            point.bare,
            point.judged / base
        ))?;
    }
    Ok(())
}

/// One table a device: the simulated one first, whose figure is exact and costs nothing.
fn telemetry(args: &Args, context: &mut Context) -> Result<Exit, CliError> {
    context.out.line("the simulated device by its own figure: what the course of calls itself adds")?;
    context.out.line(FOLLOWED)?;
    for &rate in &args.telemetry {
        context.out.line(followed(&bench::follow_simulated(rate)?))?;
    }
    let found = match crate::cuda::probe() {
        Ok(found) => found,
        Err(error) => {
            context.out.line(format_args!("\nno GPU is followed: {error}"))?;
            return Ok(Exit::Conformant);
        }
    };
    for gpu in &found.gpus {
        context.out.line(format_args!("\ncuda:{}, {}, by NVML", gpu.ordinal, gpu.name))?;
        context.out.line(FOLLOWED)?;
        for &rate in &args.telemetry {
            context.out.line(followed(&bench::follow_card(gpu, args.nvml_lib.as_deref(), rate)?))?;
        }
    }
    Ok(Exit::Conformant)
}

const FOLLOWED: &str =
    "    rate     reached   changes     shown   readings  one reading  median delay     p99 delay   worst error";

/// A line of the table. A change that was not shown before the next one has no delay.
fn followed(f: &Followed) -> String {
    let delay = |d: Option<Duration>| d.map_or_else(|| "-".to_owned(), |d| format!("{:.1} us", d.as_secs_f64() * 1e6));
    format!(
        "{:>6}/s {:>9.1}/s {:>9} {:>9} {:>10} {:>12} {:>13} {:>13} {:>11} B",
        f.rate,
        f.reached,
        f.changes,
        f.shown,
        f.samples,
        delay(Some(f.reading_median)),
        delay(f.delay_median),
        delay(f.delay_p99),
        f.worst_error_bytes
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_followed_is_a_line_under_its_heading() {
        let mut found = Followed {
            rate: 1000,
            reached: 998.26,
            changes: 2000,
            shown: 1999,
            samples: 61_234,
            delay_median: Some(Duration::from_nanos(123_456)),
            delay_p99: Some(Duration::from_millis(12)),
            worst_error_bytes: 64 << 20,
            reading_median: Duration::from_micros(31),
        };
        let mut text = format!("{FOLLOWED}\n{}", followed(&found));
        (found.shown, found.delay_median, found.delay_p99) = (0, None, None);
        text = format!("{text}\n{}", followed(&found));
        insta::assert_snapshot!(text);
    }
}
