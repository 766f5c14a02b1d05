//! A run held against the failures that were expected of it.
//!
//! Decides which failures are excused, which passes are not what was expected, and which entries have to
//! be put right. What a file may say is `spec`'s.

use jiff::ToSpan;
use jiff::civil::Date;

use crate::op::Text;
use crate::requirement::RequirementId;
use crate::spec::expect::{About, Drafted, Expectation, Expectations, Reach, draft};
use crate::target::TargetName;
use crate::verdict::expectation::{ExpectationRecord, Standing};
use crate::verdict::record::{RunRecord, ScenarioRecord};
use crate::verdict::{Finding, Outcome};

use super::opener::{Named, inspect};
use super::stamp::today;

/// How long a drafted expectation holds, in days.
const DRAFT_DAYS: i64 = 90;

/// Whether a file speaks of a target, wherever it runs and with whatever options.
#[must_use]
pub fn concerns(file: &Expectations, target: &TargetName) -> bool {
    let plain = target.inner(&[]);
    file.concerns(&plain.allocator, &plain.place)
}

/// Turns the failures that the files expect into expected ones, the passes that they do not expect into
/// unexpected ones, and notes what became of every entry. Reads the date.
pub fn apply(record: &mut RunRecord, files: &[&Expectations]) {
    apply_on(record, files, today());
}

/// A file that expects what this run found and no file expected yet.
#[must_use]
pub fn drafted(record: &RunRecord, target: &TargetName) -> String {
    drafted_on(record, target, today())
}

pub(super) fn drafted_on(record: &RunRecord, target: &TargetName, today: Date) -> String {
    let mut failures: Vec<(&str, &Text)> = Vec::new();
    for finding in &record.findings {
        let folded = finding.folded.iter().map(|f| (f.scenario.as_str(), &f.message));
        for (scenario, message) in
            std::iter::once((finding.scenario.as_str(), &finding.violation.message)).chain(folded)
        {
            let open = record.scenario(scenario).is_some_and(|s| is_failure(s.outcome));
            if open && !failures.iter().any(|(known, _)| *known == scenario) {
                failures.push((scenario, message));
            }
        }
    }
    let plain = TargetName { options: Vec::new(), ..target.inner(&[]) };
    let whole = target.inner(&[]);
    let drafted = Drafted { name: whole.to_string(), target: plain.to_string(), options: options_glob(target) };
    draft(&drafted, today.saturating_add(DRAFT_DAYS.days()), &failures)
}

/// Options that say how a target is reached, and nothing of what it does.
const OF_THE_PROCESS: [&str; 3] = ["deadline", "misbehave", "framing"];

/// What the options of a target's name must look like for a draft of its failures to hold; none if it has none. How
/// its process is treated may differ.
fn options_glob(target: &TargetName) -> Option<String> {
    let of = |name: &TargetName| name.to_string().split_once('?').map(|(_, options)| options.to_owned());
    let (given, kept) = (of(target), of(&target.inner(&OF_THE_PROCESS))?);
    let mut glob = String::new();
    for c in kept.chars() {
        match c {
            '?' | '*' | '[' | ']' | '{' | '}' => glob.extend(['[', c, ']']),
            '\\' => glob.push('?'),
            c => glob.push(c),
        }
    }
    Some(if given.as_ref() == Some(&kept) { glob } else { format!("*{glob}*") })
}

/// Whether a scenario stumbled over a violation, of its own promise or another's.
fn is_failure(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Fail | Outcome::Blocked)
}

pub(super) fn apply_on(record: &mut RunRecord, files: &[&Expectations], today: Date) {
    let mut verdicts: Vec<Option<(Outcome, Text)>> = vec![None; record.scenarios.len()];
    for file in files {
        for entry in &file.entries {
            let judged = judge(record, file, entry, today, &mut verdicts);
            record.expectations.push(judged);
        }
    }
    for (verdict, scenario) in verdicts.iter_mut().zip(&record.scenarios).filter(|(v, _)| v.is_none()) {
        *verdict = excused_on_siblings(record, scenario, files, today).map(|text| (Outcome::ExpectedFail, text));
    }
    for (scenario, verdict) in record.scenarios.iter_mut().zip(verdicts) {
        if let Some((outcome, reason)) = verdict {
            (scenario.outcome, scenario.reason) = (outcome, Some(reason));
        }
    }
}

/// What one entry comes to. Outcomes change after all entries were judged, so that their order is nothing.
fn judge(
    record: &RunRecord,
    file: &Expectations,
    entry: &Expectation,
    today: Date,
    verdicts: &mut [Option<(Outcome, Text)>],
) -> ExpectationRecord {
    let concerned: Vec<usize> = (0..record.scenarios.len()).filter(|&i| is_about(record, entry, i)).collect();
    let failed = |i: &&usize| is_failure(record.scenarios[**i].outcome) && fails_so(record, entry, **i);
    let (standing, note) = if let Some(settled) = settled(record, file, entry, today, &concerned) {
        settled
    } else {
        let failing: Vec<usize> = concerned.iter().filter(failed).copied().collect();
        // Every scenario of a glob has to fail; of a requirement's, one is enough. The policy alone judges by other promises.
        let excused = entry.sometimes
            || record.scope.policy_alone
            || matches!(entry.about, About::Requirement(_)) && !failing.is_empty();
        let passing: Vec<usize> =
            concerned.iter().copied().filter(|&i| record.scenarios[i].outcome == Outcome::Pass && !excused).collect();
        failing.iter().for_each(|&i| verdicts[i] = Some((Outcome::ExpectedFail, excuse(file, entry))));
        passing.iter().for_each(|&i| verdicts[i] = Some((Outcome::UnexpectedPass, surprise(file, entry))));
        match (failing.is_empty(), passing.is_empty()) {
            (_, false) => (Standing::UnexpectedPass, None),
            (false, true) => (Standing::Met, None),
            (true, true) => (Standing::NotRun, None),
        }
    };
    ExpectationRecord {
        place: place(file, entry),
        scenario: match &entry.about {
            About::Scenario(glob) => Some(glob.glob().to_string()),
            About::Requirement(_) => None,
        },
        requirement: match entry.about {
            About::Requirement(id) => Some(id),
            About::Scenario(_) => None,
        },
        reason: entry.reason.clone(),
        link: entry.link.clone(),
        owner: entry.owner.clone(),
        expires: entry.expires.to_string(),
        standing,
        note,
        scenarios: concerned.iter().map(|&i| record.scenarios[i].id.clone()).collect(),
    }
}

/// How an entry stands whose scenarios need not be looked at one by one.
fn settled(
    record: &RunRecord,
    file: &Expectations,
    entry: &Expectation,
    today: Date,
    concerned: &[usize],
) -> Option<(Standing, Option<Text>)> {
    let note = |en: &str, zh: &str| Some(Text::new(en, zh));
    let devices: Vec<&str> = record.target.devices.iter().map(|d| d.name.as_str()).collect();
    // A target that never came up tells nothing of itself.
    let is_known = !record.target.devices.is_empty();
    let options = record.target.name.split_once('?').map_or("", |(_, options)| options);
    match entry.scope.reach(&record.target.versions, &devices, &record.target.capabilities, options) {
        _ if !is_known => return Some((Standing::NotRun, None)),
        Reach::Here => {}
        Reach::Elsewhere => return Some((Standing::OutOfScope, None)),
        Reach::Unknown(what) => {
            let (en, zh) = (format!("the target does not tell its {what}"), format!("目标未提供其版本信息（{what}）"));
            return Some((Standing::Stale, note(&en, &zh)));
        }
    }
    if today > entry.expires {
        return Some((Standing::Expired, None));
    }
    // What comes along speaks of other scenarios than the user's own, and where the policy alone judges, nobody asked for the
    // promise that an entry names.
    let is_elsewhere = file.built_in && record.scope.specs.is_some() || record.scope.policy_alone;
    if concerned.is_empty() && is_elsewhere {
        return Some((Standing::NotRun, None));
    }
    if concerned.is_empty() {
        return Some((Standing::Stale, note("no scenario is called so", "没有与之匹配的用例")));
    }
    let is_applicable = |&i: &usize| record.scenarios[i].outcome != Outcome::NotApplicable;
    if !concerned.iter().any(is_applicable) {
        // What comes along is written of the target as it is without options.
        if entry.sometimes || file.built_in && !options.is_empty() {
            return Some((Standing::NotRun, None));
        }
        let (en, zh) = ("the target lacks what its scenarios need", "目标不具备相关用例所需的能力");
        return Some((Standing::Stale, note(en, zh)));
    }
    None
}

/// Why a scenario may fail that failed on siblings of the target alone, where a fault sweep tried it too: each of its
/// findings is expected of the target that it was made on.
fn excused_on_siblings(
    record: &RunRecord,
    scenario: &ScenarioRecord,
    files: &[&Expectations],
    today: Date,
) -> Option<Text> {
    if !is_failure(scenario.outcome) {
        return None;
    }
    let mut excuses = record.findings.iter().filter(|f| f.concerns(&scenario.id)).map(|finding| {
        let sibling = &finding.reproducer.target;
        let name: TargetName = sibling.parse().ok().filter(|_| *sibling != record.target.name)?;
        let (info, _) = inspect(&Named(&name), &finding.reproducer.setup).ok()?.ok()?;
        let capabilities: Vec<String> = info.capabilities.iter().map(ToString::to_string).collect();
        let devices: Vec<&str> = info.devices.iter().map(|d| d.name.as_str()).collect();
        let options = sibling.split_once('?').map_or("", |(_, options)| options);
        let holds = |entry: &&Expectation| {
            let meant = match &entry.about {
                About::Scenario(glob) => glob.is_match(&scenario.id),
                About::Requirement(id) => breaks_in(finding, &scenario.id, *id),
            };
            let reach = entry.scope.reach(&record.target.versions, &devices, &capabilities, options);
            meant && today <= entry.expires && reach == Reach::Here
        };
        files.iter().find_map(|file| Some(excuse(file, file.entries.iter().find(holds)?)))
    });
    let first = excuses.next()??;
    excuses.all(|excuse| excuse.is_some()).then_some(first)
}

/// Whether an entry speaks of a scenario.
fn is_about(record: &RunRecord, entry: &Expectation, at: usize) -> bool {
    let scenario = &record.scenarios[at];
    entry.about.is_about(&scenario.id, scenario.requirement) || breaks(record, scenario, entry)
}

/// Whether a failure is of the kind that the entry expects.
fn fails_so(record: &RunRecord, entry: &Expectation, at: usize) -> bool {
    matches!(entry.about, About::Scenario(_)) || breaks(record, &record.scenarios[at], entry)
}

/// Whether a finding of the scenario names the entry's requirement.
fn breaks(record: &RunRecord, scenario: &ScenarioRecord, entry: &Expectation) -> bool {
    let About::Requirement(id) = entry.about else { return false };
    record.findings.iter().any(|f| breaks_in(f, &scenario.id, id))
}

/// Whether a finding breaks a requirement in a scenario.
fn breaks_in(finding: &Finding, scenario: &str, id: RequirementId) -> bool {
    finding.scenario == scenario && finding.requirement == id
        || finding.folded.iter().any(|f| f.scenario == scenario && f.requirement == id)
}

fn place(file: &Expectations, entry: &Expectation) -> String {
    format!("{}:{}", file.file, entry.line)
}

fn excuse(file: &Expectations, entry: &Expectation) -> Text {
    let link = entry.link.as_ref().map_or_else(String::new, |link| format!(", {link}"));
    let (reason, owner, expires, place) = (&entry.reason, &entry.owner, entry.expires, place(file, entry));
    Text::new(
        format!("expected: {} ({owner}, until {expires}{link}; {place})", reason.en),
        format!("预期失败：{}（{owner}，有效期至 {expires}{link}；{place}）", reason.zh),
    )
}

fn surprise(file: &Expectations, entry: &Expectation) -> Text {
    let (reason, place) = (&entry.reason, place(file, entry));
    Text::new(format!("{place} expects a failure: {}", reason.en), format!("{place} 预期其失败：{}", reason.zh))
}
