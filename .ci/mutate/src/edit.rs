//! Changes of a source text: where they are, what they are called, and the text that holds all of them behind a switch.
//!
//! Decides how a change is written down. Which changes there are is said in `finder`.

use serde_json::{Value, json};

/// One change that can be switched on.
pub struct Mutant {
    /// The kind of change: part of its name.
    pub operator: &'static str,
    /// What stands there instead; unused where the edit itself says it.
    pub text: String,
    /// In words.
    pub words: String,
}

/// How an edit holds its changes.
pub enum Shape {
    /// An expression, and others in its place.
    Choose,
    /// Text around what stands there; `#` in it becomes the number of the only change.
    Around(String, String),
}

/// A place, and what can be changed there.
pub struct Edit {
    pub start: usize,
    pub end: usize,
    pub shape: Shape,
    pub mutants: Vec<Mutant>,
    pub function: String,
    pub line: usize,
}

/// A file with its edits numbered, ready to be written.
pub struct Written {
    pub text: String,
    /// One for each change: what it is called, and where it came to stand.
    pub list: Vec<Value>,
}

struct Writer<'a> {
    file: &'a str,
    source: &'a str,
    edits: &'a [Numbered],
    next: usize,
    out: String,
    list: Vec<Value>,
    dropped: &'a dyn Fn(&str) -> bool,
}

/// An edit whose changes have numbers and names.
struct Numbered {
    edit: Edit,
    first: usize,
    keys: Vec<String>,
}

/// Numbers the changes from `first` on and writes the file. `dropped` tells by its name which are left out.
pub fn write(file: &str, source: &str, edits: Vec<Edit>, first: usize, dropped: &dyn Fn(&str) -> bool) -> Written {
    let mut counts: std::collections::BTreeMap<String, usize> = Default::default();
    let mut number = first;
    let mut numbered: Vec<(usize, Numbered)> = Vec::new();
    for (nth, edit) in edits.into_iter().enumerate() {
        let keys: Vec<String> = edit
            .mutants
            .iter()
            .map(|m| {
                let stem = format!("{file}::{}::{}", edit.function, m.operator);
                let count = counts.entry(stem.clone()).or_default();
                *count += 1;
                format!("{stem}#{count}")
            })
            .collect();
        let first = number;
        number += edit.mutants.len();
        numbered.push((nth, Numbered { edit, first, keys }));
    }
    // The outer one first; of two at one place, the one that was found first.
    numbered.sort_by_key(|(nth, n)| (n.edit.start, std::cmp::Reverse(n.edit.end), *nth));
    let edits: Vec<Numbered> = numbered.into_iter().map(|(_, n)| n).collect();
    let mut writer = Writer { file, source, edits: &edits, next: 0, out: String::new(), list: Vec::new(), dropped };
    writer.range(0, source.len());
    writer.list.sort_by_key(|v| v["number"].as_u64());
    Written { text: writer.out, list: writer.list }
}

impl Writer<'_> {
    fn range(&mut self, start: usize, end: usize) {
        let mut at = start;
        while let Some(n) = self.edits.get(self.next).filter(|n| n.edit.end <= end && n.edit.start < end.max(1)) {
            self.out.push_str(&self.source[at..n.edit.start]);
            at = n.edit.end;
            self.next += 1;
            self.edit(n);
        }
        self.out.push_str(&self.source[at..end]);
    }

    fn edit(&mut self, n: &Numbered) {
        let begin = self.out.len();
        let kept: Vec<usize> = (0..n.keys.len()).filter(|&i| !(self.dropped)(&n.keys[i])).collect();
        let mut arms = vec![(0, 0); n.keys.len()];
        let edit = &n.edit;
        let (mut after, mut tail) = ("", None);
        if !kept.is_empty() {
            match &edit.shape {
                Shape::Choose => {
                    self.out.push_str(&format!("(match crate::mutant::at({}, {}) {{ ", n.first, n.keys.len()));
                    for &i in &kept {
                        self.out.push_str(&format!("{i} => {{ "));
                        let from = self.out.len();
                        self.out.push_str(&edit.mutants[i].text);
                        arms[i] = (from, self.out.len());
                        self.out.push_str(" } ");
                    }
                    self.out.push_str("_ => ");
                    after = " })";
                }
                Shape::Around(before, behind) => {
                    self.out.push_str(&before.replace('#', &n.first.to_string()));
                    tail = Some(behind.replace('#', &n.first.to_string()));
                }
            }
        }
        self.range(edit.start, edit.end);
        self.out.push_str(tail.as_deref().unwrap_or(after));
        let whole = (begin, self.out.len());
        for (i, mutant) in edit.mutants.iter().enumerate() {
            let text = format!("crates/reference/src/{}:{} in `{}`: {}", self.file, edit.line, edit.function, mutant.words);
            self.list.push(json!({
                "number": n.first + i, "id": n.keys[i], "file": self.file, "line": edit.line, "function": edit.function,
                "operator": mutant.operator, "text": text, "arm": arms[i], "place": whole,
                "kept": kept.contains(&i),
            }));
        }
    }
}
