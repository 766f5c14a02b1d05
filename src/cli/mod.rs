//! Floor 5, the command line: one file a subcommand.
//!
//! Decides what can be asked for, in which words, and what is printed where: results on stdout, errors and
//! progress on stderr. Exit codes are in `exit`. Computes nothing itself.

mod arguments;
mod bench;
mod check;
mod check_worker;
mod compare;
mod contract;
mod cuda;
mod doctor;
mod emit;
mod error;
mod exit;
mod explain;
mod flags;
mod fork_server;
mod fuzz;
mod init;
mod kill_matrix;
mod list;
mod matrix;
mod monitor;
mod neighbour;
mod output;
mod processes;
mod progress;
mod pulse;
mod replay;
mod report;
mod run;
mod schema;
mod settings_table;
mod setup;
mod signals;
mod simcuda;
mod stress;
mod survival;
mod targets;
mod unfaithful;
mod worker;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

use crate::engine::Stop;

use error::CliError;
use exit::Exit;
use output::{Output, Paint};

const EXAMPLES: &str = "\
Examples:
  poolproof run                                       every built-in scenario, simulated and on GPUs if there are
  poolproof run --scenario 'frac::*' --lang en        one area, one language
  poolproof run --target 'reference@sim?defect=NAME'  what a planted defect looks like
  poolproof replay reports/latest/reference@sim/findings/F01-....json
  poolproof check my-specs/                           is a scenario file well formed?
  poolproof list requirements                         what is promised

Exit codes:
  0 conformant   1 findings   2 wrong command line or file
  3 a target could not be run   4 inconclusive
  INT or TERM ends long work with a report of what there is so far; a second one ends it at once (130, 143)";

/// Proves or disproves that a GPU caching allocator keeps its promises.
///
/// Scenarios (YAML, each citing a numbered requirement) become operations on a target; oracles judge
/// every answer; what fails is made small and reported with a command that repeats it.
#[derive(Debug, Parser)]
#[command(name = "poolproof", version, after_help = EXAMPLES, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Colours in messages and progress; `auto`: on a terminal, and not where NO_COLOR is set
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto)]
    color: Color,
    /// Say more: one line a finished scenario
    #[arg(short, long, global = true)]
    verbose: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Args),
    Matrix(matrix::Args),
    KillMatrix(kill_matrix::Args),
    Survival(survival::Args),
    Unfaithful(unfaithful::Args),
    Contract(contract::Args),
    Monitor(monitor::Args),
    Fuzz(fuzz::Args),
    List(list::Args),
    Check(check::Args),
    Schema(schema::Args),
    Report(report::Args),
    Compare(compare::Args),
    Replay(replay::Args),
    Explain(explain::Args),
    Bench(bench::Args),
    Stress(stress::Args),
    CheckWorker(check_worker::Args),
    Init(init::Args),
    Setup(setup::Args),
    Simcuda(simcuda::Args),
    Worker(worker::Args),
    #[command(hide = true)]
    ForkServer(fork_server::Args),
    Processes(processes::Args),
    Neighbour(neighbour::Args),
    Doctor(doctor::Args),
    #[command(hide = true)]
    CudaSelftest(cuda::Args),
}

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Color {
    Auto,
    Always,
    Never,
}

impl Color {
    fn paint(self) -> Paint {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
        match self {
            Color::Always => Paint::On,
            Color::Auto if !unwanted && std::io::stderr().is_terminal() => Paint::On,
            Color::Auto | Color::Never => Paint::Off,
        }
    }
}

/// What every subcommand is given.
struct Context {
    out: Output,
    paint: Paint,
    verbose: bool,
    /// Asked for by a signal, where a command listens to them.
    stop: Stop,
}

/// Reads the command line, does what it says, and answers the exit code.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match arguments::parse() {
        Ok(cli) => cli,
        Err(error) => {
            // A closed pipe is no reason to complain about not being able to complain.
            let _ = arguments::print(&error);
            return if error.use_stderr() { Exit::Usage.into() } else { Exit::Conformant.into() };
        }
    };
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn"))
        .format_timestamp(None)
        .write_style(if cli.color.paint() == Paint::On {
            env_logger::WriteStyle::Always
        } else {
            env_logger::WriteStyle::Never
        })
        .init();
    // Without one, what stands on it says so.
    if let Ok(cache) = crate::setup::cache() {
        crate::target::packaged::use_cache(&cache);
    }
    let mut context =
        Context { out: Output::default(), paint: cli.color.paint(), verbose: cli.verbose, stop: Stop::default() };
    let result = match cli.command {
        Command::Run(args) => run::run(args, &mut context),
        Command::Matrix(args) => matrix::run(&args, &mut context),
        Command::Survival(args) => survival::run(&args, &mut context),
        Command::Unfaithful(args) => unfaithful::run(&args, &mut context),
        Command::Contract(args) => contract::run(&args, &mut context),
        Command::Monitor(args) => monitor::run(&args, &mut context),
        Command::KillMatrix(args) => kill_matrix::run(args, &mut context),
        Command::Fuzz(args) => fuzz::run(&args, &mut context),
        Command::List(args) => list::run(&args, &mut context),
        Command::Check(args) => check::run(&args, &mut context),
        Command::Schema(args) => schema::run(&args, &mut context),
        Command::Report(args) => report::run(&args, &mut context),
        Command::Compare(args) => compare::run(&args, &mut context),
        Command::Replay(args) => replay::run(&args, &mut context),
        Command::Explain(args) => explain::run(&args, &mut context),
        Command::Bench(args) => bench::run(&args, &mut context),
        Command::Stress(args) => stress::run(&args, &mut context),
        Command::CheckWorker(args) => check_worker::run(&args, &mut context),
        Command::Init(args) => init::run(&args, &mut context),
        Command::Setup(args) => setup::run(&args, &mut context),
        Command::Simcuda(args) => simcuda::run(&args, &mut context),
        Command::Worker(args) => worker::run(&args, &mut context),
        Command::ForkServer(args) => fork_server::run(&args, &mut context),
        Command::Processes(args) => processes::run(&args, &mut context),
        Command::Neighbour(args) => neighbour::run(&args, &mut context),
        Command::Doctor(args) => doctor::run(&args, &mut context),
        Command::CudaSelftest(args) => cuda::run(&args, &mut context),
    };
    match result {
        Ok(exit) => exit.into(),
        Err(error) => {
            output::complain(context.paint, &error);
            error.exit().into()
        }
    }
}
