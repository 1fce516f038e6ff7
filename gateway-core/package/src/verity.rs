//! The hash tree of a root image, as the kernel's dm-verity reads it (Documentation/admin-guide/
//! device-mapper/verity.rst): version 1, SHA-256, data and hash blocks of 4096 bytes, no salt, no super block.
//! The tree stands right behind the image, its top block first. Each read of a mounted image is checked
//! against it up to the root, which the signed manifest has.

use core::fmt;
use hearth_model::manifest::{IMAGE_BLOCK, IMAGE_MAX};
use sha2::{Digest, Sha256};

/// Length of a block, bytes.
#[expect(clippy::cast_possible_truncation, reason = "4096")]
pub const BLOCK: usize = IMAGE_BLOCK as usize;

/// A SHA-256.
pub type Hash = [u8; 32];

/// Hashes in one block of the tree.
const HASHES: usize = BLOCK / 32;

/// Why bytes are no image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoTree {
    /// There is not one byte.
    Empty,
    /// They are no whole blocks.
    Ragged,
    /// They are more than [`IMAGE_MAX`].
    TooLarge,
}

impl fmt::Display for NoTree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoTree::Empty => f.write_str("it is empty"),
            NoTree::Ragged => write!(f, "it does not end with a whole block of {BLOCK} bytes"),
            NoTree::TooLarge => write!(f, "it is larger than {IMAGE_MAX} bytes"),
        }
    }
}

impl core::error::Error for NoTree {}

/// Takes an image piece by piece; holds one hash a block, 8 MiB for the largest.
#[derive(Debug, Default)]
pub struct Builder {
    hashes: Vec<Hash>,
    begun: Vec<u8>,
}

impl Builder {
    /// Takes the next piece, of any length.
    ///
    /// # Errors
    /// [`NoTree::TooLarge`]: nothing more is kept.
    pub fn update(&mut self, mut piece: &[u8]) -> Result<(), NoTree> {
        if !self.begun.is_empty() {
            let (first, rest) = piece.split_at(piece.len().min(BLOCK - self.begun.len()));
            self.begun.extend_from_slice(first);
            piece = rest;
            if self.begun.len() < BLOCK {
                return Ok(());
            }
            let whole = core::mem::take(&mut self.begun);
            self.push(&whole)?;
        }
        let blocks = piece.chunks_exact(BLOCK);
        self.begun.extend_from_slice(blocks.remainder());
        blocks.into_iter().try_for_each(|block| self.push(block))
    }

    fn push(&mut self, block: &[u8]) -> Result<(), NoTree> {
        if self.hashes.len() as u64 >= IMAGE_MAX / IMAGE_BLOCK {
            return Err(NoTree::TooLarge);
        }
        self.hashes.push(Sha256::digest(block).into());
        Ok(())
    }

    /// The tree of all that was taken.
    ///
    /// # Errors
    /// [`NoTree`].
    pub fn finish(self) -> Result<Tree, NoTree> {
        if !self.begun.is_empty() {
            return Err(NoTree::Ragged);
        }
        let mut levels = Vec::new();
        let mut hashes = self.hashes;
        // One data block has no tree: its hash is the root.
        while hashes.len() > 1 {
            let level: Vec<u8> = hashes.chunks(HASHES).flat_map(block_of).collect();
            hashes = level
                .chunks(BLOCK)
                .map(|block| Sha256::digest(block).into())
                .collect();
            levels.push(level);
        }
        let root = *hashes.first().ok_or(NoTree::Empty)?;
        levels.reverse();
        Ok(Tree {
            root,
            bytes: levels.concat(),
        })
    }
}

/// Hashes as a block; what is left of it is zeroes.
fn block_of(hashes: &[Hash]) -> Vec<u8> {
    let mut block = hashes.concat();
    block.resize(BLOCK, 0);
    block
}

/// A finished tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    /// Its root.
    pub root: Hash,
    /// What stands behind the image.
    pub bytes: Vec<u8>,
}

/// Length of the tree behind an image of this length, bytes.
#[must_use]
pub fn tree_length(size: u64) -> u64 {
    let mut hashes = size.div_ceil(IMAGE_BLOCK);
    let mut blocks = 0_u64;
    while hashes > 1 {
        hashes = hashes.div_ceil(HASHES as u64);
        blocks = blocks.saturating_add(hashes);
    }
    blocks.saturating_mul(IMAGE_BLOCK)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hearth_model::hex;
    use proptest::prelude::*;

    fn tree(image: &[u8]) -> Tree {
        let mut builder = Builder::default();
        builder.update(image).unwrap();
        builder.finish().unwrap()
    }

    /// The hash of a data block as the kernel finds it: down from the root, each level checked.
    fn by_kernel(image: &[u8], tree: &Tree, block: usize) -> Option<Hash> {
        let mut counts = vec![image.len() / BLOCK];
        while *counts.last().unwrap() > 1 {
            counts.push(counts.last().unwrap().div_ceil(HASHES));
        }
        counts.remove(0);
        let (mut expected, mut start) = (tree.root, 0);
        for (above, count) in counts.iter().enumerate().rev() {
            let place = block / HASHES.pow(u32::try_from(above).unwrap());
            let at = (start + place / HASHES) * BLOCK;
            let bytes = &tree.bytes[at..at + BLOCK];
            if Hash::from(Sha256::digest(bytes)) != expected {
                return None;
            }
            let inside = place % HASHES * 32;
            expected = bytes[inside..inside + 32].try_into().unwrap();
            start += count;
        }
        Some(expected)
    }

    #[test]
    fn roots_are_those_of_veritysetup() {
        // given images of one block, of more than a block of hashes, and of more than two levels;
        // veritysetup 2.6.1: format --no-superblock --salt=- --data-blocks=N IMAGE TREE
        for (blocks, root) in [
            (
                1,
                "ad7facb2586fc6e966c004d7d1d16b024f5805ff7cb47c7a85dabd8b48892ca7",
            ),
            (2, include_str!("../tests/verity/2.root").trim()),
            (129, include_str!("../tests/verity/129.root").trim()),
            (20_000, include_str!("../tests/verity/20000.root").trim()),
        ] {
            let builder = Builder {
                hashes: vec![Sha256::digest([0; BLOCK]).into(); blocks],
                begun: Vec::new(),
            };
            let tree = builder.finish().unwrap();
            assert_eq!(hex::text(&tree.root), root, "{blocks} blocks");
            assert_eq!(
                tree.bytes.len() as u64,
                tree_length((blocks * BLOCK) as u64)
            );
        }
    }

    #[test]
    fn what_is_no_image_is_told() {
        let finish = |bytes: &[u8]| {
            let mut builder = Builder::default();
            builder.update(bytes).unwrap();
            builder.finish()
        };
        assert_eq!(finish(b""), Err(NoTree::Empty));
        assert_eq!(finish(&[0; BLOCK + 1]), Err(NoTree::Ragged));
        let mut builder = Builder::default();
        let blocks = usize::try_from(IMAGE_MAX).unwrap() / BLOCK;
        builder.hashes = vec![[0; 32]; blocks];
        assert_eq!(builder.update(&[0; BLOCK]), Err(NoTree::TooLarge));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn pieces_do_not_matter_and_each_block_is_found(
            blocks in 1_usize..300, step in 1_usize..9000, seed: u8
        ) {
            let image: Vec<u8> = (0..blocks * BLOCK).map(|n| (n / 7) as u8 ^ seed).collect();
            let whole = tree(&image);
            let mut builder = Builder::default();
            image.chunks(step).try_for_each(|piece| builder.update(piece)).unwrap();
            prop_assert_eq!(builder.finish().unwrap(), whole.clone());
            for block in [0, blocks / 2, blocks - 1] {
                let found = by_kernel(&image, &whole, block);
                prop_assert_eq!(found, Some(Sha256::digest(&image[block * BLOCK..][..BLOCK]).into()));
            }
        }
    }
}
