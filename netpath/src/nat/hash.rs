//! The keyed hash and the choice at random: both from the secret that the machine was made with.

/// Hashes four words under a secret key.
///
/// NH (RFC 4418 section 5.2.2): the sum of products of keyed words. Two different inputs collide
/// for at most 1 in 2^32 keys, so a stranger who does not know the key can not aim at one chain;
/// two multiplications are all that it costs on a 32-bit processor.
#[derive(Clone, Copy, Debug)]
pub struct Hasher {
    keys: [u32; 4],
}

impl Hasher {
    /// The hash function of this key.
    #[must_use]
    pub fn new(secret: u64) -> Hasher {
        let mut random = Random::new(secret);
        Hasher {
            keys: [random.draw(), random.draw(), random.draw(), random.draw()],
        }
    }

    /// The hash of four words.
    #[must_use]
    pub fn words(&self, words: [u32; 4]) -> u32 {
        let [a, b, c, d] = words;
        let [ka, kb, kc, kd] = self.keys;
        let pair = |x: u32, y: u32| u64::from(x).wrapping_mul(u64::from(y));
        let sum = pair(a.wrapping_add(ka), b.wrapping_add(kb))
            .wrapping_add(pair(c.wrapping_add(kc), d.wrapping_add(kd)));
        // Mix high and low halves so that every bit of the result depends on all of them
        // (the finalizer of MurmurHash3).
        let mut h = low(sum ^ (sum >> 32));
        h = (h ^ (h >> 16)).wrapping_mul(0x85eb_ca6b);
        h = (h ^ (h >> 13)).wrapping_mul(0xc2b2_ae35);
        h ^ (h >> 16)
    }
}

fn low(wide: u64) -> u32 {
    let [a, b, c, d, ..] = wide.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

/// Numbers that a stranger can not foretell without the secret; the same secret gives the same
/// ones, so that a run can be replayed (SplitMix64).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Random {
    state: u64,
}

impl Random {
    /// The sequence of this secret.
    #[must_use]
    pub fn new(secret: u64) -> Random {
        Random { state: secret }
    }

    /// The next number.
    pub fn draw(&mut self) -> u32 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        low((z ^ (z >> 31)) >> 32)
    }
}
