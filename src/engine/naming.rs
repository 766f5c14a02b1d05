//! Findings and replays call blocks as the author of the scenario does.
//!
//! Decides which texts are ours to put names into. What a target said (messages of refusals, its stderr) stays as it is.

use crate::op::{Names, Text};
use crate::verdict::{Figure, TranscriptLine, Violation};

/// How the line of a refusal begins that carries a target's own message.
const REFUSED: &str = "refused (";

/// What targets said in a run, as its transcript has it.
pub(super) fn foreign(transcript: &[TranscriptLine]) -> Vec<String> {
    let message = |line: &TranscriptLine| {
        let (_, message) = line.answered.strip_prefix(REFUSED)?.split_once("): ")?;
        Some(message.to_owned()).filter(|text| !text.is_empty())
    };
    transcript.iter().filter_map(message).collect()
}

/// Puts names into a listing.
pub(super) fn listing(names: &Names, transcript: &mut [TranscriptLine]) {
    for line in transcript {
        line.asked = names.told(&line.asked, &[]);
        if !line.answered.starts_with(REFUSED) {
            line.answered = names.told(&line.answered, &[]);
        }
    }
}

/// Puts names into what a judge said of a run whose targets said what is `foreign`.
pub(super) fn violation(names: &Names, foreign: &[String], violation: &mut Violation) {
    if names.is_empty() {
        return;
    }
    let foreign: Vec<&str> = foreign.iter().map(String::as_str).collect();
    let told = |text: &Text| names.told_in_both(text, &foreign);
    violation.message = told(&violation.message);
    if let Some(Figure { what, expected, actual }) = &mut violation.figure {
        (*what, *expected, *actual) = (told(what), told(expected), told(actual));
    }
    // other evidence is figures, or a target's own words
    let is_ours = |label: &str| matches!(label, "step" | "answer") || label.starts_with("The other run");
    for evidence in violation.evidence.iter_mut().filter(|e| is_ours(&e.label.en)) {
        evidence.value = names.told(&evidence.value, &foreign);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::{BlockId, OracleName};

    #[test]
    fn a_targets_own_words_keep_their_own() {
        let mut names = Names::default();
        names.add(BlockId(0), "weights", 1);
        let line = |asked: &str, answered: &str| TranscriptLine {
            asked: asked.to_owned(),
            answered: answered.to_owned(),
            added: false,
        };
        let refused = "refused (out_of_memory): no room for b0";
        let mut transcript = [line("alloc b0: 512 B", refused), line("verify b0", "changed: the pattern of b0")];
        let text = Text::new(format!("b0: the answer was `{refused}`"), format!("b0：应答为 `{refused}`"));
        let mut said = Violation::new(OracleName::Expectation, None, text)
            .figure("address of b0".into(), "null", "b0")
            .with("step", "步骤", "alloc b0: 512 B")
            .with("message", "信息", "no room for b0");
        violation(&names, &foreign(&transcript), &mut said);
        listing(&names, &mut transcript);
        assert_eq!(said.message.en, "weights: the answer was `refused (out_of_memory): no room for b0`");
        assert_eq!(said.message.zh, "weights：应答为 `refused (out_of_memory): no room for b0`");
        assert_eq!(said.figure.map(|f| f.what.en).as_deref(), Some("address of weights"));
        assert_eq!(
            said.evidence.iter().map(|e| e.value.as_str()).collect::<Vec<_>>(),
            ["alloc weights: 512 B", "no room for b0"]
        );
        assert_eq!((transcript[0].asked.as_str(), transcript[0].answered.as_str()), ("alloc weights: 512 B", refused));
        assert_eq!(transcript[1].answered, "changed: the pattern of weights");
    }
}
