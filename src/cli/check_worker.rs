//! `poolproof check-worker`: does a program speak the worker protocol, and how much of the suite does it open?

use serde_json::json;

use crate::engine::reach::{Reach, reach};
use crate::spec;
use crate::target::TargetName;
use crate::target::packaged::Package;
use crate::target::worker::{self, Examination};

use super::{CliError, Context, Exit};

/// Check that an adapter speaks the worker protocol, and say what it opens
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Starts the command as `run --target exec:...` would, asks it one thing of each kind, and then says how many scenarios apply to
it and which capability would add most. docs/worker-protocol.md has the protocol; `poolproof init worker` writes an adapter
that passes. Exits 1 if there is something to mend.

Examples:
  poolproof check-worker 'python3 adapter.py'
  poolproof check-worker 'exec:./adapter --pool@host?env=THREADS=4&deadline=5s'")]
pub(super) struct Args {
    /// The command, as a shell takes it, or the name of a target: exec:COMMAND@PLACE[?option=value]
    #[arg(value_name = "COMMAND")]
    command: String,
    /// As one JSON object
    #[arg(long)]
    json: bool,
}

/// Capabilities that are worth a line.
const MOST_SHOWN: usize = 6;

pub(super) fn run(args: &Args, context: &mut Context) -> Result<Exit, CliError> {
    let is_packaged = args.command.parse().is_ok_and(|name| Package::named(&name).is_some());
    let is_name = is_packaged || args.command.starts_with("exec:");
    let name = if is_name { args.command.clone() } else { format!("exec:{}@host", args.command) };
    let name: TargetName = name.parse()?;
    let found = worker::examine(&name).map_err(|error| CliError::Engine(error.into()))?;
    let reach = found.info.as_ref().map(|info| reach(&spec::built_in(), info));
    let text = if args.json {
        format!("{:#}\n", as_json(&name, &found, reach.as_ref()))
    } else {
        as_text(&name, &found, reach.as_ref())
    };
    context.out.text(text)?;
    Ok(if found.mistakes.is_empty() && reach.is_some() { Exit::Conformant } else { Exit::Findings })
}

fn as_text(name: &TargetName, found: &Examination, reach: Option<&Reach>) -> String {
    let mut lines = vec![format!("{name}: {} questions answered", found.answered)];
    lines.extend(found.mistakes.iter().map(|mistake| format!("wrong: {mistake}")));
    lines.extend(found.notes.iter().map(|note| format!("note: {note}")));
    if found.mistakes.is_empty() {
        lines.push("It speaks poolproof-worker/2: nothing is wrong.".to_owned());
    }
    if let Some(reach) = reach {
        lines.push(format!(
            "{} of {} scenarios ask for nothing that it lacks; they speak of {} requirements.",
            reach.scenarios, reach.of, reach.requirements
        ));
        if !reach.would_add.is_empty() {
            lines.push("All that others lack is one capability:".to_owned());
        }
        for (capability, scenarios, requirements) in reach.would_add.iter().take(MOST_SHOWN) {
            lines.push(format!("  {capability}: {scenarios} more scenarios, {requirements} more requirements"));
        }
    } else {
        lines.push("How many scenarios apply cannot be said: it could not be opened.".to_owned());
    }
    lines.push(String::new());
    lines.join("\n")
}

fn as_json(name: &TargetName, found: &Examination, reach: Option<&Reach>) -> serde_json::Value {
    let reach = reach.map(|reach| {
        let add = |(capability, scenarios, requirements): &(_, usize, usize)| {
            json!({ "capability": capability, "scenarios": scenarios, "requirements": requirements })
        };
        json!({
            "scenarios": reach.scenarios,
            "of": reach.of,
            "requirements": reach.requirements,
            "would_add": reach.would_add.iter().map(add).collect::<Vec<_>>(),
        })
    });
    json!({
        "target": name.to_string(),
        "answered": found.answered,
        "mistakes": found.mistakes,
        "notes": found.notes,
        "reach": reach,
    })
}
