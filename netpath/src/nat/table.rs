//! Tables of fixed size: rows with a free list, and an index from a hash to a row.
//!
//! Invariants: memory is allocated in `new` and never again; a full table hands the value back
//! and changes nothing; only the owner removes. Look-up, insert and remove take constant time.

use super::hash::Hasher;

/// Number of a row.
pub type Row = u16;

/// Every row is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// Rows with a stack of those that are free.
#[derive(Debug)]
pub struct Slab<T> {
    rows: Box<[Option<T>]>,
    free: Box<[Row]>,
    free_len: usize,
}

impl<T> Slab<T> {
    /// `capacity` free rows, at most 65,535.
    #[must_use]
    pub fn new(capacity: usize) -> Slab<T> {
        let last = Row::try_from(capacity).unwrap_or(Row::MAX);
        // The lowest rows are taken first, which keeps a small table in few cache lines.
        let free: Box<[Row]> = (0..last).rev().collect();
        Slab {
            rows: (0..last).map(|_| None).collect(),
            free_len: free.len(),
            free,
        }
    }

    /// Puts a value into a free row.
    ///
    /// # Errors
    /// [`Full`].
    pub fn insert(&mut self, value: T) -> Result<Row, Full> {
        let top = self.free_len.checked_sub(1).ok_or(Full)?;
        let row = *self.free.get(top).ok_or(Full)?;
        *self.rows.get_mut(usize::from(row)).ok_or(Full)? = Some(value);
        self.free_len = top;
        Ok(row)
    }

    /// Takes a row's value and frees the row.
    pub fn remove(&mut self, row: Row) -> Option<T> {
        let value = self.rows.get_mut(usize::from(row))?.take()?;
        if let Some(place) = self.free.get_mut(self.free_len) {
            *place = row;
            self.free_len += 1;
        }
        Some(value)
    }

    /// A row's value.
    #[must_use]
    pub fn get(&self, row: Row) -> Option<&T> {
        self.rows.get(usize::from(row))?.as_ref()
    }

    /// A row's value, to be changed.
    pub fn get_mut(&mut self, row: Row) -> Option<&mut T> {
        self.rows.get_mut(usize::from(row))?.as_mut()
    }

    /// Rows in use.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len() - self.free_len
    }

    /// Whether no row is in use.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Numbers of all rows, in use or not.
    pub fn all_rows(&self) -> impl Iterator<Item = Row> + use<T> {
        0..Row::try_from(self.rows.len()).unwrap_or(Row::MAX)
    }
}

/// Bits of a slot that hold a number; the rest hold a part of the hash, so that most comparisons
/// with another key end without a look at its row.
const NUMBER_BITS: u32 = 17;
const NUMBER_MASK: u32 = (1 << NUMBER_BITS) - 1;

/// From a hash to numbers below 2^17 - 1: open addressing, half empty at least, with linear
/// probing; removal moves later slots back, so there are no tombstones to collect.
#[derive(Debug)]
pub struct Index {
    slots: Box<[u32]>,
    mask: usize,
}

impl Index {
    /// An index that holds up to `numbers` numbers.
    #[must_use]
    pub fn new(numbers: usize) -> Index {
        let size = (numbers.max(1) * 2).next_power_of_two();
        Index {
            slots: (0..size).map(|_| 0).collect(),
            mask: size - 1,
        }
    }

    fn home(&self, hash: u32) -> usize {
        // usize is at least 32 bits on every target of this program.
        usize::try_from(hash).unwrap_or(0) & self.mask
    }

    fn slot(&self, at: usize) -> u32 {
        self.slots.get(at).copied().unwrap_or(0)
    }

    fn put(&mut self, at: usize, slot: u32) {
        if let Some(place) = self.slots.get_mut(at) {
            *place = slot;
        }
    }

    /// The number filed under `hash` that is the `same`.
    pub fn find(&self, hash: u32, same: impl Fn(u32) -> bool) -> Option<u32> {
        let mut at = self.home(hash);
        loop {
            let slot = self.slot(at);
            if slot == 0 {
                return None;
            }
            let number = (slot & NUMBER_MASK).wrapping_sub(1);
            if (slot ^ hash) & !NUMBER_MASK == 0 && same(number) {
                return Some(number);
            }
            at = (at + 1) & self.mask;
        }
    }

    /// Files a number under a hash. The caller files no more numbers than it asked room for.
    pub fn insert(&mut self, hash: u32, number: u32) {
        let mut at = self.home(hash);
        while self.slot(at) != 0 {
            at = (at + 1) & self.mask;
        }
        self.put(
            at,
            (hash & !NUMBER_MASK) | (number.wrapping_add(1) & NUMBER_MASK),
        );
    }

    /// Removes a number; `hash_of` tells the hash of any number that is filed.
    pub fn remove(&mut self, hash: u32, number: u32, hash_of: impl Fn(u32) -> u32) {
        let mut hole = self.home(hash);
        loop {
            let slot = self.slot(hole);
            if slot == 0 {
                return;
            }
            if (slot & NUMBER_MASK).wrapping_sub(1) == number {
                break;
            }
            hole = (hole + 1) & self.mask;
        }
        let mut at = (hole + 1) & self.mask;
        loop {
            let slot = self.slot(at);
            if slot == 0 {
                break;
            }
            let home = self.home(hash_of((slot & NUMBER_MASK).wrapping_sub(1)));
            // It may move back to the hole where its home is not after the hole.
            if at.wrapping_sub(home) & self.mask >= at.wrapping_sub(hole) & self.mask {
                self.put(hole, slot);
                hole = at;
            }
            at = (at + 1) & self.mask;
        }
        self.put(hole, 0);
    }
}

/// A value that is found by a key which it holds.
pub trait Keyed {
    /// What identifies it.
    type Key: Copy + PartialEq + Into<[u32; 4]>;
    /// Its key.
    fn key(&self) -> Self::Key;
}

/// Rows found by their key.
#[derive(Debug)]
pub struct Table<T: Keyed> {
    rows: Slab<T>,
    index: Index,
    hasher: Hasher,
}

impl<T: Keyed> Table<T> {
    /// An empty table of `capacity` rows.
    #[must_use]
    pub fn new(capacity: usize, hasher: Hasher) -> Table<T> {
        Table {
            rows: Slab::new(capacity),
            index: Index::new(capacity),
            hasher,
        }
    }

    fn hash(&self, key: T::Key) -> u32 {
        self.hasher.words(key.into())
    }

    /// The row with this key.
    #[must_use]
    pub fn find(&self, key: T::Key) -> Option<Row> {
        let same = |number| self.at(number).is_some_and(|value| value.key() == key);
        let number = self.index.find(self.hash(key), same)?;
        Row::try_from(number).ok()
    }

    fn at(&self, number: u32) -> Option<&T> {
        self.rows.get(Row::try_from(number).ok()?)
    }

    /// Adds a row. The caller has looked that there is none with this key.
    ///
    /// # Errors
    /// [`Full`].
    pub fn insert(&mut self, value: T) -> Result<Row, Full> {
        let hash = self.hash(value.key());
        let row = self.rows.insert(value)?;
        self.index.insert(hash, u32::from(row));
        Ok(row)
    }

    /// Takes a row out.
    pub fn remove(&mut self, row: Row) -> Option<T> {
        let hash = self.hash(self.rows.get(row)?.key());
        let (rows, hasher) = (&self.rows, self.hasher);
        let hash_of = |number: u32| {
            let filed = Row::try_from(number).ok().and_then(|row| rows.get(row));
            filed.map_or(0, |value| hasher.words(value.key().into()))
        };
        self.index.remove(hash, u32::from(row), hash_of);
        self.rows.remove(row)
    }

    /// A row's value.
    #[must_use]
    pub fn get(&self, row: Row) -> Option<&T> {
        self.rows.get(row)
    }

    /// A row's value, to be changed in all but its key.
    pub fn get_mut(&mut self, row: Row) -> Option<&mut T> {
        self.rows.get_mut(row)
    }

    /// Rows in use.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Every row in use, with its number: for rare events only.
    pub fn iter(&self) -> impl Iterator<Item = (Row, &T)> {
        let rows = self.rows.all_rows();
        rows.filter_map(|row| Some((row, self.rows.get(row)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    #[derive(Debug, PartialEq)]
    struct Item(u32);
    impl Keyed for Item {
        type Key = [u32; 4];
        fn key(&self) -> [u32; 4] {
            [self.0, 0, 0, 0]
        }
    }

    #[test]
    fn a_full_table_refuses_and_keeps_what_it_has() {
        // given a table of two rows, both in use
        let mut table = Table::new(2, Hasher::new(1));
        table.insert(Item(1)).unwrap();
        let second = table.insert(Item(2)).unwrap();
        // when a third comes, then it is refused and nothing changes
        assert_eq!(table.insert(Item(3)), Err(Full));
        assert!(table.find([1, 0, 0, 0]).is_some() && table.find([3, 0, 0, 0]).is_none());
        // and a row that its owner frees is used again
        assert_eq!(table.remove(second), Some(Item(2)));
        assert_eq!(table.insert(Item(3)), Ok(second));
    }

    proptest! {
        #[test]
        fn a_table_is_a_map(seed in any::<u64>(), steps in proptest::collection::vec((any::<bool>(), 0u32..40), 1..300)) {
            // given a small table, so that probing wraps and chains meet
            let mut table = Table::new(16, Hasher::new(seed));
            let mut model: HashMap<u32, Row> = HashMap::new();
            for (add, key) in steps {
                // when rows come and go at random
                match (add, model.get(&key).copied()) {
                    (true, None) => match table.insert(Item(key)) {
                        Ok(row) => { model.insert(key, row); }
                        Err(Full) => prop_assert_eq!(model.len(), 16),
                    },
                    (false, Some(row)) => {
                        prop_assert_eq!(table.remove(row), Some(Item(key)));
                        model.remove(&key);
                    }
                    (true, Some(_)) | (false, None) => {}
                }
                // then exactly what is in it is found
                for probe in 0..40 {
                    prop_assert_eq!(table.find([probe, 0, 0, 0]), model.get(&probe).copied());
                }
                prop_assert_eq!(table.len(), model.len());
            }
        }
    }
}
