//! Lists and dicts while they are being filled.
//!
//! Decides when one is complete: where it is put into another, or is the whole. Whoever writes data without cycles
//! fills a container before that, so that one which is filled afterwards is refused.

use std::io::BufRead;

use super::PickleError;
use super::document::Value;
use super::machine::Machine;

/// A container on its way.
#[derive(Debug)]
enum Slot {
    Filling(Container),
    /// Complete, and referred to from elsewhere than the memo.
    Moved(Value),
    Unused,
}

#[derive(Debug, Default)]
struct Container {
    is_dict: bool,
    items: Vec<Value>,
    /// Under which number the memo has it.
    memo: Option<u32>,
    /// Something else may refer to it.
    is_shared: bool,
}

/// All that are on their way.
#[derive(Debug, Default)]
pub(super) struct Filling {
    slots: Vec<Slot>,
    unused: Vec<u32>,
    /// Emptied, to be filled again.
    spare: Vec<Vec<Value>>,
}

/// So much is kept of a vector that was emptied, and so many of them.
const SPARE_ITEMS: usize = 256;
const SPARE: usize = 4096;

impl Filling {
    fn container(&mut self, value: Value) -> Option<&mut Container> {
        let Value::Open(slot) = value else { return None };
        match self.slots.get_mut(slot as usize) {
            Some(Slot::Filling(container)) => Some(container),
            _ => None,
        }
    }

    /// A second reference to it was made.
    pub fn share(&mut self, value: Value) {
        if let Some(container) = self.container(value) {
            container.is_shared = true;
        }
    }

    /// It was put into the memo.
    pub fn remember(&mut self, value: Value, index: u32) {
        if let Some(container) = self.container(value) {
            container.is_shared |= container.memo.is_some_and(|known| known != index);
            container.memo = Some(index);
        }
    }
}

impl<R: BufRead> Machine<'_, R> {
    /// A list or dict of the values from `first` on.
    pub(super) fn new_container(&mut self, is_dict: bool, first: usize) -> Result<(), PickleError> {
        self.make_whole(first)?;
        let mut items = self.filling.spare.pop().unwrap_or_default();
        items.extend(self.stack.drain(first..));
        if is_dict && !items.len().is_multiple_of(2) {
            return Err(self.malformed("a dict's key without a value"));
        }
        let slot = Slot::Filling(Container { is_dict, items, ..Container::default() });
        let at = if let Some(at) = self.filling.unused.pop() {
            self.filling.slots[at as usize] = slot;
            at
        } else {
            let at = u32::try_from(self.filling.slots.len()).map_err(|_| self.too_many())?;
            self.filling.slots.push(slot);
            at
        };
        self.push(Value::Open(at))
    }

    /// Puts the values from `first` on into a list or dict.
    pub(super) fn put(&mut self, into: Value, pairs: bool, first: usize) -> Result<(), PickleError> {
        if pairs && !(self.stack.len() - first).is_multiple_of(2) {
            return Err(self.malformed("a dict's key without a value"));
        }
        self.make_whole(first)?;
        let added = self.stack.drain(first..);
        match self.filling.container(into) {
            Some(container) if container.is_dict == pairs => {
                container.items.extend(added);
                Ok(())
            }
            _ => {
                drop(added);
                Err(self.malformed(match into {
                    Value::Open(_) | Value::List(_) | Value::Dict(_) => {
                        "values are put into something that is complete or of the other kind"
                    }
                    _ => "values are put into something that is no list or dict",
                }))
            }
        }
    }

    /// Everything on the stack from `first` on is put away: none of it is filled any more.
    pub(super) fn make_whole(&mut self, first: usize) -> Result<(), PickleError> {
        for at in first..self.stack.len() {
            if matches!(self.stack[at], Value::Open(_)) {
                self.stack[at] = self.whole(self.stack[at])?;
            }
        }
        Ok(())
    }

    /// A value with nothing open in it.
    pub(super) fn whole(&mut self, value: Value) -> Result<Value, PickleError> {
        let Value::Open(slot) = value else { return Ok(value) };
        let Some(place) = self.filling.slots.get_mut(slot as usize) else { return Err(self.malformed(LOST)) };
        let Container { is_dict, mut items, memo, is_shared } = match std::mem::replace(place, Slot::Unused) {
            Slot::Filling(container) => container,
            Slot::Moved(moved) => {
                *place = Slot::Moved(moved);
                return Ok(moved);
            }
            Slot::Unused => return Err(self.malformed(LOST)),
        };
        let closed = if is_dict { self.document.close_dict(&items) } else { self.document.close(&items) };
        let at = closed.ok_or_else(|| self.too_many())?;
        let whole = if is_dict { Value::Dict(at) } else { Value::List(at) };
        if items.capacity() <= SPARE_ITEMS && self.filling.spare.len() < SPARE {
            items.clear();
            self.filling.spare.push(items);
        }
        if let Some(index) = memo {
            let (open, closed) = (self.document.word(value), self.document.word(whole));
            let kept = self.memo.get_mut(index as usize).or_else(|| self.stray.get_mut(&index));
            if let Some((kept, closed)) = kept.zip(closed).filter(|(kept, _)| Some(**kept) == open) {
                *kept = closed;
            }
        }
        if is_shared {
            self.filling.slots[slot as usize] = Slot::Moved(whole);
        } else {
            self.filling.unused.push(slot);
        }
        Ok(whole)
    }
}

const LOST: &str = "a list or dict that is nowhere";
