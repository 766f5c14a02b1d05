//! Floor 5, findings as programs of their own: each is written, built and run in a fresh process before a report speaks of it.
//!
//! Decides in which language a target's findings are said, what runs such a program, and what its end means. How a finding reads in a
//! language is `report::program`'s.

mod c10;
mod runner;

use std::path::Path;
use std::time::Duration;

use crate::files::write_whole;
use crate::op::Text;
use crate::report::{self, Origin, Source, Tongue};
use crate::target::TargetName;
use crate::verdict::record::RunRecord;
use crate::verdict::standalone::Came;
use crate::verdict::{Finding, Standalone};

/// How long a program may take, its import or build included.
const LIMIT: Duration = Duration::from_secs(120);

/// As much is kept of what a program prints, in bytes from its end.
const MOST: usize = 2_000;

/// The language in which findings of a target are said, where programs can be run against it here.
#[must_use]
pub fn tongue(name: &TargetName) -> Option<Tongue> {
    match name.allocator.as_str() {
        "torch" => Some(Tongue::Python),
        "c10" => Some(Tongue::Cpp),
        _ if name.library().is_some() => Some(Tongue::C),
        _ => None,
    }
}

/// Writes each finding that `wanted` speaks of as a program beside its sequence in `out`, runs it and notes what it came to. `goes_on` is asked
/// before each, and told of it.
///
/// # Errors
/// A file cannot be written.
pub fn add(
    record: &mut RunRecord,
    name: &TargetName,
    out: &Path,
    wanted: impl Fn(&RunRecord, &Finding) -> bool,
    mut goes_on: impl FnMut(&Finding) -> bool,
) -> std::io::Result<()> {
    let Some(tongue) = tongue(name) else { return Ok(()) };
    let chosen: Vec<bool> = record.findings.iter().map(|finding| wanted(record, finding)).collect();
    for (finding, chosen) in record.findings.iter_mut().zip(chosen) {
        if !chosen {
            continue;
        }
        let language = tongue.name().to_owned();
        finding.standalone = Some(match text(finding, name, tongue) {
            Err(why) => Standalone::Unsaid { language, why },
            Ok(text) => {
                let file = format!("findings/{}.{}", finding.id, extension(tongue));
                write_whole(&out.join(&file), text.as_bytes())?;
                let came = if goes_on(finding) {
                    runner::run(name, tongue, &out.join(&file))
                } else {
                    Came::NotRun { why: Text::new("the run was interrupted", "运行被中断") }
                };
                Standalone::Program { language, file, came }
            }
        });
    }
    Ok(())
}

fn extension(tongue: Tongue) -> &'static str {
    match tongue {
        Tongue::Python => "py",
        Tongue::Cpp => "cpp",
        Tongue::C => "c",
        Tongue::Rust => "rs",
    }
}

fn text(finding: &Finding, name: &TargetName, tongue: Tongue) -> Result<String, String> {
    let origin = Origin { allocator: name.allocator.clone(), place: name.place.clone(), options: name.options.clone() };
    let (reproducer, violation, transcript) = (&finding.reproducer, &finding.violation, &finding.transcript[..]);
    let source = Source { reproducer, violation, transcript, origin: &origin };
    report::program(source, tongue).map_err(|unsaid| unsaid.to_string())
}

/// What it printed, from its end.
fn kept(printed: &str) -> String {
    let printed = printed.trim_end();
    let mut from = printed.len().saturating_sub(MOST);
    while !printed.is_char_boundary(from) {
        from += 1;
    }
    let cut = if from > 0 { "... " } else { "" };
    format!("{cut}{}", &printed[from..])
}
