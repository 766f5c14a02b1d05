//! `poolproof list`: what there is.

use serde_json::json;

use crate::op::corruption::{Occasion, kinds, occasions};
use crate::op::observable::Observable;
use crate::op::{OracleName, exclusion, state};
use crate::oracle;
use crate::reference::{Defect, Variation};
use crate::requirement;
use crate::spec::{self, Body};

use super::{CliError, Context, Exit, targets};

/// Print what there is, from scenarios and requirements to defects and observables
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  poolproof list requirements
  poolproof list targets                  every kind of target with its options
  poolproof list scenarios --json")]
pub(super) struct Args {
    #[arg(value_enum, default_value_t = What::Scenarios)]
    what: What,
    /// As a JSON array
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum What {
    Scenarios,
    Requirements,
    /// What can be tested here, how each is named, and the options of its name
    Targets,
    Oracles,
    /// Defects that can be planted: reference@sim?defect=NAME
    Defects,
    /// Legal variations of policy: reference@sim?variation=NAME, several joined by +
    Variations,
    /// What the states of steps are made of, and which values exclude each other
    States,
    /// What a target shows, who judges it, and how it can be told wrongly: reference@sim?unfaithful=KEY/KIND/WHEN
    Observables,
    /// Where a judge is silent about what a user could call a mistake, and why
    Excuses,
}

pub(super) fn run(args: &Args, context: &mut Context) -> Result<Exit, CliError> {
    let entries = match args.what {
        What::Scenarios => scenarios(),
        What::Requirements => requirements(),
        What::Targets => {
            let text = if args.json { format!("{:#}\n", targets::as_json()) } else { targets::as_text() };
            context.out.text(text)?;
            return Ok(Exit::Conformant);
        }
        What::Oracles => {
            let all = OracleName::ALL.iter().chain(OracleName::WATCH);
            all.map(|o| Entry::new(vec![o.name().to_owned()], json!({"name": o.name()}))).collect()
        }
        What::Defects => defects(),
        What::Excuses => oracle::EXCUSES.iter().map(excuse).collect(),
        What::States => state::Value::ALL.iter().map(|v| value(*v)).chain(exclusion::ALL.iter().map(rule)).collect(),
        What::Observables => Observable::all().map(observable).collect(),
        What::Variations => named(&Variation::ALL.iter().map(|v| (v.name(), v.what())).collect::<Vec<_>>()),
    };
    if args.json {
        let all: Vec<serde_json::Value> = entries.into_iter().map(|e| e.json).collect();
        context.out.line(format_args!("{:#}", serde_json::Value::Array(all)))?;
    } else {
        context.out.text(aligned(&entries))?;
    }
    Ok(Exit::Conformant)
}

/// One line of a list: its cells, and the same for programs.
struct Entry {
    cells: Vec<String>,
    json: serde_json::Value,
}

impl Entry {
    fn new(cells: Vec<String>, json: serde_json::Value) -> Self {
        Entry { cells, json }
    }
}

fn excuse(excuse: &oracle::Excuse) -> Entry {
    let oracle::Excuse { oracle, when, why, asked_by } = *excuse;
    let asked = asked_by.map_or_else(|| "-".to_owned(), |id| format!("asked by {id}"));
    let json = json!({"oracle": oracle.name(), "when": when, "why": why, "asked_by": asked_by});
    Entry::new(vec![oracle.name().to_owned(), when.to_owned(), why.to_owned(), asked], json)
}

fn scenarios() -> Vec<Entry> {
    let entry = |s: spec::Scenario| {
        let kind = if matches!(s.body, Body::Generate(_)) { "generated" } else { "steps" };
        let json = json!({
            "id": s.id, "requirement": s.requirement, "kind": kind, "severity": s.severity, "file": s.file,
            "title": s.title,
        });
        Entry::new(vec![s.id, s.requirement.to_string(), kind.to_owned(), s.title.en], json)
    };
    spec::built_in().into_iter().map(entry).collect()
}

fn requirements() -> Vec<Entry> {
    let entry = |r: &requirement::Requirement| {
        let level = match r.level {
            requirement::Level::Must => "must",
            requirement::Level::Should => "should",
        };
        let (en, zh) = r.broken;
        let json = json!({
            "id": r.id, "level": r.level, "severity": r.severity, "corrupts": r.corrupts,
            "title": { "en": r.en, "zh": r.zh }, "broken": { "en": en, "zh": zh },
        });
        Entry::new(vec![r.id.to_string(), level.to_owned(), r.severity.name().to_owned(), r.en.to_owned()], json)
    };
    requirement::ALL.iter().map(entry).collect()
}

fn defects() -> Vec<Entry> {
    let entry = |d: &Defect| {
        let json = json!({"name": d.name(), "copies": d.copies(), "promises": d.promises(), "what": d.what()});
        let promises = d.promises().iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        Entry::new(vec![d.name().to_owned(), d.copies().to_owned(), promises, d.what().to_owned()], json)
    };
    Defect::ALL.iter().map(entry).collect()
}

fn observable(observable: Observable) -> Entry {
    let key = observable.to_string();
    let judges: Vec<&str> = oracle::judges(observable).iter().map(|o| o.name()).collect();
    let ways: Vec<serde_json::Value> = kinds(observable)
        .into_iter()
        .map(|wrong| {
            let when: Vec<&str> = occasions(wrong, observable.is_figure()).iter().map(|o| Occasion::name(*o)).collect();
            json!({"kind": wrong.name(), "when": when})
        })
        .collect();
    let kinds: Vec<&str> = kinds(observable).into_iter().map(|wrong| wrong.name()).collect();
    let json = json!({"name": key, "what": observable.what(), "judges": judges, "unfaithful": ways});
    let judged = if judges.is_empty() { "nobody".to_owned() } else { judges.join(", ") };
    Entry::new(vec![key, judged, kinds.join(", ")], json)
}

fn value(value: state::Value) -> Entry {
    let takes: Vec<String> = value.takes().iter().map(ToString::to_string).collect();
    let (dimension, name) = (value.dimension(), value.name());
    let json = json!({
        "dimension": dimension.name(), "value": name, "about": dimension.what(), "what": value.what(), "takes": takes,
    });
    let needs = if takes.is_empty() { String::new() } else { format!(" (takes {})", takes.join(", ")) };
    Entry::new(vec![dimension.to_string(), name.to_owned(), format!("{}{needs}", value.what())], json)
}

fn rule(rule: &exclusion::Exclusion) -> Entry {
    let names = |side: exclusion::Side| side.values().values().map(|v| v.to_string()).collect::<Vec<_>>();
    let claimed = rule.claimed.map(|c| c.to_string());
    let (one, other) = (names(rule.one), names(rule.other));
    let who = claimed.as_ref().map_or_else(String::new, |claimed| format!(" (only where {claimed} is claimed)"));
    let text = format!("{} with {}: {}{who}", one.join(", "), other.join(", "), rule.why);
    let json = json!({"never": one, "with": other, "why": rule.why, "claimed": claimed});
    Entry::new(vec!["rule".to_owned(), "never".to_owned(), text], json)
}

fn named(pairs: &[(&str, &str)]) -> Vec<Entry> {
    let entry = |(name, what): &(&str, &str)| {
        Entry::new(vec![(*name).to_owned(), (*what).to_owned()], json!({"name": name, "what": what}))
    };
    pairs.iter().map(entry).collect()
}

/// Cells in columns, the last one ragged.
fn aligned(entries: &[Entry]) -> String {
    let columns = entries.iter().map(|e| e.cells.len()).max().unwrap_or(0);
    let width = |column: usize| entries.iter().filter_map(|e| e.cells.get(column)).map(|c| c.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for entry in entries {
        let padded = entry.cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        text.push_str(padded.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excuse_names_a_scenario_that_asks_all_the_same() {
        let all = spec::built_in();
        for excuse in oracle::EXCUSES {
            if let Some(id) = excuse.asked_by {
                assert!(all.iter().any(|s| s.id == id), "{id}");
            }
        }
    }
}
