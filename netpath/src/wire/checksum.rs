//! The Internet checksum (RFC 1071) and its incremental update (RFC 1624).

use core::net::Ipv4Addr;

/// Sum of 16-bit words in one's complement, not yet folded: 2^16 words fit without overflow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum(u64);

impl Sum {
    /// Adds a word.
    #[must_use]
    pub fn word(self, word: u16) -> Sum {
        Sum(self.0.wrapping_add(u64::from(word)))
    }

    /// Adds an address, which is two words.
    #[must_use]
    pub fn address(self, address: Ipv4Addr) -> Sum {
        Sum(self.0.wrapping_add(u64::from(u32::from(address))))
    }

    /// Adds bytes; an odd last one counts as if a zero followed.
    #[must_use]
    pub fn bytes(self, bytes: &[u8]) -> Sum {
        // 32 bits at a time: 2^32 = 1 modulo 2^16 - 1, so the fold gives the same result.
        let (quads, rest) = bytes.as_chunks::<4>();
        let mut sum = self.0;
        for quad in quads {
            sum = sum.wrapping_add(u64::from(u32::from_be_bytes(*quad)));
        }
        let (pairs, odd) = rest.as_chunks::<2>();
        for pair in pairs {
            sum = sum.wrapping_add(u64::from(u16::from_be_bytes(*pair)));
        }
        if let [last] = odd {
            sum = sum.wrapping_add(u64::from(u16::from_be_bytes([*last, 0])));
        }
        Sum(sum)
    }

    /// The checksum field of what was summed (with the field itself as 0).
    #[must_use]
    pub fn checksum(self) -> u16 {
        !self.fold()
    }

    /// The sum in 16 bits; all ones over data whose checksum field is right.
    #[must_use]
    pub fn fold(self) -> u16 {
        let mut sum = (self.0 >> 32).wrapping_add(self.0 & 0xffff_ffff);
        sum = (sum >> 16).wrapping_add(sum & 0xffff);
        sum = (sum >> 16).wrapping_add(sum & 0xffff);
        sum = (sum >> 16).wrapping_add(sum & 0xffff);
        u16::try_from(sum & 0xffff).unwrap_or(u16::MAX)
    }
}

/// The pseudo-header of TCP and UDP (RFC 768, RFC 9293 3.1).
#[must_use]
pub fn pseudo(source: Ipv4Addr, destination: Ipv4Addr, protocol: u8, length: u16) -> Sum {
    Sum::default()
        .address(source)
        .address(destination)
        .word(u16::from(protocol))
        .word(length)
}

/// What a rewrite adds to a sum: the words that went, complemented, and those that came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delta(Sum);

impl Delta {
    /// One word became another.
    #[must_use]
    pub fn word(self, old: u16, new: u16) -> Delta {
        Delta(self.0.word(!old).word(new))
    }

    /// One address became another.
    #[must_use]
    pub fn address(self, old: Ipv4Addr, new: Ipv4Addr) -> Delta {
        Delta(self.0.address(Ipv4Addr::from(!u32::from(old))).address(new))
    }

    /// The checksum field after the rewrite: `HC' = ~(~HC + ~m + m')` (RFC 1624 equation 3).
    #[must_use]
    pub fn apply(self, field: u16) -> u16 {
        self.0.word(!field).checksum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition in RFC 1071, word by word.
    fn plain(bytes: &[u8]) -> u16 {
        let mut sum = 0u32;
        for pair in bytes.chunks(2) {
            sum += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
            sum = (sum & 0xffff) + (sum >> 16);
        }
        !(sum as u16)
    }

    #[test]
    fn rfc1071_example() {
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(Sum::default().bytes(&bytes).fold(), 0xddf2);
    }

    #[test]
    fn rfc1624_example_does_not_make_minus_zero() {
        // given RFC 1624 section 4: HC = 0xdd2f, m = 0x5555, m' = 0x3285
        // when the field is updated, then it is 0x0000, and not 0xffff as RFC 1141 had it
        assert_eq!(Delta::default().word(0x5555, 0x3285).apply(0xdd2f), 0);
    }

    proptest! {
        #[test]
        fn sum_is_the_definition(bytes in proptest::collection::vec(any::<u8>(), 0..1600)) {
            prop_assert_eq!(Sum::default().bytes(&bytes).checksum(), plain(&bytes));
        }

        #[test]
        fn update_is_recomputation(
            mut bytes in proptest::collection::vec(any::<u8>(), 8..64), new in any::<u32>()
        ) {
            // given bytes with a nonzero word that stays, and their checksum
            bytes[6] |= 1;
            let before = plain(&bytes);
            let old = Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3]);
            // when an address in them is replaced
            bytes[..4].copy_from_slice(&new.to_be_bytes());
            // then the updated field is the recomputed one
            let delta = Delta::default().address(old, Ipv4Addr::from(new));
            prop_assert_eq!(delta.apply(before), plain(&bytes));
        }
    }
}
