//! What a report is without a run: refusals of files that are none, and the published schema. Reports of real runs are
//! in `tests/report.rs`.

use std::fs;

use super::{ReportError, comparison_schema, read, run_schema};

#[test]
fn what_is_not_a_run_record_is_named() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("run.json");
    let message = |text: &str| {
        fs::write(&path, text).expect("a writable folder");
        let error = read(&path).expect_err(text).to_string();
        error.replace(&path.display().to_string(), "run.json")
    };
    let texts = [
        "{\"format\": \"poolproof-run/1\",\n  oops}",
        "",
        "[]",
        "{}",
        "{\"format\": \"poolproof-run/9\"}",
        "{\"format\": 3}",
        "{\"format\": \"poolproof-run/1\"}",
    ];
    insta::assert_snapshot!("refusals", texts.map(message).join("\n"));
    let missing = read(&folder.path().join("none.json")).expect_err("there is no such file");
    assert!(matches!(missing, ReportError::Read { .. }), "{missing}");
}

/// The published schemas are the program's. `UPDATE_SCHEMA=1` writes it anew.
#[test]
fn the_published_schemas_are_current() {
    for (name, schema) in [("run", run_schema()), ("compare", comparison_schema())] {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("reports/{name}.schema.json"));
        let mut current = serde_json::to_string_pretty(&schema).expect("a schema is JSON");
        current.push('\n');
        if std::env::var_os("UPDATE_SCHEMA").is_some() {
            fs::create_dir_all(path.parent().expect("it lies in reports")).expect("a writable folder");
            fs::write(&path, &current).expect("a writable folder");
        }
        let published = fs::read_to_string(&path).unwrap_or_default();
        assert!(published == current, "{} is out of date: run the tests once with UPDATE_SCHEMA=1", path.display());
    }
}
