//! A small scanner of Rust: code without comments and literals, its words, and the rooms that its paths name.
//!
//! Decides nothing. Does not see through macros that write paths.

/// The source with comments and the insides of literals blanked. Line ends stay where they are.
pub fn code_of(source: &str) -> String {
    let chars: Vec<char> = source.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let mut out = String::with_capacity(source.len());
    let mut i = 0;
    while i < chars.len() {
        let end = end_of_blank(&at, i, chars.len());
        if end > i {
            out.extend((i..end).map(|k| if at(k) == '\n' { '\n' } else { ' ' }));
            i = end;
        } else {
            out.push(at(i));
            i += 1;
        }
    }
    out
}

/// Where the comment or literal that starts at `i` ends, or `i` where none starts.
fn end_of_blank(at: &impl Fn(usize) -> char, i: usize, len: usize) -> usize {
    let find = |from: usize, done: &dyn Fn(usize) -> bool| (from..len).find(|&k| done(k)).unwrap_or(len);
    match (at(i), at(i + 1)) {
        ('/', '/') => find(i, &|k| at(k) == '\n'),
        ('/', '*') => {
            let (mut depth, mut k) = (1, i + 2);
            while depth > 0 && k < len {
                match (at(k), at(k + 1)) {
                    ('/', '*') => (depth, k) = (depth + 1, k + 2),
                    ('*', '/') => (depth, k) = (depth - 1, k + 2),
                    _ => k += 1,
                }
            }
            k
        }
        ('"', _) => {
            let mut k = i + 1;
            while k < len && at(k) != '"' {
                k += if at(k) == '\\' { 2 } else { 1 };
            }
            (k + 1).min(len)
        }
        ('r', '#' | '"') if i == 0 || !is_word(at(i - 1)) || at(i - 1) == 'b' => {
            let hashes = find(i + 1, &|k| at(k) != '#') - (i + 1);
            if at(i + 1 + hashes) != '"' {
                return i; // a raw identifier
            }
            let closes = |k: usize| at(k) == '"' && (1..=hashes).all(|h| at(k + h) == '#');
            (find(i + 2 + hashes, &closes) + 1 + hashes).min(len)
        }
        ('\'', '\\') => (find(i + 3, &|k| at(k) == '\'') + 1).min(len),
        ('\'', _) if at(i + 2) == '\'' => i + 3,
        _ => i,
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Words, `::` and single marks, each with its line.
pub fn tokens(code: &str) -> Vec<(usize, String)> {
    let mut all: Vec<(usize, String)> = Vec::new();
    for (number, line) in (1..).zip(code.lines()) {
        let mut rest = line.trim_start();
        while let Some(first) = rest.chars().next() {
            let length = if is_word(first) {
                rest.find(|c| !is_word(c)).unwrap_or(rest.len())
            } else if rest.starts_with("::") {
                2
            } else {
                first.len_utf8()
            };
            all.push((number, rest[..length].to_owned()));
            rest = rest[length..].trim_start();
        }
    }
    all
}

/// The first names of the path, or of each path of the group, that follows at `from`.
pub fn heads(tokens: &[(usize, String)], from: usize) -> Vec<(usize, &str)> {
    let word = |i: usize| tokens.get(i).map(|(line, text)| (*line, text.as_str()));
    let Some((line, first)) = word(from) else { return Vec::new() };
    if first != "{" {
        return vec![(line, first)];
    }
    let (mut depth, mut found, mut i) = (0_u32, Vec::new(), from);
    while let Some((line, text)) = word(i) {
        match text {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => {}
        }
        let opens = matches!(word(i.wrapping_sub(1)), Some((_, "{" | ",")));
        if depth == 0 {
            break;
        } else if depth == 1 && opens && text != "," && i > from {
            found.push((line, text));
        }
        i += 1;
    }
    found
}

/// Every room that the code names: by `crate::`, or by climbing to the crate's root with `super::`.
pub fn rooms_named(tokens: &[(usize, String)], file_depth: usize) -> Vec<(usize, String)> {
    let text = |i: usize| tokens.get(i).map_or("", |(_, text)| text.as_str());
    let (mut braces, mut inline, mut found, mut i) = (0_usize, Vec::new(), Vec::new(), 0);
    while i < tokens.len() {
        match text(i) {
            "{" => {
                braces += 1;
                if i >= 2 && text(i - 2) == "mod" {
                    inline.push(braces);
                }
            }
            "}" => {
                inline.pop_if(|opened| *opened == braces);
                braces = braces.saturating_sub(1);
            }
            "crate" if text(i + 1) == "::" => {
                found.extend(heads(tokens, i + 2).into_iter().map(|(line, room)| (line, room.to_owned())));
            }
            "super" if text(i + 1) == "::" => {
                let mut climbed = 1;
                while text(i + 2) == "super" {
                    (climbed, i) = (climbed + 1, i + 2);
                }
                if climbed >= file_depth + inline.len() {
                    found.extend(heads(tokens, i + 2).into_iter().map(|(line, room)| (line, room.to_owned())));
                }
            }
            _ => {}
        }
        i += 1;
    }
    found
}
