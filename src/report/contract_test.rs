//! The page of a contract, over an excerpt of a real run.

use super::{Language, contract_page, contract_summary};
use crate::verdict::contract::{Contract, RowOutcome};

/// Of PyTorch 2.11 on simulated devices.
const EXCERPT: &str = include_str!("../../tests/records/contract.json");

fn excerpt() -> Contract {
    serde_json::from_str(EXCERPT).expect("it is a contract")
}

#[test]
fn a_contract_is_a_page_in_english() {
    insta::assert_snapshot!(contract_page(&excerpt(), Language::En));
}

#[test]
fn a_contract_is_a_page_in_chinese() {
    insta::assert_snapshot!(contract_page(&excerpt(), Language::Zh));
}

#[test]
fn nothing_broken_and_nothing_left_out_is_said_so() {
    let mut contract = excerpt();
    contract.rows.retain(|row| row.outcome == RowOutcome::Kept);
    let page = contract_page(&contract, Language::En);
    assert_eq!(page.matches("None.").count(), 2, "{page}");
    assert!(page.contains("No clause was broken.") && page.contains(": 100.0 %."), "{page}");
    assert!(contract_summary(&contract).contains("(100.0 %), 0 broken"), "{}", contract_summary(&contract));
}

#[test]
fn a_share_is_never_rounded_up_to_all() {
    let mut contract = excerpt();
    let kept = contract.rows.iter().find(|row| row.outcome == RowOutcome::Kept).expect("one was kept").clone();
    contract.rows.retain(|row| row.outcome == RowOutcome::Broken);
    contract.rows.truncate(1);
    contract.rows.resize(3000, kept);
    assert!(contract_summary(&contract).contains("(99.9 %)"), "{}", contract_summary(&contract));
}
