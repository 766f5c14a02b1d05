//! Which of many names somebody meant: by how it is spelt, or by what is said of it.
//!
//! Decides what an error offers. Offers nothing where nothing is alike: a guess at random sends people astray.

/// Names that an error offers at most.
const MOST: usize = 3;

/// Longer words on a command line are no slip of a name.
const LONGEST: usize = 200;

/// A name is worth so many words of its description.
const IN_NAME: f64 = 2.0;

/// The names that were probably meant, as `a` or ``a`, `b` or `c``: the inside of a pair of back-quotes. `all` has
/// each name with what it does.
pub(super) fn likely(text: &str, all: &[(&str, &str)]) -> Option<String> {
    if text.is_empty() || text.len() > LONGEST {
        return None;
    }
    if let Some(slip) = misspelt(text, all) {
        return Some(slip.to_owned());
    }
    let found = by_meaning(text, all);
    let (last, others) = found.split_last()?;
    Some(if others.is_empty() { (*last).to_owned() } else { format!("{}` or `{last}", others.join("`, `")) })
}

/// The name that differs by a letter or two.
fn misspelt<'a>(text: &str, all: &[(&'a str, &str)]) -> Option<&'a str> {
    let lower = text.to_lowercase().replace('_', "-");
    let nearest = all.iter().map(|(name, _)| (strsim::damerau_levenshtein(name, &lower), *name)).min()?;
    (nearest.0 * 5 <= nearest.1.len()).then_some(nearest.1)
}

/// The names whose words, or whose description's, are most of the words asked for. A word counts more the fewer have it.
fn by_meaning<'a>(text: &str, all: &[(&'a str, &str)]) -> Vec<&'a str> {
    let asked = words(text);
    let weights: Vec<f64> = asked.iter().map(|word| rarity(word, all)).collect();
    let score = |(name, what): &(&str, &str)| -> f64 {
        let (in_name, in_what) = (words(name), words(what));
        let of = |(word, weight): (&String, &f64)| {
            let place = |all: &[String]| all.iter().any(|other| alike(word, other));
            weight * if place(&in_name) { IN_NAME } else { f64::from(u8::from(place(&in_what))) }
        };
        asked.iter().zip(&weights).map(of).sum()
    };
    let mut scored: Vec<(f64, &str)> = all.iter().map(|entry| (score(entry), entry.0)).collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    let best = scored.first().map_or(0.0, |(score, _)| *score);
    scored.retain(|(score, _)| *score > 0.0 && *score > best * 0.75);
    scored.into_iter().take(MOST).map(|(_, name)| name).collect()
}

fn rarity(word: &str, all: &[(&str, &str)]) -> f64 {
    let has = |(name, what): &&(&str, &str)| words(name).iter().chain(&words(what)).any(|other| alike(word, other));
    let count = u32::try_from(all.iter().filter(has).count()).unwrap_or(u32::MAX);
    let all = u32::try_from(all.len()).unwrap_or(u32::MAX);
    (1.0 + f64::from(all) / f64::from(count.max(1))).ln()
}

/// Words of three letters and more, in small letters.
fn words(text: &str) -> Vec<String> {
    let parts = text.split(|c: char| !c.is_alphanumeric()).filter(|part| part.chars().count() >= 3);
    parts.map(str::to_lowercase).filter(|word| !EMPTY.contains(&word.as_str())).collect()
}

/// Words that say nothing here.
const EMPTY: [&str; 22] = [
    "the", "and", "not", "for", "that", "its", "are", "was", "with", "into", "from", "one", "has", "does", "than",
    "when", "which", "after", "use", "used", "uses", "never",
];

/// The same word, up to its ending: `freed`, `frees` and `free`.
fn alike(a: &str, b: &str) -> bool {
    let same = a.chars().zip(b.chars()).take_while(|(x, y)| x == y).count();
    let (short, long) = (a.chars().count().min(b.chars().count()), a.chars().count().max(b.chars().count()));
    a == b || (same >= 4 && same + 1 >= short && long - same <= 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: &[(&str, &str)] = &[
        ("stale-peak", "the peak is not lowered by a reset"),
        ("double-free-releases", "a second free of a pointer gives its segment back to the device"),
        ("query-failure", "an event that cannot be asked loses its block: memory leaks"),
        ("limit-slack", "the limit is 2 MiB too high"),
        ("limit-clamped", "a limit above 1 is lowered"),
    ];

    fn offered(text: &str) -> Option<String> {
        likely(text, ALL)
    }

    #[test]
    fn slips_and_meanings_are_told_from_nonsense() {
        assert_eq!(offered("stale-paek").as_deref(), Some("stale-peak"));
        assert_eq!(offered("Double_Free_Releases").as_deref(), Some("double-free-releases"));
        assert_eq!(offered("use-after-double-free").as_deref(), Some("double-free-releases"));
        assert_eq!(offered("leak").as_deref(), Some("query-failure"));
        assert_eq!(offered("limits").as_deref(), Some("limit-clamped` or `limit-slack"));
        assert_eq!(offered("xyz"), None);
        assert_eq!(offered(""), None);
        assert_eq!(offered(&"stale".repeat(100)), None);
    }
}
