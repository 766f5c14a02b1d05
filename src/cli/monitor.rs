//! `poolproof monitor`: what tells of device memory, on a live PyTorch.

use std::path::PathBuf;

use crate::engine::{self, EngineError};
use crate::monitor::{self, Options, Watched};
use crate::report;
use crate::verdict::monitoring::Monitoring;

use super::flags::{Lang, ensure_writable, expected};
use super::pulse::Pulse;
use super::{CliError, Context, Exit, signals};

/// Measure what tells of device memory: list_gpu_processes against NVML, what figures cost, how late and how wrong they are
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Needs an interpreter with torch, and a GPU (or simulated ones, each the only process's there). Where pynvml is not installed, a stand-in
of a few lines takes its place. Writes DIR/{monitor.json, monitor.md, monitor.svg} and DIR/{monitor.zh.md, monitor.zh.svg}. Exit
code 1 if a promise is broken that is not in specs/expect/torch-monitor.yaml or the file of --expect, or if an entry of it is out
of date; 4 if it was interrupted or a part did not come to its end.

Examples:
  poolproof monitor --python .venv/bin/python
  poolproof simcuda --devices 2 -- poolproof monitor --python .venv/bin/python")]
pub(super) struct Args {
    /// The interpreter
    #[arg(long, value_name = "PROGRAM", default_value = "python3")]
    python: String,
    /// Seconds of watching memory change, on each device
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=3600))]
    seconds: u32,
    /// Only this part; may be given more than once
    #[arg(long = "part", value_enum, value_name = "PART")]
    parts: Vec<Part>,
    /// Known failures, instead of those that come along; `scenario` is a glob over rows in it
    #[arg(long, value_name = "FILE")]
    expect: Option<PathBuf>,
    /// Where the results go
    #[arg(long, value_name = "DIR", default_value = "reports/latest/monitor")]
    out: PathBuf,
    /// Languages of the page
    #[arg(long, value_enum, default_value_t = Lang::Both)]
    lang: Lang,
}

/// What can be measured by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    Processes,
    Cost,
    Delay,
}

impl Part {
    /// As the worker calls it.
    fn name(self) -> &'static str {
        match self {
            Part::Processes => "processes",
            Part::Cost => "cost",
            Part::Delay => "delay",
        }
    }
}

/// What expected failures call the target.
const TARGET: (&str, &str) = ("torch-monitor", "cuda");

/// Counts results and broken promises while they come.
struct Shown {
    pulse: Pulse,
    verbose: bool,
}

impl Watched for Shown {
    fn begin(&self, steps: u64) {
        self.pulse.begin(steps, "results");
    }

    fn step(&self, what: &str, broken: bool) {
        if broken {
            self.pulse.found();
        }
        let (done, total) = (self.pulse.done(), self.pulse.total().max(1));
        if self.verbose {
            self.pulse.say(what);
        } else if !self.pulse.has_bar() && done * 10 / total != (done - 1) * 10 / total {
            self.pulse.say(&format!("{done} of about {total} results"));
        }
    }
}

pub(super) fn run(args: &Args, context: &mut Context) -> Result<Exit, CliError> {
    ensure_writable(&args.out)?;
    let expected = expected(TARGET, args.expect.as_deref())?;
    signals::listen(&context.stop);
    let shown = Shown { pulse: Pulse::start("monitor", "broken", context), verbose: context.verbose };
    let options = Options {
        python: args.python.clone(),
        seconds: args.seconds,
        parts: args.parts.iter().map(|part| part.name().to_owned()).collect(),
        own: std::env::current_exe().ok(),
        expected: expected.as_ref(),
        stop: context.stop.clone(),
        command: engine::command::typed(),
    };
    let result = monitor::run(&options, &shown);
    drop(shown);
    let monitoring = result?;
    let pages = write(&monitoring, args)?;
    context.out.line(report::monitoring_summary(&monitoring))?;
    pages.iter().try_for_each(|path| context.out.line(path.display()))?;
    let is_judged = monitoring.judged().count() > 0 || !monitoring.has_rows();
    Ok(match (monitoring.is_as_expected(), monitoring.complete && is_judged) {
        (false, _) => Exit::Findings,
        (true, true) => Exit::Conformant,
        (true, false) => Exit::Inconclusive,
    })
}

/// Writes the record, and a page and a plot in each language; answers the pages and plots.
fn write(monitoring: &Monitoring, args: &Args) -> Result<Vec<PathBuf>, CliError> {
    let path = args.out.join("monitor.json");
    let mut json = serde_json::to_vec_pretty(monitoring)
        .map_err(|e| EngineError::Write { path: path.clone(), source: e.into() })?;
    json.push(b'\n');
    engine::write_whole(&path, &json)?;
    let mut written = Vec::new();
    for language in args.lang.languages() {
        let (page, plot) = report::monitoring_files(*language);
        let texts = [(page, Some(report::monitoring_page(monitoring, *language)))];
        for (name, text) in texts.into_iter().chain([(plot, report::monitoring_plot(monitoring, *language))]) {
            let Some(text) = text else { continue };
            let path = args.out.join(name);
            engine::write_whole(&path, text.as_bytes())?;
            written.push(path);
        }
    }
    Ok(written)
}
