//! The headers of a tar file (POSIX ustar) that has a layout: plain files and folders with the names of a layout, and
//! nothing else. No name is ever used as a path: it only finds a part of the file. Links, devices, other names and names that
//! are there twice are refused.

use crate::oci::{INDEX_FILE, LAYOUT_FILE};
use core::fmt;
use std::collections::BTreeMap;

/// Length of a header, and unit of all lengths, bytes.
pub const UNIT: u64 = 512;

/// Most files and folders: a layout with one artifact has nine.
pub const ENTRIES_MAX: usize = 64;

/// Why a tar file is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoLayout {
    /// A header is none, or damaged.
    Damaged(u64),
    /// A link, a device, or what only other tars know.
    Kind(String, char),
    /// A name that no layout has.
    Name(String),
    /// A name that was there before.
    Twice(String),
    /// More than [`ENTRIES_MAX`].
    TooMany,
    /// A file is longer than what is left.
    CutOff(String),
}

impl fmt::Display for NoLayout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoLayout::Damaged(at) => write!(f, "there is no tar header at byte {at}; get it again"),
            NoLayout::Kind(name, kind) => write!(
                f,
                "{name:?} in it is neither file nor folder (type {kind:?}); a package has only those"
            ),
            NoLayout::Name(name) => write!(
                f,
                "{name:?} in it is no name of an OCI layout; a package has only those"
            ),
            NoLayout::Twice(name) => write!(
                f,
                "{name:?} is in it twice, so nobody knows which one counts; get it again"
            ),
            NoLayout::TooMany => write!(
                f,
                "it has more than {ENTRIES_MAX} files; a package has nine"
            ),
            NoLayout::CutOff(name) => write!(f, "it is cut off in {name:?}; get it again"),
        }
    }
}

impl core::error::Error for NoLayout {}

/// Where a file of a layout is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// First byte.
    pub offset: u64,
    /// Length, bytes.
    pub length: u64,
}

/// Goes through a tar file header by header.
#[derive(Debug)]
pub struct Reader {
    total: u64,
    next: u64,
    seen: usize,
    files: BTreeMap<String, Place>,
}

impl Reader {
    /// Of a file of this length.
    #[must_use]
    pub fn new(total: u64) -> Reader {
        Reader {
            total,
            next: 0,
            seen: 0,
            files: BTreeMap::new(),
        }
    }

    /// Where the next header is; `None` at the end.
    #[must_use]
    pub fn wants(&self) -> Option<u64> {
        (self.next.checked_add(UNIT)? <= self.total).then_some(self.next)
    }

    /// Takes the header that was wanted.
    ///
    /// # Errors
    /// [`NoLayout`].
    pub fn take(&mut self, header: &[u8; 512]) -> Result<(), NoLayout> {
        if header.iter().all(|byte| *byte == 0) {
            self.next = self.total;
            return Ok(());
        }
        let damaged = NoLayout::Damaged(self.next);
        let field = |at: usize, length: usize| header.get(at..at + length).unwrap_or_default();
        let told = octal(field(148, 8));
        let sum = header.iter().enumerate().map(|(at, byte)| match at {
            148..156 => u64::from(b' '),
            _ => u64::from(*byte),
        });
        if told != Some(sum.sum()) || field(257, 5) != b"ustar" {
            return Err(damaged);
        }
        self.seen += 1;
        if self.seen > ENTRIES_MAX {
            return Err(NoLayout::TooMany);
        }
        let name = match (text(field(0, 100)), text(field(345, 155))) {
            (Some(name), Some("")) => name,
            (Some(name), Some(_)) | (Some(name), None) => {
                return Err(NoLayout::Name(name.to_owned()));
            }
            (None, _) => return Err(damaged),
        };
        let name = name.strip_prefix("./").unwrap_or(name);
        let kind = field(156, 1).first().copied().map_or('?', char::from);
        let length = octal(field(124, 12)).ok_or(damaged)?;
        match kind {
            '5' if matches!(
                name,
                "" | "." | "blobs" | "blobs/" | "blobs/sha256" | "blobs/sha256/"
            ) && length == 0 =>
            {
                self.next += UNIT;
                return Ok(());
            }
            '0' | '\0' if is_file_of_layout(name) => {}
            '0' | '\0' | '5' => return Err(NoLayout::Name(name.to_owned())),
            other => return Err(NoLayout::Kind(name.to_owned(), other)),
        }
        let offset = self.next + UNIT;
        let end = offset.checked_add(length).filter(|end| *end <= self.total);
        let end = end.ok_or_else(|| NoLayout::CutOff(name.to_owned()))?;
        self.next = end.next_multiple_of(UNIT);
        match self.files.insert(name.to_owned(), Place { offset, length }) {
            Some(_) => Err(NoLayout::Twice(name.to_owned())),
            None => Ok(()),
        }
    }

    /// The files that were found.
    #[must_use]
    pub fn files(self) -> BTreeMap<String, Place> {
        self.files
    }
}

fn is_file_of_layout(name: &str) -> bool {
    let is_hash = |text: &str| text.len() == 64 && hearth_model::hex::bytes(text).is_some();
    name == LAYOUT_FILE
        || name == INDEX_FILE
        || name.strip_prefix("blobs/sha256/").is_some_and(is_hash)
}

/// Text up to the first NUL.
fn text(field: &[u8]) -> Option<&str> {
    let text = field.split(|byte| *byte == 0).next()?;
    core::str::from_utf8(text).ok()
}

/// A number in octal digits between blanks and NULs.
fn octal(field: &[u8]) -> Option<u64> {
    let digits = core::str::from_utf8(field).ok()?;
    let digits = digits.trim_matches(|c| c == ' ' || c == '\0');
    match digits.bytes().all(|b| b.is_ascii_digit()) {
        true => u64::from_str_radix(digits, 8).ok(),
        false => None,
    }
}

/// The header of a plain file, owned by root, without a time; `None` for a name longer than 100 bytes or a length
/// that eleven octal digits can not say.
#[must_use]
pub fn header(name: &str, length: u64) -> Option<[u8; 512]> {
    if name.len() > 100 || length >= 1 << 33 {
        return None;
    }
    let mut header = [0; 512];
    let mut put = |at: usize, bytes: &[u8]| {
        for (to, from) in header.iter_mut().skip(at).zip(bytes) {
            *to = *from;
        }
    };
    put(0, name.as_bytes());
    put(100, b"0000644\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{length:011o}\0").as_bytes());
    put(136, b"00000000000\0");
    put(148, b"        ");
    put(156, b"0");
    put(257, b"ustar\x0000");
    let sum: u64 = header.iter().map(|byte| u64::from(*byte)).sum();
    for (to, from) in header
        .iter_mut()
        .skip(148)
        .zip(format!("{sum:06o}\0 ").as_bytes())
    {
        *to = *from;
    }
    Some(header)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HASH: &str =
        "blobs/sha256/e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    /// What a reader makes of these bytes.
    fn read(bytes: &[u8]) -> Result<BTreeMap<String, Place>, NoLayout> {
        let mut reader = Reader::new(bytes.len() as u64);
        while let Some(at) = reader.wants() {
            let at = usize::try_from(at).unwrap();
            reader.take(bytes[at..at + 512].try_into().unwrap())?;
        }
        Ok(reader.files())
    }

    fn entry(name: &str, content: &[u8]) -> Vec<u8> {
        let mut bytes = header(name, content.len() as u64).unwrap().to_vec();
        bytes.extend_from_slice(content);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        bytes
    }

    /// An entry of another kind, with a good sum.
    fn of_kind(name: &str, kind: u8) -> Vec<u8> {
        let mut bytes = header(name, 0).unwrap();
        bytes[156] = kind;
        let sum: u64 = bytes.iter().map(|byte| u64::from(*byte)).sum();
        let old: u64 = bytes[148..156].iter().map(|byte| u64::from(*byte)).sum();
        let sum = sum - old + 8 * u64::from(b' ');
        bytes[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        bytes.to_vec()
    }

    #[test]
    fn files_of_a_layout_are_found_and_all_else_is_refused() {
        let good = [
            entry("index.json", b"{}"),
            entry(HASH, &[7; 1000]),
            vec![0; 1024],
        ]
        .concat();
        let files = read(&good).unwrap();
        assert_eq!(
            files["index.json"],
            Place {
                offset: 512,
                length: 2
            }
        );
        assert_eq!(
            files[HASH],
            Place {
                offset: 1536,
                length: 1000
            }
        );
        let name = |text: &str| NoLayout::Name(text.to_owned());
        for (bytes, expected) in [
            (entry("../index.json", b""), name("../index.json")),
            (entry("/etc/passwd", b""), name("/etc/passwd")),
            (
                entry("blobs/sha256/../../x", b""),
                name("blobs/sha256/../../x"),
            ),
            (
                of_kind("index.json", b'2'),
                NoLayout::Kind("index.json".into(), '2'),
            ),
            (
                of_kind("index.json", b'L'),
                NoLayout::Kind("index.json".into(), 'L'),
            ),
            (
                of_kind("index.json", b'x'),
                NoLayout::Kind("index.json".into(), 'x'),
            ),
            (of_kind("etc", b'5'), name("etc")),
            (
                [entry("index.json", b"a"), entry("./index.json", b"b")].concat(),
                NoLayout::Twice("index.json".into()),
            ),
            (
                entry("index.json", &[1; 600])[..1000].to_vec(),
                NoLayout::CutOff("index.json".into()),
            ),
            (vec![1; 512], NoLayout::Damaged(0)),
            (of_kind("blobs/", b'5').repeat(65), NoLayout::TooMany),
        ] {
            assert_eq!(read(&bytes), Err(expected));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_end_and_stay_inside(mut bytes in proptest::collection::vec(any::<u8>(), 0..4096), at in 0_usize..1024, byte: u8) {
            let _either = read(&bytes);
            // and a good file with one byte changed
            bytes = [entry("index.json", b"{}"), entry(HASH, &[7; 300])].concat();
            let place = at % bytes.len();
            bytes[place] = byte;
            if let Ok(files) = read(&bytes) {
                for place in files.values() {
                    prop_assert!(place.offset + place.length <= bytes.len() as u64);
                }
            }
        }
    }
}
