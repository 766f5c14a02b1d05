//! Rows of a study held against the failures that are expected of them.
//!
//! Decides which broken promises are excused, and which entries have to be put right. What a file may say is `spec`'s; its
//! globs over scenarios are globs over rows here.

use jiff::civil::Date;

use crate::op::{Text, Versions};
use crate::spec::expect::{About, Expectation, Expectations, Reach};
use crate::verdict::contract::{RowOutcome, RowRecord};
use crate::verdict::expectation::{ExpectationRecord, Standing};
use crate::verdict::monitoring::MonitoringRow;

/// A row that a file of expected failures can speak of.
pub(crate) trait Expected {
    /// What globs are held against.
    fn id(&self) -> &str;
    /// How it ended.
    fn outcome(&self) -> RowOutcome;
    /// That it fails was expected, for this reason.
    fn excuse(&mut self, reason: &Text);
}

impl Expected for RowRecord {
    fn id(&self) -> &str {
        &self.id
    }

    fn outcome(&self) -> RowOutcome {
        self.outcome
    }

    fn excuse(&mut self, reason: &Text) {
        self.known = Some(reason.clone());
    }
}

impl Expected for MonitoringRow {
    fn id(&self) -> &str {
        &self.id
    }

    fn outcome(&self) -> RowOutcome {
        self.outcome
    }

    fn excuse(&mut self, reason: &Text) {
        self.known = Some(reason.clone());
    }
}

/// Where the rows were judged.
pub(crate) struct Judged<'a> {
    /// The version of PyTorch.
    pub torch: &'a str,
    /// The devices by name.
    pub devices: &'a [String],
    /// The ids of all rows there are, those that were not selected included.
    pub ids: &'a [String],
    /// The day.
    pub today: Date,
}

/// Excuses what is expected to be broken, and answers what became of every entry.
pub(crate) fn apply<R: Expected>(rows: &mut [R], judged: &Judged<'_>, file: &Expectations) -> Vec<ExpectationRecord> {
    let mut records = Vec::new();
    for entry in &file.entries {
        let (standing, note) = stands(rows, judged, entry);
        let concerned = if standing == Standing::OutOfScope { Vec::new() } else { concerned(rows, entry) };
        if matches!(standing, Standing::Met | Standing::UnexpectedPass) {
            concerned.iter().for_each(|&at| {
                if rows[at].outcome().is_failure() {
                    rows[at].excuse(&entry.reason);
                }
            });
        }
        let About::Scenario(glob) = &entry.about else { continue };
        records.push(ExpectationRecord {
            place: format!("{}:{}", file.file, entry.line),
            scenario: Some(glob.glob().to_string()),
            requirement: None,
            reason: entry.reason.clone(),
            link: entry.link.clone(),
            owner: entry.owner.clone(),
            expires: entry.expires.to_string(),
            standing,
            note,
            scenarios: concerned.iter().map(|&at| rows[at].id().to_owned()).collect(),
        });
    }
    records
}

fn concerned<R: Expected>(rows: &[R], entry: &Expectation) -> Vec<usize> {
    let About::Scenario(glob) = &entry.about else { return Vec::new() };
    (0..rows.len()).filter(|&at| glob.is_match(rows[at].id())).collect()
}

fn stands<R: Expected>(rows: &[R], judged: &Judged<'_>, entry: &Expectation) -> (Standing, Option<Text>) {
    let About::Scenario(glob) = &entry.about else { return (Standing::Stale, None) };
    // A local version, as in 2.11.0+cu130, is no part of the release.
    let torch = judged.torch.split('+').next().unwrap_or_default().to_owned();
    let versions = Versions { allocator: Some(torch), driver: None };
    let devices: Vec<&str> = judged.devices.iter().map(String::as_str).collect();
    match entry.scope.reach(&versions, &devices, &[], "") {
        Reach::Here => {}
        Reach::Elsewhere => return (Standing::OutOfScope, None),
        Reach::Unknown(what) => {
            let note = Text::new(format!("nobody tells the {what} here"), format!("此处无法得知其版本信息（{what}）"));
            return (Standing::Stale, Some(note));
        }
    }
    if judged.today > entry.expires {
        return (Standing::Expired, None);
    }
    if !judged.ids.iter().any(|id| glob.is_match(id)) {
        return (Standing::Stale, Some(Text::new("no row is called so", "没有与之匹配的条目")));
    }
    let rows: Vec<_> = concerned(rows, entry).into_iter().map(|at| &rows[at]).collect();
    let passes: Vec<&str> = rows.iter().filter(|row| row.outcome() == RowOutcome::Kept).map(|row| row.id()).collect();
    if !passes.is_empty() && !entry.sometimes {
        let list = passes.join(", ");
        return (Standing::UnexpectedPass, Some(Text::new(format!("kept: {list}"), format!("已遵守：{list}"))));
    }
    let fails = rows.iter().any(|row| row.outcome().is_failure());
    (if fails { Standing::Met } else { Standing::NotRun }, None)
}
