//! What an expression may be changed into, from its own form alone.
//!
//! Decides the operators. Changes that do not compile are found by the compiler and left out, so that nothing here
//! asks for types.

use syn::{BinOp, Expr, Lit, Member, ReturnType, Type};

use crate::edit::Mutant;
use crate::fold::tokens;

/// Methods that one may take for another.
const METHODS: [(&str, &str); 20] = [
    ("first", "last"),
    ("last", "first"),
    ("min", "max"),
    ("max", "min"),
    ("is_some", "is_none"),
    ("is_none", "is_some"),
    ("is_ok", "is_err"),
    ("is_err", "is_ok"),
    ("any", "all"),
    ("all", "any"),
    ("push_back", "push_front"),
    ("pop_front", "pop_back"),
    ("front", "back"),
    ("wrapping_add", "wrapping_sub"),
    ("wrapping_sub", "wrapping_add"),
    ("increase", "decrease"),
    ("decrease", "increase"),
    ("position", "rposition"),
    ("rposition", "position"),
    ("is_some_and", "is_none_or"),
];

/// Methods without which their receiver has the same type.
const DROPPED: [&str; 10] =
    ["rev", "filter", "next_multiple_of", "or", "or_else", "saturating_sub", "saturating_add", "min", "max", "and"];

/// Methods that answer a `bool`, beside those that have a counterpart.
const ASKS: [&str; 4] = ["is_empty", "contains", "is_redirecting", "is_split"];

/// Fields that one may take for another.
const FIELDS: [(&str, &str); 17] = [
    ("size", "requested"),
    ("requested", "size"),
    ("prev", "next"),
    ("next", "prev"),
    ("small", "large"),
    ("large", "small"),
    ("prev_free", "next_free"),
    ("next_free", "prev_free"),
    ("current", "peak"),
    ("size", "bytes"),
    ("bytes", "size"),
    ("start", "end"),
    ("end", "start"),
    ("max_split", "max_non_split_rounding"),
    ("page", "bytes"),
    ("address", "size"),
    ("limit", "total"),
];

/// The members of an enumeration, of which one may be taken for the next.
const MEMBERS: [(&str, &[&str]); 8] = [
    ("Family", &["Allocation", "Segment", "Active", "InactiveSplit"]),
    ("Family", &["AllocatedBytes", "ReservedBytes", "ActiveBytes", "InactiveSplitBytes", "RequestedBytes"]),
    (
        "Counter",
        &["NumAllocRetries", "NumOoms", "NumSyncAllStreams", "NumDeviceAlloc", "NumDeviceFree", "MaxSplitSize"],
    ),
    ("Action", &["Alloc", "FreeRequested", "FreeCompleted"]),
    ("Action", &["SegmentAlloc", "SegmentFree", "SegmentMap", "SegmentUnmap", "Oom"]),
    ("State", &["Allocated", "Pending", "Free"]),
    ("Oversize", &["Allocations", "Segments"]),
    ("BlockState", &["ActiveAllocated", "ActivePendingFree", "Inactive"]),
];

/// The two kinds of pools, wherever they are named.
const KINDS: [(&str, &str); 6] = [
    ("SMALL", "LARGE"),
    ("LARGE", "SMALL"),
    ("PoolKind :: Small", "PoolKind::Large"),
    ("PoolKind :: Large", "PoolKind::Small"),
    ("Row :: SmallPool", "Row::LargePool"),
    ("Row :: LargePool", "Row::SmallPool"),
];

pub fn mutant(operator: &'static str, text: String, was: &str, became: &str) -> Mutant {
    Mutant { operator, text, words: format!("`{}` became `{}`", short(was), short(became)) }
}

/// On one line, and not too long for it.
pub fn short(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= 72 { line } else { line.chars().take(70).collect::<String>() + " …" }
}

/// Operators that one may take for another.
pub fn binary(op: &BinOp) -> (&'static str, &'static [&'static str]) {
    match op {
        BinOp::Lt(_) => ("comparison", &["<=", ">", ">="]),
        BinOp::Le(_) => ("comparison", &["<", ">", ">="]),
        BinOp::Gt(_) => ("comparison", &[">=", "<", "<="]),
        BinOp::Ge(_) => ("comparison", &[">", "<", "<="]),
        BinOp::Eq(_) => ("comparison", &["!=", "<=", ">="]),
        BinOp::Ne(_) => ("comparison", &["==", "<", ">"]),
        BinOp::And(_) => ("logic", &["||"]),
        BinOp::Or(_) => ("logic", &["&&"]),
        BinOp::Add(_) => ("arithmetic", &["-"]),
        BinOp::Sub(_) => ("arithmetic", &["+"]),
        BinOp::Mul(_) => ("arithmetic", &["/", "+"]),
        BinOp::Div(_) => ("arithmetic", &["*"]),
        BinOp::Rem(_) => ("arithmetic", &["/"]),
        BinOp::Shl(_) => ("arithmetic", &[">>"]),
        BinOp::Shr(_) => ("arithmetic", &["<<"]),
        BinOp::BitAnd(_) => ("bits", &["|"]),
        BinOp::BitOr(_) => ("bits", &["&", "^"]),
        BinOp::BitXor(_) => ("bits", &["|"]),
        BinOp::AddAssign(_) => ("update", &["-=", "="]),
        BinOp::SubAssign(_) => ("update", &["+=", "="]),
        BinOp::BitOrAssign(_) => ("update", &["&=", "="]),
        BinOp::BitAndAssign(_) => ("update", &["|=", "="]),
        _ => ("", &[]),
    }
}

pub fn assigns(op: &BinOp) -> bool {
    binary(op).0 == "update"
}

fn call(receiver: &Expr, method: &str, args: &str) -> String {
    format!("{}.{method}({args})", tokens(receiver))
}

/// A method call that answers something.
pub fn method(e: &syn::ExprMethodCall, source: &str, into: &mut Vec<Mutant>) {
    let name = e.method.to_string();
    let args = tokens(&e.args);
    for (_, other) in METHODS.iter().filter(|(from, _)| *from == name) {
        into.push(mutant("method", call(&e.receiver, other, &args), source, &format!(".{other}(…)")));
    }
    if DROPPED.contains(&name.as_str()) {
        into.push(mutant("method dropped", tokens(&e.receiver), source, &tokens(&e.receiver)));
    }
    if ASKS.contains(&name.as_str()) {
        into.push(mutant("negation", format!("!{}", tokens(e)), source, &format!("!{source}")));
    }
    if name == "and" && e.args.len() == 1 {
        into.push(mutant(
            "order of failures",
            format!("{args}.and({})", tokens(&e.receiver)),
            source,
            "the later one first",
        ));
        into.push(mutant(
            "failure swallowed",
            format!("{{ let _ = {args}; {} }}", tokens(&e.receiver)),
            source,
            "the second ignored",
        ));
    }
    if name == "div_ceil" {
        into.push(mutant("arithmetic", format!("({}) / ({args})", tokens(&e.receiver)), source, "rounded down"));
    }
    if matches!(name.as_str(), "device" | "device_mut") && e.args.len() == 1 {
        into.push(mutant("device", call(&e.receiver, &name, "0"), source, &format!(".{name}(0)")));
    }
}

/// A place in the list of devices.
pub fn index(e: &syn::ExprIndex, source: &str, into: &mut Vec<Mutant>) {
    if tokens(&e.expr).ends_with("devices") {
        let (base, at) = (tokens(&e.expr), tokens(&e.index));
        into.push(mutant("device", "0".to_owned(), source, &format!("{base}[0]")));
        into.push(mutant("device", format!("(({at}) + 1) % {base}.len()"), source, "the next device"));
    }
}

/// A field that is read.
pub fn field(e: &syn::ExprField, source: &str, into: &mut Vec<Mutant>) {
    let Member::Named(name) = &e.member else { return };
    let (base, name) = (tokens(&e.base), name.to_string());
    for (_, other) in FIELDS.iter().filter(|(from, _)| *from == name) {
        into.push(mutant("field", format!("{base}.{other}"), source, &format!("{base}.{other}")));
    }
    named(&name, &tokens(e), source, into);
}

/// What a name alone says of a value: a stream, a pool, a device.
fn named(name: &str, text: &str, source: &str, into: &mut Vec<Mutant>) {
    match name {
        "stream" => {
            into.push(mutant("stream", "crate::device::StreamHandle(0)".to_owned(), source, "the default stream"))
        }
        "pool" => into.push(mutant("pool", format!("({text}) ^ 1"), source, "the other pool of the pair")),
        "kind" => into.push(mutant("pool", format!("crate::mutant::other({text})"), source, "the other kind of pool")),
        "index" | "device" => into.push(mutant("device", "0".to_owned(), source, "0")),
        "caller" => into.push(mutant("caller", "0".to_owned(), source, "0")),
        _ => {}
    }
}

/// A name or a constant that is read.
pub fn path(e: &syn::ExprPath, source: &str, into: &mut Vec<Mutant>) {
    let text = tokens(e);
    for (_, other) in KINDS.iter().filter(|(from, _)| text == *from || text.ends_with(&format!(":: {from}"))) {
        into.push(mutant("pool", (*other).to_owned(), source, other));
    }
    let parts: Vec<&str> = text.split(" :: ").collect();
    if let [.., owner, member] = parts.as_slice() {
        for (_, members) in MEMBERS.iter().filter(|(name, members)| name == owner && members.contains(member)) {
            let at = members.iter().position(|m| m == member).unwrap_or(0);
            let other = format!("{owner}::{}", members[(at + 1) % members.len()]);
            into.push(mutant("key", other.clone(), source, &other));
        }
    }
    let last = parts.last().copied().unwrap_or_default();
    let is_constant = last.len() > 1 && last.chars().all(|c| c.is_ascii_uppercase() || c == '_' || c.is_ascii_digit());
    if is_constant && !matches!(last, "SMALL" | "LARGE") {
        into.push(mutant("constant", format!("({text} + 1)"), source, &format!("{source} + 1")));
        into.push(mutant("constant", format!("({text} - 1)"), source, &format!("{source} - 1")));
    }
    if parts.len() == 1 {
        named(last, &text, source, into);
        if last == "None" {
            return;
        }
    }
}

/// A number or a truth value.
pub fn literal(lit: &Lit, source: &str, into: &mut Vec<Mutant>) {
    match lit {
        Lit::Bool(b) => into.push(mutant("literal", (!b.value).to_string(), source, &(!b.value).to_string())),
        Lit::Int(int) => {
            let Ok(value) = int.base10_parse::<u128>() else { return };
            let others = [value.checked_add(1), value.checked_sub(1)];
            for other in others.into_iter().flatten() {
                into.push(mutant("literal", format!("{other}{}", int.suffix()), source, &other.to_string()));
            }
        }
        Lit::Float(_) => into.push(mutant("literal", format!("({source} + 1.0)"), source, &format!("{source} + 1.0"))),
        _ => {}
    }
}

/// What a function may answer at once, the usual answer first.
pub fn answers(output: &ReturnType) -> Vec<String> {
    let ReturnType::Type(_, ty) = output else { return vec![String::new()] };
    of_type(ty)
}

fn of_type(ty: &Type) -> Vec<String> {
    let one = |text: &str| vec![text.to_owned()];
    match ty {
        Type::Tuple(t) if t.elems.is_empty() => one("()"),
        Type::Tuple(t) => {
            let parts: Vec<String> = t.elems.iter().filter_map(|e| of_type(e).into_iter().next()).collect();
            if parts.len() == t.elems.len() { vec![format!("({})", parts.join(", "))] } else { Vec::new() }
        }
        Type::Path(p) => {
            let Some(last) = p.path.segments.last() else { return Vec::new() };
            let inner = match &last.arguments {
                syn::PathArguments::AngleBracketed(args) => args.args.iter().find_map(|a| match a {
                    syn::GenericArgument::Type(t) => Some(t),
                    _ => None,
                }),
                _ => None,
            };
            match last.ident.to_string().as_str() {
                "bool" => vec!["false".to_owned(), "true".to_owned()],
                "u64" | "i64" | "u32" | "u16" | "usize" => vec!["0".to_owned(), "1".to_owned()],
                "f64" => vec!["0.0".to_owned(), "1.0".to_owned()],
                "Option" => one("None"),
                "Result" => inner.map_or(Vec::new(), |t| of_type(t).into_iter().map(|a| format!("Ok({a})")).collect()),
                "Vec" => one("Vec::new()"),
                "String" => one("String::new()"),
                "PoolKind" => vec!["PoolKind::Small".to_owned(), "PoolKind::Large".to_owned()],
                "StreamHandle" => one("crate::device::StreamHandle(0)"),
                _ => Vec::new(),
            }
        }
        _ => Vec::new(),
    }
}
