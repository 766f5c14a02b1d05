//! Weights: which kind of operation a draw stands for.

use crate::spec::{OpKind, Weights};

/// Kinds by cumulative weight, never empty.
#[derive(Debug)]
pub(super) struct Table {
    entries: Vec<(u64, OpKind)>,
    total: u64,
}

impl Table {
    /// The weights of a scenario without the kinds that `keep` refuses; without any weight, 6 allocations
    /// to 4 frees.
    pub(super) fn new(weights: &Weights, keep: impl Fn(OpKind) -> bool) -> Self {
        let mut table = Table { entries: Vec::new(), total: 0 };
        weights.entries.iter().filter(|&&(kind, _)| keep(kind)).for_each(|&(kind, weight)| table.add(kind, weight));
        if table.total == 0 {
            table.add(OpKind::Alloc, 6);
            table.add(OpKind::Free, 4);
        }
        table
    }

    pub(super) fn has(&self, kind: OpKind) -> bool {
        self.entries.iter().any(|&(_, k)| k == kind)
    }

    pub(super) fn pick(&self, draw: u32) -> OpKind {
        let at = (u128::from(draw) * u128::from(self.total)) >> 32;
        self.entries.iter().find(|&&(up_to, _)| at < u128::from(up_to)).map_or(OpKind::Alloc, |&(_, kind)| kind)
    }

    fn add(&mut self, kind: OpKind, weight: u32) {
        if weight > 0 {
            self.total += u64::from(weight);
            self.entries.push((self.total, kind));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_shared_out_by_weight() {
        let entries = vec![(OpKind::Free, 0), (OpKind::Use, 1), (OpKind::Snapshot, 3)];
        let weights = Weights { entries };
        let table = Table::new(&weights, |_| true);
        assert!(!table.has(OpKind::Free));
        let quarter = 1_u32 << 30;
        let picks = [0, quarter - 1, quarter, u32::MAX].map(|d| table.pick(d));
        assert_eq!(picks, [OpKind::Use, OpKind::Use, OpKind::Snapshot, OpKind::Snapshot]);
        let fallback = Table::new(&weights, |_| false);
        assert_eq!([0, u32::MAX].map(|d| fallback.pick(d)), [OpKind::Alloc, OpKind::Free]);
    }
}
