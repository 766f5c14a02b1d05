//! What the author of explicit steps calls its blocks, kept beside their numbers.
//!
//! Decides which names are kept, and puts them into texts of ours in place of `b3`. Texts of a target stay as they are.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{BlockId, Text};

/// Longer names would make lines that nobody reads.
const LONGEST: usize = 40;

/// The names of blocks. A block without one goes by its number.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Names(BTreeMap<BlockId, String>);

impl Names {
    /// No block has one.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The name of a block, if it has one that can be printed.
    #[must_use]
    pub fn get(&self, block: BlockId) -> Option<&str> {
        // A file may hold anything: what could break a line or be taken for another block is no name.
        self.0.get(&block).map(String::as_str).filter(|name| is_name(name))
    }

    /// Names a block; the `nth` of one name, counted from 1, says so.
    pub fn add(&mut self, block: BlockId, name: &str, nth: u32) {
        if is_plain(name) {
            self.0.insert(block, if nth < 2 { name.to_owned() } else { format!("{name}#{nth}") });
        }
    }

    /// The names of the blocks that are left, under their new numbers: `origins` says what each was before.
    #[must_use]
    pub fn follow(&self, origins: &BTreeMap<BlockId, BlockId>) -> Names {
        let name = |(new, old): (&BlockId, &BlockId)| Some((*new, self.0.get(old)?.clone()));
        Names(origins.iter().filter_map(name).collect())
    }

    /// Puts names in place of numbers: whole words `b3`, outside of what is `foreign`.
    #[must_use]
    pub fn told(&self, text: &str, foreign: &[&str]) -> String {
        let first =
            foreign.iter().filter(|part| !part.is_empty()).filter_map(|part| Some((text.find(part)?, part.len())));
        if self.is_empty() {
            text.to_owned()
        } else if let Some((at, length)) = first.min_by_key(|(at, length)| (*at, std::cmp::Reverse(*length))) {
            let (ours, theirs) = text.split_at(at);
            let (theirs, rest) = theirs.split_at(length);
            format!("{}{theirs}{}", self.words(ours), self.told(rest, foreign))
        } else {
            self.words(text)
        }
    }

    /// The same for both languages.
    #[must_use]
    pub fn told_in_both(&self, text: &Text, foreign: &[&str]) -> Text {
        Text::new(self.told(&text.en, foreign), self.told(&text.zh, foreign))
    }

    fn words(&self, text: &str) -> String {
        let mut told = String::with_capacity(text.len());
        let mut rest = text;
        // Only ASCII makes up a number; Chinese letters touch it without a space.
        while let Some(start) = rest.find(|c: char| c.is_ascii_alphanumeric() || c == '_') {
            let (before, from) = rest.split_at(start);
            let end = from.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(from.len());
            let (word, after) = from.split_at(end);
            told.push_str(before);
            told.push_str(number(word).and_then(|block| self.get(block)).unwrap_or(word));
            rest = after;
        }
        told + rest
    }
}

/// The block that a word is the number of.
fn number(word: &str) -> Option<BlockId> {
    let digits = word.strip_prefix('b')?;
    let block = BlockId(digits.parse().ok()?);
    (block.to_string() == word).then_some(block)
}

fn is_plain(name: &str) -> bool {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
    name.chars().all(plain) && (1..=LONGEST).contains(&name.chars().count()) && number(name).is_none()
}

fn is_name(name: &str) -> bool {
    let (plain, nth) = name.split_once('#').unwrap_or((name, "2"));
    is_plain(plain) && nth.parse::<u32>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(all: &[(u32, &str)]) -> Names {
        let mut names = Names::default();
        all.iter().for_each(|(block, name)| names.add(BlockId(*block), name, 1));
        names
    }

    #[test]
    fn whole_words_are_replaced_and_nothing_else() {
        let names = names(&[(0, "weights"), (1, "梯度"), (10, "x")]);
        for (text, told) in [
            ("alloc b0: 512 B on device 0", "alloc weights: 512 B on device 0"),
            ("b0 and b1, b10, b2", "weights and 梯度, x, b2"),
            ("0xb0 _b0 b00 bb0 b0_ ab0", "0xb0 _b0 b00 bb0 b0_ ab0"),
            ("流 0 上的b0得到 [0xb0, 0xb1)", "流 0 上的weights得到 [0xb0, 0xb1)"),
            ("", ""),
        ] {
            assert_eq!(names.told(text, &[]), told);
        }
        assert_eq!(
            names.told("free b0 -> no b0 here, says b0", &["no b0 here", ""]),
            "free weights -> no b0 here, says weights"
        );
        assert_eq!(Names::default().told("free b0", &[]), "free b0");
    }

    #[test]
    fn what_could_break_a_line_is_no_name() {
        for odd in ["", "a b", "a\nb", "a`b", "a|b", "b1", "a#2", &"a".repeat(41)] {
            assert!(names(&[(0, odd)]).is_empty(), "{odd:?}");
        }
        let read: Names = serde_json::from_str(r#"{"0": "a\nb", "1": "b7", "2": "a#2", "3": "ok"}"#).expect("a map");
        assert_eq!(read.told("b0 b1 b2 b3", &[]), "b0 b1 a#2 ok");
    }

    #[test]
    fn names_of_one_kind_are_counted_and_follow_their_blocks() {
        let mut all = names(&[(0, "a"), (1, "c")]);
        all.add(BlockId(2), "a", 2);
        let origins = [(BlockId(0), BlockId(2)), (BlockId(1), BlockId(9))].into();
        assert_eq!(all.follow(&origins).told("b0 b1", &[]), "a#2 b1");
        let back: Names = serde_json::from_str(&serde_json::to_string(&all).expect("plain")).expect("it reads back");
        assert_eq!(back, all);
    }
}
