//! The seam between a run record and the formats that it is written in: a file a format.
//!
//! Decides which formats a run's folder holds, and in which order they appear. What stands in each is said where it is
//! rendered; a further format is one implementor and one line in [`exporters`].

use super::{Language, ReportError, file, junit, markdown};
use crate::verdict::record::RunRecord;

/// One format of a run's report.
pub trait Exporter {
    /// The name of its file in the run's folder.
    fn file_name(&self) -> &'static str;

    /// The whole file.
    ///
    /// # Errors
    /// What the format cannot hold.
    fn export(&self, record: &RunRecord) -> Result<Vec<u8>, ReportError>;
}

/// Markdown in one language.
impl Exporter for Language {
    fn file_name(&self) -> &'static str {
        Language::file_name(*self)
    }

    fn export(&self, record: &RunRecord) -> Result<Vec<u8>, ReportError> {
        Ok(markdown(record, *self).into_bytes())
    }
}

/// JUnit XML.
struct JUnit;

impl Exporter for JUnit {
    fn file_name(&self) -> &'static str {
        "junit.xml"
    }

    fn export(&self, record: &RunRecord) -> Result<Vec<u8>, ReportError> {
        junit(record).map(String::into_bytes)
    }
}

/// The record itself, from which the others can be made again.
struct RunJson;

impl Exporter for RunJson {
    fn file_name(&self) -> &'static str {
        file::RUN_FILE
    }

    fn export(&self, record: &RunRecord) -> Result<Vec<u8>, ReportError> {
        file::json("a run record", record)
    }
}

/// The formats of a run's folder, the record last: where it is, the others are.
pub(super) fn exporters(languages: &[Language]) -> Vec<&dyn Exporter> {
    let reports = languages.iter().map(|language| language as &dyn Exporter);
    reports.chain([&JUnit as &dyn Exporter, &RunJson]).collect()
}
