//! Floor 4, writing it down: Markdown in two languages, JUnit, JSON and the table at the end of a run.
//!
//! Decides how a run record reads. Does not decide what is true of it: every sentence is computed from
//! the record alone, so any old `run.json` renders again.

mod advice;
mod comparison;
mod contract;
#[cfg(test)]
mod contract_test;
mod export;
mod facts;
mod file;
mod junit;
mod markdown;
mod matrix;
mod monitoring;
#[cfg(test)]
mod monitoring_test;
mod monitoring_words;
mod page;
mod plot;
mod program;
mod releases;
#[cfg(test)]
mod study_test;
mod survival;
mod table;
#[cfg(test)]
mod tests;
mod unfaithful;
mod words;

pub use comparison::{comparison_file, comparison_page, comparison_text};
pub use contract::{contract_page, contract_summary};
pub use export::Exporter;
pub use file::{
    ReportError, add_guided, comparison_json, comparison_schema, read, read_folder, read_survival, releases_json,
    run_schema, survival_json, write,
};
pub use junit::junit;
pub use markdown::{headline, markdown};
pub use matrix::matrix_page;
pub use monitoring::{monitoring_files, monitoring_page, monitoring_plot, monitoring_summary};
pub use program::{Origin, Source, Tongue, Unsaid, program};
pub use releases::{releases_file, releases_page, releases_summary};
pub use survival::{survival_kills, survival_page};
pub use table::{sweep_table, table};
pub use unfaithful::unfaithful_page;

/// A report's language.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Language {
    /// English.
    En,
    /// Chinese.
    Zh,
}

impl Language {
    /// Both.
    pub const ALL: [Language; 2] = [Language::En, Language::Zh];

    /// The name of the Markdown report beside `run.json`.
    #[must_use]
    pub fn file_name(self) -> &'static str {
        match self {
            Language::En => "report.md",
            Language::Zh => "report.zh.md",
        }
    }

    /// The one of two that is meant.
    fn pick<T>(self, en: T, zh: T) -> T {
        match self {
            Language::En => en,
            Language::Zh => zh,
        }
    }
}
