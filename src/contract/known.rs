//! Rows held against the failures that are expected of them.
//!
//! Decides which broken promises are excused, and which entries have to be put right. What a file may say is `spec`'s; its
//! globs over scenarios are globs over rows here.

use jiff::civil::Date;

use crate::op::{Text, Versions};
use crate::spec::expect::{About, Expectation, Expectations, Reach};
use crate::verdict::contract::{Contract, RowOutcome};
use crate::verdict::expectation::{ExpectationRecord, Standing};

/// Excuses what is expected to be broken, and notes what became of every entry. `ids` are those of all rows there are, the
/// ones that were not selected included.
pub(super) fn apply(contract: &mut Contract, file: &Expectations, ids: &[String], today: Date) {
    for entry in &file.entries {
        let (standing, note) = stands(contract, entry, ids, today);
        let concerned = if standing == Standing::OutOfScope { Vec::new() } else { concerned(contract, entry) };
        if matches!(standing, Standing::Met | Standing::UnexpectedPass) {
            for &at in concerned.iter().filter(|&&at| contract.rows[at].outcome.is_failure()).collect::<Vec<_>>() {
                contract.rows[at].known = Some(entry.reason.clone());
            }
        }
        let About::Scenario(glob) = &entry.about else { continue };
        contract.expectations.push(ExpectationRecord {
            place: format!("{}:{}", file.file, entry.line),
            scenario: Some(glob.glob().to_string()),
            requirement: None,
            reason: entry.reason.clone(),
            link: entry.link.clone(),
            owner: entry.owner.clone(),
            expires: entry.expires.to_string(),
            standing,
            note,
            scenarios: concerned.iter().map(|&at| contract.rows[at].id.clone()).collect(),
        });
    }
}

fn concerned(contract: &Contract, entry: &Expectation) -> Vec<usize> {
    let About::Scenario(glob) = &entry.about else { return Vec::new() };
    (0..contract.rows.len()).filter(|&at| glob.is_match(&contract.rows[at].id)).collect()
}

fn stands(contract: &Contract, entry: &Expectation, ids: &[String], today: Date) -> (Standing, Option<Text>) {
    let About::Scenario(glob) = &entry.about else { return (Standing::Stale, None) };
    // A local version, as in 2.11.0+cu130, is no part of the release.
    let torch = contract.machine.torch.split('+').next().unwrap_or_default().to_owned();
    let versions = Versions { allocator: Some(torch), driver: None };
    let devices: Vec<&str> = contract.machine.names.iter().map(String::as_str).collect();
    match entry.scope.reach(&versions, &devices, &[], "") {
        Reach::Here => {}
        Reach::Elsewhere => return (Standing::OutOfScope, None),
        Reach::Unknown(what) => {
            let note = Text::new(format!("nobody tells the {what} here"), format!("此处无法得知其版本信息（{what}）"));
            return (Standing::Stale, Some(note));
        }
    }
    if today > entry.expires {
        return (Standing::Expired, None);
    }
    if !ids.iter().any(|id| glob.is_match(id)) {
        return (Standing::Stale, Some(Text::new("no row is called so", "没有与之匹配的条目")));
    }
    let rows: Vec<_> = concerned(contract, entry).into_iter().map(|at| &contract.rows[at]).collect();
    let passes: Vec<&str> =
        rows.iter().filter(|row| row.outcome == RowOutcome::Kept).map(|row| row.id.as_str()).collect();
    if !passes.is_empty() && !entry.sometimes {
        let list = passes.join(", ");
        return (Standing::UnexpectedPass, Some(Text::new(format!("kept: {list}"), format!("已遵守：{list}"))));
    }
    let fails = rows.iter().any(|row| row.outcome.is_failure());
    (if fails { Standing::Met } else { Standing::NotRun }, None)
}
