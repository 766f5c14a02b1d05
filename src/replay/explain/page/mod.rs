//! The page: what is found out in words, for a terminal and as Markdown in both languages.
//!
//! Decides the order, the cause first, and how tables are drawn. Does not decide what is true: every figure is in
//! [`Explained`].

mod moments;
mod notes;
mod settings;
mod steps;
pub(super) mod words;

use super::Explained;
use crate::op::Text;
use crate::op::size::human;

/// Text of a file goes no further than this: it may hold anything.
const LONGEST: usize = 120;

/// A part of the page.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Heading(Text),
    Line(Text),
    Table(Table),
    /// A command, as it is typed.
    Command(String),
}

/// Rows of cells; columns after the first `words` are numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Table {
    words: usize,
    rows: Vec<Vec<Text>>,
}

impl Table {
    fn new(words: usize, head: &[(&str, &str)]) -> Self {
        Table { words, rows: vec![head.iter().map(|(en, zh)| Text::new(*en, *zh)).collect()] }
    }

    fn row(&mut self, cells: impl IntoIterator<Item = Text>) {
        self.rows.push(cells.into_iter().collect());
    }
}

/// Everything that is said, the cause first.
fn pieces(explained: &Explained) -> Vec<Piece> {
    let mut pieces = moments::pieces(explained);
    pieces.extend(settings::pieces(explained));
    pieces.extend(steps::pieces(explained));
    pieces
}

/// The page as text for a terminal, in English.
#[must_use]
pub fn text(explained: &Explained) -> String {
    let mut out = format!("{}\n", shown(&explained.file));
    let mut after_table = false;
    for piece in pieces(explained) {
        let is_table = matches!(piece, Piece::Table(_));
        if is_table && after_table {
            out.push('\n');
        }
        after_table = is_table;
        match piece {
            Piece::Heading(text) => out.push_str(&format!("\n{}\n", text.en)),
            Piece::Line(text) => out.push_str(&format!("{}\n", text.en)),
            Piece::Command(text) => out.push_str(&format!("  {text}\n")),
            Piece::Table(table) => out.push_str(&aligned(&table)),
        }
    }
    out
}

fn aligned(table: &Table) -> String {
    let columns = table.rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |at: usize| table.rows.iter().filter_map(|row| row.get(at)).map(|c| c.en.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|at| width(at).unwrap_or(0)).collect();
    let mut out = String::new();
    for row in &table.rows {
        let cells = row.iter().zip(&widths).enumerate().map(|(at, (cell, &width))| {
            if at < table.words { format!("{:<width$}", cell.en) } else { format!("{:>width$}", cell.en) }
        });
        out.push_str(&format!("  {}\n", cells.collect::<Vec<_>>().join("  ").trim_end()));
    }
    out
}

/// The page as Markdown, in Chinese or in English.
#[must_use]
pub fn markdown(explained: &Explained, in_chinese: bool) -> String {
    let of = |text: &Text| if in_chinese { text.zh.clone() } else { text.en.clone() };
    let mut out = format!("# {}\n", escaped(&shown(&explained.file)));
    for piece in pieces(explained) {
        match piece {
            Piece::Heading(text) => out.push_str(&format!("\n## {}\n", escaped(&of(&text)))),
            Piece::Line(text) => out.push_str(&format!("\n{}\n", escaped(&of(&text)))),
            Piece::Command(text) => out.push_str(&format!("\n```sh\n{text}\n```\n")),
            Piece::Table(table) => {
                out.push('\n');
                for (at, row) in table.rows.iter().enumerate() {
                    let cells: Vec<String> = row.iter().map(|cell| escaped(&of(cell))).collect();
                    out.push_str(&format!("| {} |\n", cells.join(" | ")));
                    if at == 0 {
                        let rules = (0..row.len()).map(|at| if at < table.words { "---" } else { "---:" });
                        out.push_str(&format!("| {} |\n", rules.collect::<Vec<_>>().join(" | ")));
                    }
                }
            }
        }
    }
    out
}

/// Markdown's own signs, as they are.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '|' | '*' | '_' | '`' | '<' | '[' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// Text of a file, on one line and not too long.
fn shown(text: &str) -> String {
    cut(text, LONGEST)
}

/// A sentence of ours with text of a file in it: it may be longer.
fn whole(text: &str) -> String {
    cut(text, 8 * LONGEST)
}

fn cut(text: &str, longest: usize) -> String {
    let mut out = String::new();
    for c in text.chars().take(longest) {
        if c.is_control() { out.extend(c.escape_default()) } else { out.push(c) }
    }
    if text.chars().nth(longest).is_some() {
        out.push('…');
    }
    out
}

/// A size in both forms: figures that are to add up are given in bytes too.
fn exactly(bytes: u64) -> String {
    crate::op::size::both(bytes)
}

/// A share in percent, as people round it.
fn percent(part: u64, whole: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "a percentage is printed")]
    let share = if whole == 0 { 0.0 } else { part as f64 * 100.0 / whole as f64 };
    format!("{share:.1}%")
}

/// So many of something, in English.
fn plural(count: u64, one: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") }
}

/// Settings as PyTorch writes them.
fn config(text: &str) -> Text {
    if text.is_empty() { Text::new("(none)", "（无）") } else { shown(text).into() }
}

fn size(bytes: u64) -> Text {
    human(bytes).into()
}
