//! What a step may expect: known keys, devices that exist, and an operation that can answer it.

use std::collections::BTreeMap;

use super::steps::Pass;
use crate::op::stats::Key;
use crate::op::step::{AddressExpect, Amount, Figures};
use crate::op::{DeviceId, Expect};
use crate::spec::error::Complaint;
use crate::spec::locate::Path;
use crate::spec::raw::expect::AddressWord;
use crate::spec::raw::{Either, Figure, Fraction, OrShare, Ordered, RawAmount, RawExpect, Slot, WrittenAddress};
use crate::spec::scenario::{Bound, SharePlace};

/// Lowers an expectation about the operation `asked`, if there is one.
pub(super) fn lower(pass: &mut Pass<'_>, raw: &RawExpect, asked: Option<&str>, path: &Path<'_>) -> Expect {
    applies(pass, raw, asked, path);
    let expect = Expect {
        refused: raw.refused.as_ref().and_then(|slot| pass.value(slot, &path.key("refused"))),
        succeeds: raw.succeeds,
        unchanged: raw.unchanged,
        address: raw.address.as_ref().and_then(|a| address(pass, a, &path.key("address"))),
        fraction: fractions(pass, &raw.fraction, &path.key("fraction")),
        stats: figures(pass, &raw.stats, false, &path.key("stats")),
        change: figures(pass, &raw.change, true, &path.key("change")),
        contains: raw.contains.clone(),
        lacks: raw.lacks.clone(),
        keys: raw.keys,
        segments: by_device(pass, &raw.segments, &path.key("segments")),
        private_bytes: by_device(pass, &raw.private_bytes, &path.key("private_bytes")),
        lines: raw.lines.as_ref().and_then(|a| amount(pass, a, None, &path.key("lines"))),
    };
    let says_nothing = raw.refused.is_none() && raw.fraction.0.is_empty() && raw.stats.0.is_empty();
    if says_nothing && expect == Expect::default() {
        pass.problems.add(path, Complaint::new("`expect` says nothing"));
    }
    if raw.refused.is_some() && raw.succeeds {
        pass.problems.add(&path.key("succeeds"), Complaint::new("a call cannot both succeed and be refused"));
    }
    expect
}

/// Refuses what the operation of the step cannot answer.
fn applies(pass: &mut Pass<'_>, raw: &RawExpect, asked: Option<&str>, path: &Path<'_>) {
    let any = asked.is_some();
    let is = |name: &str| asked == Some(name);
    let wants = [
        ("refused", raw.refused.is_some(), any, "an operation"),
        ("succeeds", raw.succeeds, any, "an operation"),
        ("unchanged", raw.unchanged, any, "an operation"),
        ("change", !raw.change.0.is_empty(), any, "an operation"),
        ("address", raw.address.is_some(), is("alloc"), "`alloc`"),
        ("contains", !raw.contains.is_empty(), is("summary") || raw.refused.is_some(), "`refused` or `summary`"),
        ("lacks", !raw.lacks.is_empty(), is("summary") || raw.refused.is_some(), "`refused` or `summary`"),
        ("keys", raw.keys.is_some(), is("dictionary"), "`dictionary`"),
        ("segments", !raw.segments.0.is_empty(), is("snapshot"), "`snapshot`"),
        ("private_bytes", !raw.private_bytes.0.is_empty(), is("snapshot"), "`snapshot`"),
        ("lines", raw.lines.is_some(), is("summary"), "`summary`"),
    ];
    for (key, given, answered, needed) in wants {
        if given && !answered {
            let complaint = Complaint::new(format!("`{key}` can only be expected of {needed} in the same step"));
            pass.problems.add(&path.key(key), complaint);
        }
    }
}

fn address(pass: &mut Pass<'_>, raw: &WrittenAddress, path: &Path<'_>) -> Option<AddressExpect> {
    let compared = match raw {
        Either::Scalar(AddressWord::Null) => return Some(AddressExpect::Null),
        Either::Scalar(AddressWord::NotNull) => return Some(AddressExpect::NotNull),
        Either::Container(compared) => compared,
    };
    match (&compared.same_as, &compared.different_from) {
        (Some(name), None) => pass.block_of(name, &path.key("same_as")).map(AddressExpect::SameAs),
        (None, Some(name)) => pass.block_of(name, &path.key("different_from")).map(AddressExpect::DifferentFrom),
        _ => {
            pass.problems
                .add(path, Complaint::new("an address is compared by exactly one of `same_as` and `different_from`"));
            None
        }
    }
}

/// A device that every world of the scenario has.
fn device(pass: &mut Pass<'_>, key: &str, path: &Path<'_>) -> Option<DeviceId> {
    let least = *pass.world.devices.start();
    let found = key.parse().ok().map(DeviceId).filter(|d| d.index(usize::from(least)).is_some());
    if found.is_none() {
        let which = if least == 1 { "0".to_owned() } else { format!("0 to {}", least - 1) };
        let complaint = Complaint::new(format!("`{key}` is not a device here: there is {which}"));
        pass.problems.add(path, complaint);
    }
    found
}

fn fractions(pass: &mut Pass<'_>, raw: &Ordered<Slot<Fraction>>, path: &Path<'_>) -> BTreeMap<DeviceId, f64> {
    let get = |key: &str| raw.0.iter().find(|(k, _)| k == key).map(|(_, slot)| slot);
    if let (2, Some(at), Some(is)) = (raw.0.len(), get("device"), get("is")) {
        let at = match at {
            Slot::Is(Fraction(value)) => Slot::Is(format!("{value}")),
            Slot::Variable(name) => Slot::Variable(name.clone()),
        };
        let at = pass.value(&at, &path.key("device")).and_then(|text| device(pass, &text, &path.key("device")));
        let is = pass.value(is, &path.key("is"));
        return at.zip(is.map(|f| f.0)).into_iter().collect();
    }
    let entries = raw.0.iter().filter_map(|(key, slot)| {
        let here = path.key(key);
        if key == "device" || key == "is" {
            let complaint = Complaint::new("write `{ device: 0, is: 0.5 }`, or fractions by device: `{ 0: 0.5 }`");
            pass.problems.add(&here, complaint);
            return None;
        }
        Some((device(pass, key, &here)?, pass.value(slot, &here)?.0))
    });
    entries.collect()
}

fn figures(
    pass: &mut Pass<'_>,
    raw: &Ordered<Ordered<RawAmount>>,
    change: bool,
    path: &Path<'_>,
) -> BTreeMap<DeviceId, Figures> {
    let mut all = BTreeMap::new();
    for (key, figures) in &raw.0 {
        let here = path.key(key);
        let device = device(pass, key, &here);
        let mut amounts = Figures::new();
        for (name, raw) in &figures.0 {
            let here = here.key(name);
            if Key::parse(name).is_none() && name != "free_bytes" {
                let complaint = Complaint::new(format!("there is no statistic `{name}`"))
                    .hint("a key is family.row.column, for example `allocated_bytes.all.current`");
                let known = || Key::all().map(|k| k.to_string()).chain(["free_bytes".to_owned()]).collect::<Vec<_>>();
                let known = if pass.problems.is_full() { Vec::new() } else { known() };
                pass.problems.add(&here, complaint.near(name, known.iter().map(String::as_str)));
            }
            let place = device.map(|device| FigurePlace { device, name, change });
            if let Some(amount) = amount(pass, raw, place, &here) {
                amounts.insert(name.clone(), amount);
            }
        }
        if figures.0.is_empty() {
            pass.problems.add(&here, Complaint::new("no figure is named"));
        }
        all.extend(device.map(|d| (d, amounts)));
    }
    all
}

fn by_device(pass: &mut Pass<'_>, raw: &Ordered<RawAmount>, path: &Path<'_>) -> BTreeMap<DeviceId, Amount> {
    let entries = raw.0.iter().filter_map(|(key, raw)| {
        let here = path.key(key);
        let device = device(pass, key, &here);
        let amount = amount(pass, raw, None, &here);
        Some((device?, amount?))
    });
    entries.collect()
}

/// A figure of a device that may be a part of it.
#[derive(Clone, Copy)]
struct FigurePlace<'a> {
    device: DeviceId,
    name: &'a str,
    change: bool,
}

fn amount(pass: &mut Pass<'_>, raw: &RawAmount, place: Option<FigurePlace<'_>>, path: &Path<'_>) -> Option<Amount> {
    let bounds = match raw {
        Either::Scalar(slot) => return one(pass, slot, place, Bound::Exactly, path).map(Amount::Exactly),
        Either::Container(bounds) => bounds,
    };
    let mut read = |slot: Option<&Slot<Figure>>, key, bound| {
        let is_share = !matches!(slot, Some(Slot::Is(OrShare::Is(_))));
        slot.and_then(|s| Some((is_share, one(pass, s, place, bound, &path.key(key))?)))
    };
    let low = read(bounds.at_least.as_ref(), "at_least", Bound::AtLeast);
    let high = read(bounds.at_most.as_ref(), "at_most", Bound::AtMost);
    if bounds.at_least.is_none() && bounds.at_most.is_none() {
        pass.problems.add(path, Complaint::new("bounds need `at_least`, `at_most` or both"));
    }
    // What a part of a device comes to is not known here.
    if low.zip(high).is_some_and(|((shared, low), (too, high))| low > high && !shared && !too) {
        pass.problems.add(path, Complaint::new("`at_least` is above `at_most`: nothing is between them"));
    }
    Some(Amount::Between { at_least: low.map(|l| l.1), at_most: high.map(|h| h.1) })
}

/// One number of a figure; 0 where a part of the device comes in its place.
fn one(
    pass: &mut Pass<'_>,
    slot: &Slot<Figure>,
    place: Option<FigurePlace<'_>>,
    bound: Bound,
    path: &Path<'_>,
) -> Option<i64> {
    match (pass.value(slot, path)?, place) {
        (OrShare::Is(quantity), _) => Some(quantity.0),
        (OrShare::Share(share), Some(FigurePlace { device, name, change })) => {
            pass.note_share(SharePlace::Figure { device, name: name.to_owned(), change, bound }, share);
            Some(0)
        }
        (OrShare::Share(_), None) => {
            pass.problems.add(path, Complaint::new("no part of a device is meant here").hint("write a number"));
            None
        }
    }
}
