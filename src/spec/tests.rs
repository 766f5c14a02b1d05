//! Scenario files from the outside: the built-in ones, the schema, and what a wrong one is told.

use super::*;

#[test]
fn built_in_scenarios_parse() {
    assert!(!built_in().is_empty());
}
