//! The page and the plot of monitoring, over a real run.

use super::{Language, monitoring_page, monitoring_plot, monitoring_summary};
use crate::verdict::contract::RowOutcome;
use crate::verdict::monitoring::Monitoring;

/// Of PyTorch 2.11 on a simulated device.
const RUN: &str = include_str!("../../tests/records/monitor.json");

fn record() -> Monitoring {
    serde_json::from_str(RUN).expect("it is a record of monitoring")
}

#[test]
fn monitoring_is_a_page_in_english() {
    insta::assert_snapshot!(monitoring_page(&record(), Language::En));
}

#[test]
fn monitoring_is_a_page_in_chinese() {
    insta::assert_snapshot!(monitoring_page(&record(), Language::Zh));
}

#[test]
fn monitoring_is_a_plot() {
    insta::assert_snapshot!(monitoring_plot(&record(), Language::En).expect("there are delays"));
}

#[test]
fn what_is_not_there_is_said_so() {
    let mut record = record();
    record.rows.retain(|row| row.outcome == RowOutcome::Kept);
    record.costs.clear();
    record.delays.clear();
    record.complete = false;
    let page = monitoring_page(&record, Language::En);
    assert_eq!(page.matches("Not measured.").count(), 2, "{page}");
    assert!(page.contains("None.") && page.contains(": 100.0 %.") && page.contains("Not complete"), "{page}");
    assert_eq!(monitoring_plot(&record, Language::En), None);
    let summary = monitoring_summary(&record);
    assert!(summary.contains("0 costs, 0 delays") && summary.ends_with("not complete"), "{summary}");
}

#[test]
fn every_row_has_words() {
    for row in &record().rows {
        assert!(!super::monitoring_words::situation(&row.id).0.is_empty(), "{}", row.id);
    }
}
