//! `poolproof list targets`: what can be tested here, and how each is named.
//!
//! Decides how the registry reads, for people and for programs.

use serde_json::{Value, json};

use crate::target::registry::{ALL, Freshness, Parallel, TargetKind};

/// A paragraph a target.
pub(super) fn as_text() -> String {
    ALL.into_iter().map(paragraph).collect::<Vec<_>>().join("\n")
}

fn paragraph(kind: &TargetKind) -> String {
    let fresh = match kind.freshness {
        Freshness::Sequence => "begins anew with every sequence",
        Freshness::Settings => "begins anew with every sequence, and other settings in another process",
        Freshness::Process => "begins anew with every process, one a sequence",
    };
    let jobs = match kind.parallel {
        Parallel::EachCore if kind.name.ends_with("@sim") || kind.name.ends_with("@host") => "one a core",
        Parallel::EachCore => "one a core, one where it is on a GPU",
        Parallel::One => "one at a time",
    };
    let mut text = format!("{}\n    {}\n    {}; {fresh}; {jobs}\n", kind.name, kind.what, kind.isolation.name());
    if let Some(missing) = kind.missing() {
        text += &format!("    cannot be used here: {}; {}\n", missing.reason, missing.lift);
    }
    let width = kind.options().map(|option| option.usage.len()).max().unwrap_or(0);
    for option in kind.options() {
        text += &format!("      ?{:<width$}  {}\n", option.usage, option.what);
    }
    text
}

/// An object a target.
pub(super) fn as_json() -> Value {
    let entry = |kind: &TargetKind| {
        let options: Vec<Value> = kind.options().map(|o| json!({"usage": o.usage, "what": o.what})).collect();
        let missing = kind.missing().map(|missing| json!({"reason": missing.reason, "lift": missing.lift}));
        json!({
            "name": kind.name, "what": kind.what, "isolation": kind.isolation.name(), "fresh": kind.freshness.name(),
            "parallel": kind.parallel == Parallel::EachCore, "missing": missing, "options": options,
        })
    };
    Value::Array(ALL.into_iter().map(entry).collect())
}
