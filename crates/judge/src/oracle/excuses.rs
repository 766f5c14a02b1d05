//! Excuses: where a judge holds its tongue about something that a user could call a mistake, and why.
//!
//! Decides nothing of a step; the code of each judge does. What a judge is not about at all stands at the top of its file.
//! Where the excuse is PyTorch's habit rather than anybody's right, a scenario asks all the same.

use crate::op::OracleName;

/// One excuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Excuse {
    /// Who is silent.
    pub oracle: OracleName,
    /// About what, and when.
    pub when: &'static str,
    /// Why.
    pub why: &'static str,
    /// The scenario that asks all the same.
    pub asked_by: Option<&'static str>,
}

const fn lawful(oracle: OracleName, when: &'static str, why: &'static str) -> Excuse {
    Excuse { oracle, when, why, asked_by: None }
}

const fn habit(oracle: OracleName, when: &'static str, why: &'static str, asked_by: &'static str) -> Excuse {
    Excuse { oracle, when, why, asked_by: Some(asked_by) }
}

/// All of them, by judge.
pub const EXCUSES: &[Excuse] = &[
    lawful(
        OracleName::Accounts,
        "figures of a step in which a device call was made to fail are convicted as OOM-06, not as STAT",
        "what is wrong then is how the failure was handled",
    ),
    lawful(
        OracleName::Accounts,
        "how often a request is tried again and streams are waited for",
        "both are policy; only a retry or wait that cannot have been is convicted",
    ),
    habit(
        OracleName::Accounts,
        "oversize figures once settings were changed: that they are below 0, or more than the threshold allows",
        "PyTorch holds a block against the threshold of the moment when it comes and when it goes, and does not balance",
        "stat::changed-oversize",
    ),
    lawful(
        OracleName::Exhaustion,
        "a refusal while cached memory could have been pieced together, with live or waiting blocks on the device",
        "no allocator moves blocks, and which memory lies beside which is policy",
    ),
    habit(
        OracleName::Exhaustion,
        "a refusal while memory is cached, under a redirection to a private pool or with a pool alive on the device",
        "PyTorch until 2.12 gives nothing back under any redirection, and a pool keeps what it has cached",
        "oom::inside-pool",
    ),
    lawful(
        OracleName::Exhaustion,
        "the same request served right after a refusal in which waiting blocks became free or a stream finished",
        "an allocator that waits for streams last need not search its cache once more",
    ),
    lawful(
        OracleName::Growth,
        "rounds after a refusal, a retry, a failed device call or the end of a pool on the device",
        "each of them may change what is cached, so that the next rounds settle anew",
    ),
    lawful(
        OracleName::Isolation,
        "blocks of another device that waited for streams and became free",
        "streams end on their own, and whoever is called next may see it",
    ),
    lawful(
        OracleName::Leak,
        "memory of a device on which a call failed in the closing empty_cache, or of any where it was refused",
        "what the device would not take back is not lost",
    ),
    lawful(
        OracleName::Peak,
        "how high exactly peaks of free parts rise, and those of reserved memory in a retry or beside a failed call",
        "they may overshoot within one step; they are held to all increases of the step together",
    ),
    lawful(
        OracleName::PrivatePools,
        "requests from outside served from a pool that helps out when memory runs short",
        "it was made for that; only what was freed in that pool may be taken",
    ),
    lawful(
        OracleName::Refusal,
        "the class of a refusal on a device on which a call was made to fail",
        "the allocator may pass on what the device said",
    ),
    lawful(
        OracleName::Refusal,
        "blocks that waited for streams and became free in a step that changes nothing, once a device call had failed",
        "whoever was refused an answer when it asked for events may ask again at any time, also while figures are read",
    ),
    habit(
        OracleName::StreamOrder,
        "streams recorded on a block while requests on its device were redirected",
        "PyTorch until 2.12 takes such use for captured work; the graph orders that, and it is waited for at no other time",
        "strm::freed-inside-pool",
    ),
    lawful(OracleName::Summary, "requested sizes of free blocks", "the documentation leaves open what they say"),
    lawful(
        OracleName::Telemetry,
        "free memory that a device lost or regained after it was made to fail a call that returns memory",
        "the allocator cannot count it; if it is never given back, that is a leak",
    ),
    lawful(
        OracleName::Telemetry,
        "the card's own figures while somebody else is on it",
        "they are the whole card's; the allocator's own device is judged all the same",
    ),
    lawful(
        OracleName::Trim,
        "what empty_cache leaves reserved beside live or waiting blocks, under a redirection, or with a pool alive",
        "a segment with one block in use cannot go back, and a pool or graph may need its memory at the next replay",
    ),
    habit(
        OracleName::WithoutRefused,
        "what refused settings leave behind",
        "PyTorch resets its settings before it reads a string, and does not undo that",
        "conf::refused-settings",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_stand_in_the_order_of_names() {
        assert!(EXCUSES.windows(2).all(|pair| pair[0].oracle.name() <= pair[1].oracle.name()));
    }
}
