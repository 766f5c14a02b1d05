//! `poolproof stress`: real threads on one allocator.

use std::time::Duration;

use crate::child::{Unfinished, finish};
use crate::engine::EngineError;
use crate::engine::command::quoted;
use crate::reference::shared::Race;
use crate::stress::{StressOptions, StressReport, watched};
use crate::target::{TargetName, worker};

use super::arguments::device_bytes;
use super::flags::duration;
use super::progress::Shown;
use super::{CliError, Context, Exit, signals};

/// Let threads share an allocator, and check what no order of their calls explains
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The calls of a round come from its seed; how they interleave is the operating system's, so that a
finding may need several rounds to show again. Checked: no byte has two holders; statistics of one moment agree with
each other and with the calls around it; every block is taken back; at the end nothing is left; and one thread that does
the same in the order in which the locks were taken gets the same addresses and statistics.

What counts as before and after: a call takes effect at one moment between its start and its answer, and which one is
not known. So one call came before another only if it was answered before the other was started; of calls that overlap
no order is assumed. A block counts as held from the answer that gave it to the start of the call that frees it; if a
thread left it to another, that one has it in hand before the start. Starts and answers are numbered by a counter that
all threads share, not by a clock, and a thread that has to wait in between only makes the checks claim less.

Exits 1 on a finding, 4 if no block was ever handed out.

Examples:
  poolproof stress --threads 16 --time 30s
  poolproof stress --target 'reference@sim?expandable_segments:True' --seed 7
  poolproof stress --race stats-outside-lock        what a planted race looks like
  poolproof stress --target plugin:./libmine.so@host     of a library: no byte has two holders, and no thread ends it"
)]
pub(super) struct Args {
    /// The reference on simulated devices, with its options, or a library: plugin:PATH@host
    #[arg(long, value_name = "NAME", default_value = "reference@sim")]
    target: TargetName,
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: u16,
    /// Start rounds for this long
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration)]
    time: Duration,
    /// The calls of the first round are drawn from this, those of the next from the next
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Calls of each thread in a round
    #[arg(long, value_name = "N", default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    calls: u32,
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=8))]
    devices: u8,
    /// Memory of each device
    #[arg(long, value_name = "SIZE", default_value = "512MiB", value_parser = device_bytes)]
    device_bytes: u64,
    /// Plant a mistake in what the locks cover
    #[arg(long, value_name = "NAME")]
    race: Option<Race>,
    /// In this process, although it may not survive it
    #[arg(long, hide = true)]
    here: bool,
}

/// Calls of a round, all threads together: each is kept until the round was checked.
const MOST_CALLS: u64 = 20_000_000;

pub(super) fn run(args: &Args, context: &mut Context) -> Result<Exit, CliError> {
    let calls = u64::from(args.threads) * u64::from(args.calls);
    if calls > MOST_CALLS {
        return Err(CliError::TooManyCalls { calls, most: MOST_CALLS });
    }
    if args.target.library().is_some() && !args.here {
        return apart(args, context);
    }
    if args.here {
        worker::follow_parent();
    }
    let options = StressOptions {
        target: args.target.clone(),
        threads: usize::from(args.threads),
        calls: args.calls as usize,
        devices: usize::from(args.devices),
        device_bytes: args.device_bytes,
        streams: 3,
        seed: args.seed,
        time: args.time,
        race: args.race,
    };
    signals::listen(&context.stop);
    let mut shown = Shown::quiet("stress", context);
    let time = humantime::format_duration(args.time);
    shown.begins(&format!("rounds of {} calls by each of {} threads for {time}", args.calls, args.threads));
    let result = watched(&options, &context.stop, &shown);
    shown.clear();
    let report = result?;
    context.out.text(rendered(args, &report))?;
    Ok(match (&report.failed, report.interrupted || report.blocks == 0) {
        (Some(_), _) => Exit::Findings,
        (None, true) => Exit::Inconclusive,
        (None, false) => Exit::Conformant,
    })
}

/// A library is called in a process that can be lost, and that ends with this one.
fn apart(args: &Args, context: &mut Context) -> Result<Exit, CliError> {
    let time = humantime::format_duration(args.time).to_string().replace(' ', "");
    let pairs = [
        ("--target", args.target.to_string()),
        ("--threads", args.threads.to_string()),
        ("--time", time),
        ("--seed", args.seed.to_string()),
        ("--calls", args.calls.to_string()),
        ("--devices", args.devices.to_string()),
        ("--device-bytes", args.device_bytes.to_string()),
    ];
    let words = pairs.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]);
    let arguments = ["stress".to_owned()].into_iter().chain(words).chain(["--here".to_owned()]).collect();
    let (program, deadline) = worker::apart(&args.target, arguments).map_err(EngineError::from)?;
    // The last round may begin when the time is just not over.
    let limit = args.time.saturating_mul(2).saturating_add(deadline);
    let ended = match finish(&program, limit) {
        Ok(finished) => match finished.status.code() {
            Some(0) => (Exit::Conformant, finished.text().into_owned()),
            Some(1) => (Exit::Findings, finished.text().into_owned()),
            Some(4) => (Exit::Inconclusive, finished.text().into_owned()),
            Some(code @ (2 | 3)) => {
                eprint!("{}", finished.stderr);
                return Ok(if code == 2 { Exit::Usage } else { Exit::Target });
            }
            _ => {
                let text =
                    format!("violation (crash): its process ended: {} ({})\n", finished.complaint(), finished.status);
                (Exit::Findings, text + &again(args, args.seed))
            }
        },
        Err(Unfinished::TooSlow(limit)) => {
            let limit = humantime::format_duration(limit);
            let text = format!("violation (hang): its threads did not come to an end within {limit}\n");
            (Exit::Findings, text + &again(args, args.seed))
        }
        Err(Unfinished::NotStarted(source)) => return Err(EngineError::Threads { threads: 1, source }.into()),
    };
    context.out.text(ended.1)?;
    Ok(ended.0)
}

/// The command that makes the same calls.
fn again(args: &Args, seed: u64) -> String {
    let race = args.race.map_or_else(String::new, |r| format!(" --race {}", r.name()));
    format!(
        "the same calls again: poolproof stress --target {} --threads {} --devices {} --device-bytes {} --calls {} \
         --seed {seed}{race}\n",
        quoted(args.target.to_string()),
        args.threads,
        args.devices,
        args.device_bytes,
        args.calls
    )
}

fn rendered(args: &Args, report: &StressReport) -> String {
    let StressReport { rounds, calls, blocks, seconds, reads, refused, ordered, interrupted, failed } = report;
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let rate = *calls as f64 / seconds.max(1e-9);
    let mut text = format!(
        "{}: {} threads, {} devices, {rounds} rounds from seed {}: {calls} calls, {rate:.0} a second\n\
         {blocks} blocks handed out, {refused} requests refused, {reads} reads of statistics, {ordered} acts done again \
         in the order of the locks\n",
        args.target, args.threads, args.devices, args.seed
    );
    let Some((seed, findings)) = failed else {
        let until = if *interrupted { " before it was interrupted" } else { "" };
        let nothing = format!("inconclusive: no block was handed out{until}, so that nothing was shown\n");
        return text + &if *blocks == 0 { nothing } else { format!("no violation{until}\n") };
    };
    for finding in findings {
        text += &format!("violation ({}): {}\n", finding.check.name(), finding.text);
    }
    text += &again(args, *seed);
    text
}
