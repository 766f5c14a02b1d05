//! A finding as a program of its own, and what it said in a process of its own.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::op::Text;

/// A program that needs nothing of the harness, or why there is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Standalone {
    /// It was written.
    Program {
        /// Such as `Python`.
        language: String,
        /// Where, relative to `run.json`.
        file: String,
        /// What it came to in a fresh process, before the report was written.
        came: Came,
    },
    /// The finding cannot be said in the language of its target.
    Unsaid {
        /// Such as `Python`.
        language: String,
        /// Why.
        why: String,
    },
}

/// What a program came to that exits 1 while the defect is there, and 0 when it is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Came {
    /// It exited 1: the defect is there.
    Shows {
        /// What it printed, cut off where it is long.
        printed: String,
    },
    /// It exited 0: outside the harness the defect did not show.
    Holds {
        /// The same.
        printed: String,
    },
    /// It ended otherwise, and so says nothing.
    Otherwise {
        /// How, such as `exit status: 2`.
        end: String,
        /// The same, complaints included.
        printed: String,
    },
    /// It was not run.
    NotRun {
        /// Why.
        why: Text,
    },
}
