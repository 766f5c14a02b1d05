//! What a run leaves behind of sequences: those under way, those that broke it, and those that failed.
//!
//! Decides where each lies. How a sequence is written is `regressions`'.

use super::options::RunOptions;
use super::tally::Tally;
use super::{EngineError, files, regressions};

/// The folder of sequences under way, below that of the results.
pub(super) const RUNNING: &str = "running";

/// Where a sequence that broke is kept.
pub(super) fn broken_file(id: &str) -> String {
    format!("broken/{}.json", regressions::slug(id))
}

/// Where a sequence is while it runs.
pub(super) fn running_file(id: &str) -> String {
    format!("{RUNNING}/{}.json", regressions::slug(id))
}

/// Keeps the sequence that failed or broke, for the next run and for whoever wants to repeat it.
pub(super) fn keep_failure(options: &RunOptions, i: usize, tally: &Tally) -> Result<(), EngineError> {
    let scenario = &options.plan.entries[i].scenario;
    if let Some(root) = &options.regressions {
        regressions::store(root, &options.target, scenario, tally)?;
    }
    let path = options.out.join(broken_file(&scenario.id));
    match tally.crash.as_ref().and_then(|c| c.reproducer.as_ref()) {
        Some(reproducer) => files::write_whole(&path, &regressions::to_json(reproducer)),
        // One of an earlier run would speak of what this one did not see.
        None => files::remove(&path),
    }
}
