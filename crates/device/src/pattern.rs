//! What a block holds: the pattern of its number, as kernels.ptx writes it.
//!
//! Decides how bytes depend on the block and on their offset, and whose pattern some bytes are. Every word differs
//! from every other of all patterns (up to 32 GiB from a block's start), so that one word tells its block.

const FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;

/// The pattern of memory that nobody has written since it was got.
pub const BLANK: u32 = u32::MAX;

/// The size of a word.
pub const WORD: usize = 8;

/// So many words are made at once: from one to the next a product grows by the factor, so that none is multiplied.
const LANES: usize = 4;

/// The word at an index of a pattern.
pub fn word(tag: u32, index: u64) -> u64 {
    folded(product(tag, index))
}

fn product(tag: u32, index: u64) -> u64 {
    (u64::from(tag) << 32 | index & 0xffff_ffff).wrapping_mul(FACTOR)
}

fn folded(product: u64) -> u64 {
    product ^ product >> 32
}

/// Whether indices from `first` on come to the end of the low 32 bits within so many words.
fn wraps(first: u64, words: usize) -> bool {
    (first & 0xffff_ffff) + words as u64 > 1 << 32
}

/// Writes whole words of a pattern, from the one at `first` on; of the last only as much as there is room for.
pub fn write(tag: u32, first: u64, into: &mut [u8]) {
    let mut products: [u64; LANES] = std::array::from_fn(|lane| product(tag, first + lane as u64));
    let mut begun = 0;
    if !wraps(first, into.len() / WORD + LANES) {
        for group in into.chunks_exact_mut(LANES * WORD) {
            for (product, word) in products.iter_mut().zip(group.chunks_exact_mut(WORD)) {
                word.copy_from_slice(&folded(*product).to_le_bytes());
                *product = product.wrapping_add(FACTOR.wrapping_mul(LANES as u64));
            }
            begun += LANES;
        }
    }
    for (index, part) in (first + begun as u64..).zip(into[begun * WORD..].chunks_mut(WORD)) {
        part.copy_from_slice(&word(tag, index).to_le_bytes()[..part.len()]);
    }
}

/// Whether some bytes are those of a pattern, from the word at `first` on.
#[must_use]
pub fn holds(found: &[u8], tag: u32, first: u64) -> bool {
    let mut products: [u64; LANES] = std::array::from_fn(|lane| product(tag, first + lane as u64));
    let (mut begun, mut off) = (0, [0; LANES]);
    if !wraps(first, found.len() / WORD + LANES) {
        // Without a branch for each word: nearly always all of them are as they should be.
        for group in found.chunks_exact(LANES * WORD) {
            for ((product, off), word) in products.iter_mut().zip(&mut off).zip(group.chunks_exact(WORD)) {
                let word = word.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
                *off |= word ^ folded(*product);
                *product = product.wrapping_add(FACTOR.wrapping_mul(LANES as u64));
            }
            begun += LANES;
        }
    }
    let mut rest = (first + begun as u64..).zip(found[begun * WORD..].chunks(WORD));
    off == [0; LANES] && rest.all(|(index, part)| *part == word(tag, index).to_le_bytes()[..part.len()])
}

/// The pattern that a word is of, and its index there (the low 32 bits).
pub fn read(word: u64) -> (u32, u32) {
    let plain = (word ^ word >> 32).wrapping_mul(inverse());
    #[expect(clippy::cast_possible_truncation, reason = "the two halves")]
    let halves = ((plain >> 32) as u32, plain as u32);
    halves
}

/// The inverse of the factor modulo 2^64, by Newton's iteration.
const fn inverse() -> u64 {
    let mut x = FACTOR;
    let mut rounds = 0;
    while rounds < 6 {
        x = x.wrapping_mul(2_u64.wrapping_sub(FACTOR.wrapping_mul(x)));
        rounds += 1;
    }
    x
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_tells_its_block_and_place() {
        for tag in [0, 1, 2, 0xF000_0001, BLANK] {
            for index in [0, 1, 63, 64, 0xffff_ffff] {
                assert_eq!((tag, index), {
                    let (tag, low) = read(word(tag, index));
                    (tag, u64::from(low))
                });
            }
        }
        assert_eq!(word(3, 5), word(3, (1 << 32) + 5));
    }

    #[test]
    fn bytes_written_at_once_are_the_words_one_after_another() {
        for first in [0, 1, 16, 0xffff_fffa, 0xffff_ffff] {
            for length in [0, 1, 7, 8, 9, 31, 32, 33, 100] {
                let words = (first..first + length as u64).flat_map(|index| word(7, index).to_le_bytes());
                let due: Vec<u8> = words.take(length).collect();
                let mut bytes = vec![0; length];
                write(7, first, &mut bytes);
                assert_eq!(bytes, due, "{first}, {length}");
                assert!(holds(&bytes, 7, first), "{first}, {length}");
                for at in 0..length {
                    bytes[at] ^= 0x40;
                    assert!(!holds(&bytes, 7, first), "{first}, {length}: byte {at}");
                    bytes[at] ^= 0x40;
                }
            }
        }
    }

    #[test]
    fn every_byte_of_a_word_depends_on_the_block() {
        for byte in 0..8 {
            let differs = (0..64).any(|i| word(1, i).to_le_bytes()[byte] != word(2, i).to_le_bytes()[byte]);
            assert!(differs, "byte {byte}");
        }
    }
}
