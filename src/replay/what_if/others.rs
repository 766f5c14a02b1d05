//! The recorded calls under other settings, from the beginning.
//!
//! Decides what is asked in place of what is not known: what stood when the history began is asked for first, and a limit that
//! was fitted bounds it, unless the settings name a fraction of their own.

use super::ask::{self, Ask, Asked};
use super::limit;
use super::{CardSize, Disagreement, Row, SizeFrom, Workload, counted, held};
use crate::device::card::{Card, Given};
use crate::reference::{Reference, Settings, Sound};

/// Whether the card is larger than what could be had of it.
fn is_shared(from: SizeFrom) -> bool {
    matches!(from, SizeFrom::Refusals | SizeFrom::Others { .. })
}

/// Other settings, from the beginning: what stood when the history began is asked for first, by address. Fails where that
/// comes to something else with another limit that fits.
pub(super) fn run(
    workload: &mut Workload,
    config: &str,
    settings: &Settings,
    device_bytes: Option<u64>,
) -> Result<Vec<Row>, Disagreement> {
    let mut first: Option<Vec<Row>> = None;
    for &pick in workload.picks() {
        workload.pick = pick;
        let rows = run_while(workload, config, settings, device_bytes, &mut |_, _, _| true);
        if let Some(least) = &first
            && let Some(matters) = limit::differing(workload, least, &rows, pick)
        {
            return Err(matters);
        }
        first.get_or_insert(rows);
    }
    Ok(first.unwrap_or_default())
}

/// The same with one limit, as long as `go_on` says so after a call on a device, which is given the row of the device so far.
pub(in crate::replay) fn run_while(
    workload: &Workload,
    config: &str,
    settings: &Settings,
    device_bytes: Option<u64>,
    go_on: &mut dyn FnMut(usize, &Ask, &Row) -> bool,
) -> Vec<Row> {
    let card = |size: &CardSize| {
        let bytes = device_bytes.unwrap_or(size.bytes);
        let total = if device_bytes.is_none() && is_shared(size.from) { size.total } else { bytes };
        Card::new(total, bytes, Given::default())
    };
    let cards = workload.cards.iter().map(card).collect();
    let mut reference = Reference::new(cards, settings, Sound).by(workload.rules);
    for device in (0..workload.cards.len()).filter(|_| settings.fraction >= 1.0) {
        let limit = workload.limit(device, workload.pick);
        limit.into_iter().for_each(|bytes| reference.device_mut(device).limit_to(bytes));
    }
    let mut rows: Vec<Row> = (0..workload.cards.len()).map(|device| Row::new(config, device)).collect();
    let mut asked = Asked::new(workload.standing, &workload.uncut);
    for (&device, start) in &workload.starts {
        for &(block, _, bytes, stream, pool) in &start.blocks {
            let to = Some(ask::Towards { pool, redirected: false });
            let ask = Ask::Alloc { block, bytes, stream, refused: false, to };
            asked.ask(&mut reference, device, &ask, &mut rows[device]);
            note_peak(&reference, device, &asked, &mut rows[device]);
            if !go_on(device, &ask, &rows[device]) {
                return rows;
            }
        }
    }
    let of_the_run = |ask: &Ask| matches!(ask, Ask::Settings(_) | Ask::RecordedUsage(_));
    let fixed = |ask: &Ask| device_bytes.is_some() && matches!(ask, Ask::Available { .. });
    for (device, ask) in workload.asks.iter().filter(|(_, ask)| !of_the_run(ask) && !fixed(ask)) {
        let device = *device;
        asked.ask(&mut reference, device, ask, &mut rows[device]);
        note_peak(&reference, device, &asked, &mut rows[device]);
        if !go_on(device, ask, &rows[device]) {
            break;
        }
    }
    counted(&reference, &mut rows);
    rows
}

fn note_peak(reference: &Reference<Card>, device: usize, asked: &Asked, row: &mut Row) {
    let (reserved, allocated) = held(reference, device);
    if row.at_most_reserved(reserved, allocated) && asked.has_standing() {
        let sizes = asked.standing(device).filter_map(|address| reference.device(device).size_of(address));
        row.standing_then = sizes.sum();
    }
}
