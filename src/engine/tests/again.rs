//! What becomes of a finding when its sequence is run again, and of the device after a loss.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::fake::{Bump, Flaw};
use super::*;
use crate::target::TargetError;
use crate::verdict::{Finding, Reproduced};

/// The one finding of a scenario on targets of which the nth that is opened goes wrong as `flaw` says.
fn finding(scenario: Scenario, flaw: impl Fn(usize) -> Result<Flaw, TargetError> + Sync) -> Finding {
    let root = tempfile::tempdir().expect("a temporary folder");
    let opened = AtomicUsize::new(0);
    let open = |setup: &Setup| {
        let flaw = flaw(opened.fetch_add(1, Ordering::Relaxed))?;
        Ok(Box::new(Bump::new(setup, flaw)) as Box<dyn Target>)
    };
    let mut options = options(vec![scenario], root.path());
    (options.regressions, options.jobs) = (None, 1);
    let mut record = run_on(&open, &options, &Silent).expect("it runs");
    assert!(matches!(record.scenarios[0].outcome, Outcome::Fail | Outcome::Blocked), "{:?}", record.scenarios[0]);
    assert_eq!(record.findings.len(), 1);
    record.findings.remove(0)
}

fn evidence(finding: &Finding, label: &str) -> Vec<String> {
    let of = |e: &&crate::verdict::Evidence| e.label.en.starts_with(label);
    finding.violation.evidence.iter().filter(of).map(|e| e.value.clone()).collect()
}

#[test]
fn what_always_fails_is_reproduced_every_time() {
    let found = finding(generated("oom::drawn"), |_| Ok(Flaw::Overlaps));
    assert_eq!(found.reproduced, Some(Reproduced { times: 2, of: 2 }));
    assert_eq!((found.reproducer.steps.len(), evidence(&found, "Run again")), (3, Vec::new()));
    assert_eq!(evidence(&found, "The device"), Vec::<String>::new(), "nothing was lost");
}

#[test]
fn what_fails_once_is_kept_and_said_to_come_and_go() {
    // The first is looked at, the second convicted.
    let found = finding(generated("oom::drawn"), |nth| Ok(if nth == 1 { Flaw::Overlaps } else { Flaw::None }));
    assert_eq!(found.reproduced, Some(Reproduced { times: 0, of: 2 }));
    assert_eq!(found.violation.oracle, OracleName::Overlap);
    assert_eq!(evidence(&found, "Run again"), ["no violation", "no violation"]);
    assert!(found.reproducer.steps.len() as u64 == found.original_steps, "there was nothing to make it small by");
}

#[test]
fn another_end_is_no_reproduction() {
    let refused = Expect { refused: Some(crate::op::RefusalClass::OutOfMemory), ..Expect::default() };
    let step = Step { expect: Some(Box::new(refused)), ..alloc(0, 8) };
    let scenario = Scenario {
        oracles: [OracleName::Expectation].into(),
        body: Body::Steps(vec![Variant {
            label: String::new(),
            steps: vec![step],
            names: Names::default(),
            shares: Vec::new(),
        }]),
        ..scenario("oom::odd")
    };
    // What an author expects is not taken apart: a look, the run, one more, and a look for a
    // yardstick before the runs that count.
    let found = finding(scenario, |nth| Ok(if nth == 4 { Flaw::PanicsAt(8) } else { Flaw::None }));
    assert_eq!(found.reproduced, Some(Reproduced { times: 1, of: 2 }));
    let [instead] = &evidence(&found, "Run again, 1")[..] else { panic!("one of the runs") };
    assert!(instead.starts_with("panic: the allocator panicked during `alloc"), "{instead}");
    assert_eq!(found.transcript.len(), 1, "the run that shows it is the one that is listed");
}

#[test]
fn after_a_loss_the_device_is_asked() {
    let dying = || {
        let steps = vec![alloc(0, 8), alloc(1, 1000)];
        Scenario {
            body: Body::Steps(vec![Variant {
                label: String::new(),
                steps,
                names: Names::default(),
                shares: Vec::new(),
            }]),
            ..scenario("zero::dying")
        }
    };
    let found = finding(dying(), |_| Ok(Flaw::DiesAt(1000)));
    assert_eq!(found.reproduced, Some(Reproduced { times: 2, of: 2 }));
    assert_eq!(found.violation.oracle, OracleName::Crash);
    assert_eq!(evidence(&found, "The device"), ["served, written and read in a new process"]);
    assert_eq!(evidence(&found, "Happens again"), Vec::<String>::new());

    let once = finding(dying(), |nth| Ok(if nth == 1 { Flaw::DiesAt(1000) } else { Flaw::Forgets }));
    assert_eq!(once.reproduced, Some(Reproduced { times: 0, of: 2 }));
    let [afterwards] = &evidence(&once, "The device")[..] else { panic!("one sentence") };
    assert!(afterwards.contains("b0"), "{afterwards}");

    let gone = |nth| match nth {
        0 => Ok(Flaw::None),
        1 => Ok(Flaw::DiesAt(1000)),
        _ => Err(TargetError::Unavailable { target: "bump@test".to_owned(), reason: "no device".to_owned() }),
    };
    let gone = finding(dying(), gone);
    assert_eq!(gone.reproduced, Some(Reproduced { times: 0, of: 2 }), "a device that is gone takes no finding along");
    let [afterwards] = &evidence(&gone, "The device")[..] else { panic!("one sentence") };
    assert!(afterwards.contains("could not be opened again") && afterwards.contains("no device"), "{afterwards}");

    let steps = vec![alloc(0, 64 << 10)];
    let deadly = Scenario {
        body: Body::Steps(vec![Variant { label: String::new(), steps, names: Names::default(), shares: Vec::new() }]),
        ..dying()
    };
    let still = finding(deadly, |_| Ok(Flaw::DiesAt(64 << 10)));
    let [afterwards] = &evidence(&still, "The device")[..] else { panic!("one sentence") };
    assert!(afterwards.starts_with("the target was lost during `alloc b0"), "{afterwards}");
}
