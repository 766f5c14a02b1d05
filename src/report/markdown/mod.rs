//! The Markdown report: six numbered sections, one file each, in either language, and an appendix.
//!
//! Decides the order of the sections and the phrases that several of them share.

mod coverage;
mod findings;
mod follow_up;
mod program;
mod results;
mod scope;
mod states;
mod summary;
mod sweep;
mod thin;

use super::Language;
use super::facts::Facts;
use super::page::{Page, code, escape};
use crate::op::{Milestone, OracleName};
use crate::requirement::RequirementId;
use crate::verdict::Finding;
use crate::verdict::record::{RunRecord, ScenarioRecord};

use super::words;

/// The report of one run in one language.
#[must_use]
pub fn markdown(record: &RunRecord, language: Language) -> String {
    let facts = Facts::new(record);
    let mut page = Page::new(language);
    let target = code(&record.target.name);
    page.heading(1, &format!("{target}: conformance report"), &format!("{target} 一致性测试报告"));
    summary::write(&mut page, &facts);
    scope::write(&mut page, &facts);
    results::write(&mut page, &facts);
    findings::write(&mut page, &facts);
    coverage::write(&mut page, &facts);
    follow_up::write(&mut page, &facts);
    if let Some(matrix) = &record.kill_matrix {
        page.heading(2, "Appendix: what the scenarios of this run detect", "附录：本次用例的检出能力");
        super::matrix::body(&mut page, matrix, 3);
    }
    page.finish()
}

/// What a run comes to in one sentence or two, as plain text: the first paragraph of its report.
#[must_use]
pub fn headline(record: &RunRecord, language: Language) -> String {
    let (en, zh) = summary::headline(&Facts::new(record));
    language.pick(en, zh).replace("**", "")
}

/// `a`, `b` and their like, in either language.
fn join(page: &Page, items: &[String]) -> String {
    items.join(page.t(", ", "、"))
}

fn codes<'a>(page: &Page, items: impl IntoIterator<Item = &'a str>) -> String {
    join(page, &items.into_iter().map(code).collect::<Vec<_>>())
}

fn scenario_ids<'a>(page: &Page, scenarios: impl IntoIterator<Item = &'a ScenarioRecord>) -> String {
    codes(page, scenarios.into_iter().map(|s| s.id.as_str()))
}

fn requirement_ids(page: &Page, ids: impl IntoIterator<Item = RequirementId>) -> String {
    join(page, &ids.into_iter().map(|id| id.to_string()).collect::<Vec<_>>())
}

/// A situation by what it is and by its name in scenario files.
fn situation(page: &Page, milestone: Milestone) -> String {
    let (en, zh) = words::situation(milestone);
    let name = code(&milestone.name());
    page.t(format!("{en} ({name})"), format!("{zh}（{name}）"))
}

fn situations(page: &Page, milestones: &[Milestone]) -> String {
    join(page, &milestones.iter().map(|&m| situation(page, m)).collect::<Vec<_>>())
}

/// Characters of a title at most.
const TITLE: usize = 90;

/// What happened, in one sentence. What a scenario expects may be less than its requirement, or only prepare for it: then
/// the message tells, and not what breaking the requirement means.
fn title(page: &Page, finding: &Finding) -> String {
    if finding.violation.oracle != OracleName::Expectation {
        let (en, zh) = finding.requirement.get().broken;
        return escape(page.t(en, zh));
    }
    let message = page.t(&finding.violation.message.en, &finding.violation.message.zh);
    let short: String = message.chars().take(TITLE).collect();
    let more = if short.len() < message.len() { " …" } else { "" };
    format!("{}{more}", escape(&short))
}

/// The reason of a scenario that did not pass, or that none was given.
fn reason(page: &Page, scenario: &ScenarioRecord) -> String {
    match &scenario.reason {
        Some(reason) => page.of(reason),
        None => page.t("no reason recorded", "未记录原因").to_owned(),
    }
}
