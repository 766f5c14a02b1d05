//! What a block holds: the pattern of its number, as kernels.ptx writes it.
//!
//! Decides how bytes depend on the block and on their offset, and whose pattern some bytes are. Every word differs
//! from every other of all patterns (up to 32 GiB from a block's start), so that one word tells its block.

const FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;

/// The pattern of memory that nobody has written since it was got.
pub const BLANK: u32 = u32::MAX;

/// The word at an index of a pattern.
pub fn word(tag: u32, index: u64) -> u64 {
    let product = (u64::from(tag) << 32 | index & 0xffff_ffff).wrapping_mul(FACTOR);
    product ^ product >> 32
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
    fn every_byte_of_a_word_depends_on_the_block() {
        for byte in 0..8 {
            let differs = (0..64).any(|i| word(1, i).to_le_bytes()[byte] != word(2, i).to_le_bytes()[byte]);
            assert!(differs, "byte {byte}");
        }
    }
}
