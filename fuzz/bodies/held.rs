//! What a drawn sequence holds so far, as the next draft names it.

use poolproof::op::{BlockId, Pointer};

use super::redirects::Redirects;

#[derive(Debug, Default)]
pub struct Held {
    pub blocks: Vec<BlockId>,
    pub freed: Vec<BlockId>,
    pub next: u32,
    pub redirects: Redirects,
}

impl Held {
    pub fn pick(&self, draw: u16) -> Option<BlockId> {
        usize::from(draw).checked_rem(self.blocks.len()).map(|i| self.blocks[i])
    }

    pub fn ask(&mut self) -> BlockId {
        let block = BlockId(self.next);
        self.next += 1;
        self.blocks.push(block);
        block
    }

    pub fn free(&mut self, block: BlockId) {
        if let Some(i) = self.blocks.iter().position(|&b| b == block) {
            self.blocks.swap_remove(i);
            self.freed.push(block);
        }
    }

    /// A pointer that no block starts at.
    pub fn bad_pointer(&self, pick: u16, turn: u8, size: u32) -> Pointer {
        let freed = || usize::from(pick).checked_rem(self.freed.len()).map(|i| self.freed[i]);
        match turn & 3 {
            0 => freed().map(|block| Pointer::Freed { block }),
            // Below any heap, and aligned as an allocator's addresses are.
            1 => Some(Pointer::Wild { address: 0x1000 + u64::from(pick & 0x7f) * 512 }),
            // Its bytes are not known here; an offset past its end is not asked.
            2 => self.pick(pick).map(|block| Pointer::Interior { block, offset: 1 + u64::from(size & 0x3fff) }),
            _ => None,
        }
        .unwrap_or(Pointer::Null)
    }
}
