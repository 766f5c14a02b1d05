//! Writes a pickle of plain data, protocol 4.
//!
//! Decides which opcodes: only those that PyTorch's memory viewer reads too, whose reader in the browser
//! knows fewer than Python, and takes lists only in batches.

use std::collections::BTreeMap;

/// Python's own batch length; the viewer passes a batch as arguments of one call.
const BATCH: usize = 1000;

/// A pickle being written. Every `begin` wants its end; a dict's contents alternate between key and value.
#[derive(Debug)]
pub struct Writer {
    bytes: Vec<u8>,
    strings: BTreeMap<String, u32>,
    /// Values that the memo holds.
    kept: u32,
    /// For each list that is open: items written since the batch began are in one.
    batches: Vec<bool>,
}

impl Default for Writer {
    fn default() -> Self {
        Writer { bytes: vec![0x80, 4], strings: BTreeMap::new(), kept: 0, batches: Vec::new() }
    }
}

impl Writer {
    /// Ends the pickle, whose one value must have been written.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        self.bytes.push(b'.');
        self.bytes
    }

    pub fn bool(&mut self, value: bool) {
        self.bytes.push(if value { 0x88 } else { 0x89 });
    }

    pub fn float(&mut self, value: f64) {
        self.bytes.push(b'G');
        self.bytes.extend(value.to_be_bytes());
    }

    pub fn int(&mut self, value: impl Into<i128>) {
        let value: i128 = value.into();
        if let Ok(value) = u8::try_from(value) {
            self.bytes.extend([b'K', value]);
        } else if let Ok(value) = u16::try_from(value) {
            self.bytes.push(b'M');
            self.bytes.extend(value.to_le_bytes());
        } else if let Ok(value) = i32::try_from(value) {
            self.bytes.push(b'J');
            self.bytes.extend(value.to_le_bytes());
        } else {
            let all = value.to_le_bytes();
            let fits = |&n: &usize| value >> (8 * n - 1) == if value < 0 { -1 } else { 0 };
            let length = (1..all.len()).find(fits).unwrap_or(all.len());
            self.bytes.push(0x8a);
            self.bytes.push(u8::try_from(length).unwrap_or(16)); // an i128 has 16 bytes
            self.bytes.extend(&all[..length]);
        }
    }

    /// A string; from its second time on a reference to the first.
    pub fn str(&mut self, text: &str) {
        if let Some(&index) = self.strings.get(text) {
            return self.get(index);
        }
        if let Ok(length) = u8::try_from(text.len()) {
            self.bytes.extend([0x8c, length]);
        } else {
            // Nobody writes settings or names of 4 GiB: the text of such a length is cut.
            let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
            self.bytes.push(b'X');
            self.bytes.extend(length.to_le_bytes());
        }
        self.bytes.extend(text.as_bytes().iter().take(u32::MAX as usize));
        let index = self.keep();
        self.strings.insert(text.to_owned(), index);
    }

    /// Puts the value written last into the memo.
    fn keep(&mut self) -> u32 {
        self.bytes.push(0x94);
        self.kept += 1;
        self.kept - 1
    }

    /// What the memo holds, again.
    pub fn get(&mut self, index: u32) {
        if let Ok(index) = u8::try_from(index) {
            self.bytes.extend([b'h', index]);
        } else {
            self.bytes.push(b'j');
            self.bytes.extend(index.to_le_bytes());
        }
    }

    pub fn none(&mut self) {
        self.bytes.push(b'N');
    }

    pub fn begin_dict(&mut self) {
        self.bytes.extend([b'}', b'(']);
    }

    /// The same, kept in the memo; answers where.
    pub fn begin_kept_dict(&mut self) -> u32 {
        self.bytes.push(b'}');
        let index = self.keep();
        self.bytes.push(b'(');
        index
    }

    pub fn end_dict(&mut self) {
        self.bytes.push(b'u');
    }

    /// A list, its items written by `item`.
    pub fn list<T>(&mut self, items: impl IntoIterator<Item = T>, mut item: impl FnMut(&mut Self, T)) {
        self.begin_list();
        for (count, one) in items.into_iter().enumerate() {
            self.next_item(count);
            item(self, one);
        }
        self.end_list();
    }

    pub fn begin_list(&mut self) {
        self.bytes.push(b']');
        self.batches.push(false);
    }

    /// The same, kept in the memo; answers where.
    pub fn begin_kept_list(&mut self) -> u32 {
        self.bytes.push(b']');
        self.batches.push(false);
        self.keep()
    }

    /// Before each item of a list: so many were written.
    pub fn next_item(&mut self, count: usize) {
        if count.is_multiple_of(BATCH) {
            if let Some(is_open) = self.batches.last_mut()
                && std::mem::replace(is_open, true)
            {
                self.bytes.push(b'e');
            }
            self.bytes.push(b'(');
        }
    }

    pub fn end_list(&mut self) {
        if self.batches.pop() == Some(true) {
            self.bytes.push(b'e');
        }
    }

    /// Makes a tuple of the values from here to its end.
    pub fn begin_tuple(&mut self) {
        self.bytes.push(b'(');
    }

    pub fn end_tuple(&mut self) {
        self.bytes.push(b't');
    }

    /// Makes a tuple of the two values written last.
    pub fn pair(&mut self) {
        self.bytes.push(0x86);
    }
}
