//! Mistakes planted in the reference that the memory itself shows: a block holds what somebody else wrote, or a kernel
//! writes where there is no memory any more.
//!
//! Decides which mistakes must die so, and in which scenario. Those scenarios ask no other oracle.

use libtest_mimic::Failed;

use super::stage::{Stage, expect};

/// A planted defect and where it must die.
pub struct Planted {
    pub name: &'static str,
    pub gpus: u32,
    scenario: &'static str,
}

const fn planted(name: &'static str, scenario: &'static str) -> Planted {
    Planted { name, gpus: 1, scenario }
}

pub const PLANTED: &[Planted] = &[
    // A stream's block is used again without waiting for the stream.
    planted("steals-without-waiting", "strm::witness-other-stream"),
    planted("stream-ignored", "strm::witness-other-stream"),
    planted("events-taken-as-passed", "strm::witness-recorded"),
    // A record is lost.
    planted("record-ignored", "strm::witness-unmapped"),
    planted("record-needs-segment-start", "strm::witness-recorded"),
    planted("first-record-only", "strm::witness-two-streams"),
    planted("last-record-only", "strm::witness-two-streams"),
    planted("one-event-is-enough", "strm::witness-two-streams"),
    Planted { name: "record-on-first-device", gpus: 2, scenario: "strm::witness-second-device" },
    // The event is on the wrong stream, or nowhere.
    planted("event-on-default-stream", "strm::witness-recorded"),
    planted("event-failure-frees-at-once", "strm::witness-event-fails"),
    // Free memory is merged with memory in use.
    planted("merges-with-waiting", "strm::witness-neighbour"),
    planted("merged-at-own-address", "mem::witness-generated"),
    // A block is not where or as large as its owner was told.
    planted("handed-out-stays-free", "mem::witness-generated"),
    planted("tail-overlaps-front", "mem::witness-generated"),
    planted("block-too-small", "mem::witness-generated"),
    planted("rounds-down", "mem::witness-generated"),
    planted("segment-too-small", "mem::witness-generated"),
];

impl Planted {
    pub fn dies_by_contents(&self, stage: &Stage) -> Result<(), Failed> {
        let target = format!("reference@cuda?defect={}", self.name);
        let mut arguments = vec!["run", "--target", &target, "--scenario", self.scenario, "--out", "o", "--lang", "en"];
        if self.scenario.ends_with("-generated") {
            arguments.extend(["--cases", "32"]);
        }
        let ended = stage.call(&arguments)?;
        expect(ended.code == Some(1), || format!("{ended:?}"))?;
        let findings = stage.record(&target)?.findings;
        let [finding] = &findings[..] else { return Err(format!("{} findings", findings.len()).into()) };
        let violation = &finding.violation;
        let poisoned = violation.requirement.is_some_and(|r| r.to_string() == "LIVE-03");
        expect(violation.oracle.name() == "contents" || poisoned, || format!("{violation:?}"))
    }
}
