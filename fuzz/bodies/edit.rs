//! JSON and lines spoilt: a value replaced, left out or repeated; a byte changed, cut out or put in.
//!
//! Decides which mistakes a hostile writer makes. An edit takes its choices from the input, so that a fuzzer steers them.

use arbitrary::{Result, Unstructured};
use serde_json::{Value, json};

use super::value::{number, one_of};

/// Spoils one value somewhere in a document.
pub fn value(u: &mut Unstructured<'_>, document: &mut Value) -> Result<()> {
    let mut at = document;
    loop {
        let children = match &*at {
            Value::Array(list) => list.len(),
            Value::Object(fields) => fields.len(),
            _ => 0,
        };
        // Sometimes the whole instead of a part; a part that is to go needs its parent.
        let draw = u.arbitrary::<u8>()?;
        if children == 0 || draw >= 224 {
            return replace(u, at);
        }
        let child = usize::from(draw) % children;
        if draw >= 208 {
            return leave_out(u, at, child);
        }
        at = match at {
            Value::Array(list) => &mut list[child],
            Value::Object(fields) => fields.values_mut().nth(child).expect("there are so many"),
            _ => return Ok(()),
        };
    }
}

fn leave_out(u: &mut Unstructured<'_>, parent: &mut Value, child: usize) -> Result<()> {
    match parent {
        Value::Array(list) if u.arbitrary::<bool>()? => drop(list.remove(child)),
        Value::Array(list) => {
            let copies = usize::from(u.arbitrary::<u8>()?) * 2;
            let again = list[child].clone();
            list.extend(std::iter::repeat_n(again, copies));
        }
        Value::Object(fields) => {
            let key = fields.keys().nth(child).cloned().unwrap_or_default();
            let old = fields.remove(&key);
            if u.arbitrary::<bool>()? {
                fields.insert(one_of(u, &["", "op", "Done", "device", "x"])?.to_owned(), old.unwrap_or_default());
            }
        }
        _ => {}
    }
    Ok(())
}

fn replace(u: &mut Unstructured<'_>, at: &mut Value) -> Result<()> {
    *at = match u.arbitrary::<u8>()? % 16 {
        0 => Value::Null,
        1 => true.into(),
        2 => (-1).into(),
        3 => i64::MIN.into(),
        4 => i64::MAX.into(),
        5 => json!(1e308),
        6 => json!(0.5),
        7 => one_of(u, &["", "nan", "inf", "-inf", "done", "observe", "snapshot", "empty_cache"])?.into(),
        8 => json!([]),
        9 => json!({}),
        10 => (0..usize::from(u.arbitrary::<u8>()?)).fold(at.take(), |inner, _| json!([inner])),
        11 => json!({ "done": null }),
        _ => number(u)?.into(),
    };
    Ok(())
}

/// Spoils a line.
pub fn line(u: &mut Unstructured<'_>, line: &mut Vec<u8>) -> Result<()> {
    let at = usize::from(u.arbitrary::<u16>()?) % line.len().max(1);
    match u.arbitrary::<u8>()? % 6 {
        0 => line.truncate(at),
        1 => line.extend_from_within(at..),
        2 => line
            .splice(
                at..at,
                one_of(u, &[&b"{"[..], b"[", b"\"", b"\0", b"\xff", b"-", b"9999999999", b"e400"])?.iter().copied(),
            )
            .for_each(drop),
        3 => line.splice(at..at, vec![b'['; 300]).for_each(drop),
        4 if at < line.len() => line[at] = u.arbitrary()?,
        _ if at < line.len() => drop(line.remove(at)),
        _ => {}
    }
    Ok(())
}
