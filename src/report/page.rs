//! A Markdown page in one language: headings, paragraphs, lists, tables, code.
//!
//! Decides escaping and layout. Knows nothing of runs.

use std::borrow::Cow;

use super::Language;
use crate::op::Text;

/// Where a table's source stops being padded: longer cells would only push the others off the screen.
const WIDEST_PADDED: usize = 96;

/// A page being written, one block after the other.
pub(super) struct Page {
    pub language: Language,
    text: String,
}

/// A table's column: its heading in both languages, and whether it holds numbers.
pub(super) struct Column {
    en: Cow<'static, str>,
    zh: Cow<'static, str>,
    numbers: bool,
}

pub(super) const fn words(en: &'static str, zh: &'static str) -> Column {
    Column { en: Cow::Borrowed(en), zh: Cow::Borrowed(zh), numbers: false }
}

/// A column that is called the same in both languages.
pub(super) fn named(name: &str) -> Column {
    Column { en: Cow::Owned(name.to_owned()), zh: Cow::Owned(name.to_owned()), numbers: false }
}

pub(super) const fn numbers(en: &'static str, zh: &'static str) -> Column {
    Column { en: Cow::Borrowed(en), zh: Cow::Borrowed(zh), numbers: true }
}

impl Page {
    pub fn new(language: Language) -> Self {
        Page { language, text: String::new() }
    }

    /// The one of two texts that is meant.
    pub fn t<T>(&self, en: T, zh: T) -> T {
        self.language.pick(en, zh)
    }

    /// A text of the record, escaped.
    pub fn of(&self, text: &Text) -> String {
        escape(self.t(&text.en, &text.zh))
    }

    pub fn heading(&mut self, level: usize, en: &str, zh: &str) {
        let title = self.t(en, zh);
        let line = format!("{} {title}", "#".repeat(level));
        self.block(&line);
    }

    pub fn say(&mut self, en: impl AsRef<str>, zh: impl AsRef<str>) {
        let text = self.t(en.as_ref(), zh.as_ref()).to_owned();
        self.block(&text);
    }

    /// A bold lead-in that opens a list or a table.
    pub fn lead(&mut self, en: &str, zh: &str) {
        self.say(format!("**{en}**:"), format!("**{zh}**："));
    }

    pub fn bullets(&mut self, items: &[String]) {
        let lines: Vec<String> = items.iter().map(|item| format!("- {item}")).collect();
        self.block(&lines.join("\n"));
    }

    /// A list that opens when its title is clicked, where HTML is shown.
    pub fn folded(&mut self, en: &str, zh: &str, items: &[String]) {
        let title = self.t(en, zh);
        let open = format!("<details><summary>{title}</summary>");
        self.block(&open);
        self.bullets(items);
        self.block("</details>");
    }

    /// A numbered list that starts at `first`; lines after an item's first become bullets under it.
    pub fn numbered(&mut self, first: usize, items: &[Vec<String>]) {
        let mut lines = Vec::new();
        for (number, item) in (first..).zip(items) {
            let mark = format!("{number}. ");
            let mut parts = item.iter();
            lines.push(format!("{mark}{}", parts.next().map_or("", String::as_str)));
            // Four spaces nest under any marker of up to three characters, in every renderer.
            lines.extend(parts.map(|part| format!("{}- {part}", " ".repeat(mark.len().max(4)))));
        }
        self.block(&lines.join("\n"));
    }

    /// A table; cells are Markdown already, except that pipes and line ends are made safe here.
    pub fn table(&mut self, columns: &[Column], rows: &[Vec<String>]) {
        let header: Vec<String> = columns.iter().map(|c| self.t(&c.en, &c.zh).to_string()).collect();
        let rows: Vec<Vec<String>> = rows
            .iter()
            .map(|row| row.iter().map(|cell| cell.replace('|', "\\|").replace('\n', "<br>")).collect())
            .collect();
        let widths: Vec<usize> = (0..columns.len())
            .map(|i| {
                let cells = rows.iter().filter_map(|row| row.get(i)).chain(header.get(i));
                cells.map(|cell| columns_of(cell)).max().unwrap_or(0).clamp(3, WIDEST_PADDED)
            })
            .collect();
        let line = |cells: &[String]| {
            let padded = cells.iter().zip(columns).zip(&widths).map(|((cell, column), &width)| {
                let pad = " ".repeat(width.saturating_sub(columns_of(cell)));
                if column.numbers { format!("{pad}{cell}") } else { format!("{cell}{pad}") }
            });
            format!("| {} |", padded.collect::<Vec<_>>().join(" | "))
        };
        let rule = columns.iter().zip(&widths).map(|(column, &width)| {
            if column.numbers { format!("{}:", "-".repeat(width - 1)) } else { "-".repeat(width) }
        });
        let mut lines = vec![line(&header), format!("| {} |", rule.collect::<Vec<_>>().join(" | "))];
        lines.extend(rows.iter().map(|row| line(row)));
        self.block(&lines.join("\n"));
    }

    /// A block of text as it stands, fenced by more backticks than it holds.
    pub fn code_block(&mut self, language: &str, text: &str) {
        let fence = "`".repeat(longest_backticks(text).max(2) + 1);
        self.block(&format!("{fence}{language}\n{}\n{fence}", text.trim_end_matches('\n')));
    }

    fn block(&mut self, text: &str) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.text.push_str(text);
        self.text.push('\n');
    }

    pub fn finish(self) -> String {
        self.text
    }
}

/// Text of a target or a scenario, so that none of it reads as Markdown. Pipes are the table's to escape.
pub(super) fn escape(text: &str) -> String {
    let chars: Vec<char> = text.chars().map(plain).collect();
    let mut out = String::with_capacity(text.len());
    for (i, &c) in chars.iter().enumerate() {
        let neighbour = |at: Option<usize>| at.and_then(|at| chars.get(at)).copied();
        let before = neighbour(i.checked_sub(1));
        let after = neighbour(i.checked_add(1));
        let inside_word = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        let special = match c {
            '\\' | '`' | '*' | '<' | '~' | '$' => true,
            '_' => !(inside_word(before) && inside_word(after)),
            ']' => matches!(after, Some('(' | '[' | ':')),
            '&' => inside_word(after) || after == Some('#'),
            _ => false,
        };
        if special {
            out.push('\\');
        }
        out.push(c);
    }
    out.trim().to_owned()
}

/// Line ends and other control characters would end a paragraph, a heading or a cell.
fn plain(c: char) -> char {
    if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') { ' ' } else { c }
}

/// A code span.
pub(super) fn code(text: &str) -> String {
    let text: String = text.chars().map(plain).collect();
    let text = text.as_str();
    if text.trim().is_empty() {
        return "``` ```".to_owned(); // a span of blanks alone is none
    }
    let fence = "`".repeat(longest_backticks(text) + 1);
    let pad = if text.starts_with('`') || text.ends_with('`') { " " } else { "" };
    format!("{fence}{pad}{text}{pad}{fence}")
}

fn longest_backticks(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or(0)
}

/// How many terminal columns a text takes: East Asian characters take two.
pub(super) fn columns_of(text: &str) -> usize {
    text.chars().map(|c| if is_wide(c) { 2 } else { 1 }).sum()
}

fn is_wide(c: char) -> bool {
    matches!(c,
        '\u{1100}'..='\u{115f}' | '\u{2e80}'..='\u{303e}' | '\u{3041}'..='\u{a4cf}' | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}' | '\u{fe30}'..='\u{fe4f}' | '\u{ff00}'..='\u{ff60}' | '\u{ffe0}'..='\u{ffe6}')
}

/// `1234567` as `1,234,567`.
pub(super) fn thousands(value: impl TryInto<u64>) -> String {
    let digits = value.try_into().unwrap_or(u64::MAX).to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 scenario`, `1,234 scenarios`.
pub(super) fn plural(value: impl TryInto<u64> + Copy, noun: &str) -> String {
    let text = thousands(value);
    let end = if text == "1" { "" } else { "s" };
    format!("{text} {noun}{end}")
}

/// `1 person-day`, `2.5 person-days`.
pub(super) fn person_days(days: f64) -> String {
    let text = decimal(days);
    let end = if text == "1" { "" } else { "s" };
    format!("{text} person-day{end}")
}

/// At most two decimals, none where they are zero: `0.5`, `2`.
pub(super) fn decimal(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!([0_u64, 999, 1000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"].map(str::to_owned));
        assert_eq!((plural(1_u64, "scenario"), plural(0_u64, "scenario")), ("1 scenario".into(), "0 scenarios".into()));
        assert_eq!([0.5, 2.0, 10.0, 0.25].map(decimal), ["0.5", "2", "10", "0.25"].map(str::to_owned));
    }

    #[test]
    fn nothing_in_a_message_reads_as_markdown() {
        assert_eq!(
            escape("a `b` *c* <d> e_f _g_ [x](y) [0, 1] $1"),
            r"a \`b\` \*c\* \<d> e_f \_g\_ [x\](y) [0, 1] \$1"
        );
        assert_eq!(code("a`b"), "``a`b``");
        assert_eq!(code("`"), "`` ` ``");
    }

    #[test]
    fn a_cell_cannot_break_its_table() {
        let mut page = Page::new(Language::En);
        page.table(
            &[words("a", "a"), numbers("n", "n")],
            &[vec!["x|y\nz".into(), "1".into()], vec!["中文".into(), "22".into()]],
        );
        insta::assert_snapshot!(page.finish(), @r"
        | a         |   n |
        | --------- | --: |
        | x\|y<br>z |   1 |
        | 中文      |  22 |
        ");
    }

    #[test]
    fn a_fence_is_longer_than_what_it_holds() {
        let mut page = Page::new(Language::En);
        page.code_block("", "```\nx\n```\n");
        assert_eq!(page.finish(), "````\n```\nx\n```\n````\n");
    }
}
