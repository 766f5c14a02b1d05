//! What is constant in the sound allocator: whether a mistake, a variation or a race is planted.
//!
//! Decides which code is never run without one, so that nothing is changed there.

use std::collections::{BTreeMap, BTreeSet};

use syn::{BinOp, Expr, Lit, Pat, UnOp};

/// Functions beside the allocator that do nothing, answer `false` or answer `None` where nothing is planted.
#[rustfmt::skip]
const IDLE: [&str; 19] = [
    "miscount", "misround", "vary", "miscount_refused", "miscount_oom", "misgrow", "misfree", "misreset_peaks",
    "misreset_accumulated", "trim_eagerly", "note_trim", "note_visit", "stop_waiting", "get_spare", "poll", "note_redirection",
    "note_segment", "merge_left_apart", "note_refused",
];
const FALSE: [&str; 4] = ["loses", "tears_off", "hands_out_whole", "keeps_apart"];
const NONE: [&str; 5] = ["mislimit", "uneven_segment", "search_otherwise", "give_back_part", "search_after_flush"];
/// Functions there that the sound allocator goes through.
const LIVE: [&str; 8] =
    ["segment_for", "flush_for", "free_unknown", "join", "mischarge", "reserved", "settings", "cut"];

/// Names of what is called from live code.
#[derive(Default)]
pub struct Called(BTreeSet<String>);

impl Called {
    pub fn add(&mut self, name: String) {
        self.0.insert(name);
    }

    /// Every word of a text.
    pub fn add_text(&mut self, text: &str) {
        let words = text.split(|c: char| !c.is_alphanumeric() && c != '_');
        self.0.extend(words.filter(|w| !w.is_empty()).map(str::to_owned));
    }

    /// What the functions call that every request may come through, in the file of the mistakes.
    pub fn add_live(&mut self, file: &syn::File) {
        let methods = file.items.iter().filter_map(|item| match item {
            syn::Item::Impl(block) => Some(&block.items),
            _ => None,
        });
        for method in methods.flatten() {
            if let syn::ImplItem::Fn(method) = method {
                if LIVE.contains(&method.sig.ident.to_string().as_str()) {
                    self.add_text(&tokens(&method.block));
                }
            }
        }
    }

    pub fn has(&self, name: &str) -> bool {
        self.0.contains(name)
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }
}

/// Local names that are constant where nothing is planted.
pub type Constants = BTreeMap<String, bool>;

pub fn tokens(of: &impl quote::ToTokens) -> String {
    of.to_token_stream().to_string()
}

/// A statement that does nothing where nothing is planted.
pub fn is_idle(e: &Expr) -> bool {
    matches!(bare(e), Expr::MethodCall(call) if IDLE.contains(&call.method.to_string().as_str()))
}

fn bare(e: &Expr) -> &Expr {
    match e {
        Expr::Paren(inner) => bare(&inner.expr),
        Expr::Group(inner) => bare(&inner.expr),
        other => other,
    }
}

/// A pattern that names something planted never matches.
pub fn is_planted(pattern: &Pat) -> bool {
    let text = tokens(pattern);
    ["Race ::", "Defect ::", "Variation ::"].iter().any(|name| text.contains(name))
}

/// What a condition always is without anything planted, if that can be told.
pub fn fold(e: &Expr, constants: &Constants) -> Option<bool> {
    match bare(e) {
        Expr::Lit(l) => match &l.lit {
            Lit::Bool(b) => Some(b.value),
            _ => None,
        },
        Expr::MethodCall(call) => {
            let method = call.method.to_string();
            let asks = matches!(method.as_str(), "has" | "varies" | "chooses" | "counts_frees");
            if asks && tokens(&call.receiver).contains("planted") {
                return Some(false);
            }
            FALSE.contains(&method.as_str()).then_some(false)
        }
        Expr::Path(path) => constants.get(&path.path.get_ident()?.to_string()).copied(),
        Expr::Unary(unary) if matches!(unary.op, UnOp::Not(_)) => Some(!fold(&unary.expr, constants)?),
        Expr::Binary(binary) => {
            let (left, right) = (fold(&binary.left, constants), fold(&binary.right, constants));
            match binary.op {
                BinOp::And(_) if left == Some(false) || right == Some(false) => Some(false),
                BinOp::And(_) => Some(left? && right?),
                BinOp::Or(_) if left == Some(true) || right == Some(true) => Some(true),
                BinOp::Or(_) => Some(left? || right?),
                BinOp::Eq(_) if tokens(&binary.right).contains("Race ::") => Some(false),
                _ => None,
            }
        }
        Expr::Let(l) => {
            let asked = match bare(&l.expr) {
                Expr::Try(tried) => bare(&tried.expr),
                other => other,
            };
            let none = matches!(asked, Expr::MethodCall(call) if NONE.contains(&call.method.to_string().as_str()));
            (none && tokens(&l.pat).starts_with("Some")).then_some(false)
        }
        Expr::Closure(closure) => fold(&closure.body, constants),
        _ => None,
    }
}

/// Whether an expression is 0, or changes nothing, without anything planted: `u64::from(planted)`.
pub fn is_nothing(e: &Expr, constants: &Constants) -> bool {
    match bare(e) {
        Expr::Call(call) => {
            tokens(&call.func).ends_with(":: from")
                && call.args.len() == 1
                && fold(&call.args[0], constants) == Some(false)
                && !matches!(call.args[0], Expr::Lit(_))
        }
        _ => false,
    }
}
