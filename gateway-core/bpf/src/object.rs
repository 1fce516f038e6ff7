//! Reads an object file with programs and their maps, as `scripts/bpf` builds it: ELF of 64 bits for
//! `bpfel`, one function a section, maps of seven words in the section `maps`, no BTF.
//!
//! Invariants: what [`Object::parse`] returns calls helpers of the kernel and nothing else, and each of
//! its 64-bit constants is either a plain number or a reference to one of its maps. What this module
//! refuses, so that the refusal comes at the desk and not at home: every other relocation (data,
//! tables, panics, calls between functions, which the kernel's i386 compiler does not know), and every
//! size that does not add up. It asks the kernel nothing.

use crate::limits::{FUNCTIONS_MAX, INSTRUCTIONS_MAX, MAPS_MAX, NAME_MAX, OBJECT_MAX};
use crate::program::Instruction;
use object::elf::{FileHeader64, R_BPF_64_64};
use object::read::elf::{ElfFile, ElfSection};
use object::{
    Architecture, LittleEndian, Object as _, ObjectSection as _, ObjectSymbol as _,
    RelocationFlags, RelocationTarget, SectionIndex, SectionKind, SymbolKind,
};
use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::fmt;

/// Bytes of a map's definition: `{type, key_size, value_size, max_entries, map_flags, id, pinning}`.
const DEFINITION: usize = 28;
/// `BPF_LD | BPF_IMM | BPF_DW`: a constant of 64 bits, in two slots.
const LOAD_CONSTANT: u8 = 0x18;
/// `BPF_JMP | BPF_CALL`; with [`REGISTER`] the target is in a register.
const CALL: u8 = 0x85;
const REGISTER: u8 = 0x08;
/// Source "register" of [`LOAD_CONSTANT`] where the constant is a map's descriptor.
const PSEUDO_MAP_FD: u8 = 1;

type Elf<'a> = ElfFile<'a, FileHeader64<LittleEndian>>;

/// Why a file is no object of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ObjectError {
    /// Not an ELF file for `bpfel`, or a torn one.
    Format(&'static str),
    /// One of the named limits of this crate is exceeded.
    TooMany(&'static str),
    /// The definition of a map lies outside of its section or over another's.
    Map(String),
    /// A section with code must hold exactly one function, from its first byte to its last.
    Function(String),
    /// A relocation that is no reference to a map.
    Relocation {
        /// Function with it.
        function: String,
        /// Its instruction, from 0.
        at: usize,
    },
    /// A call of something that is no helper of the kernel.
    Call {
        /// Function with it.
        function: String,
        /// Its instruction, from 0.
        at: usize,
    },
    /// A constant of 64 bits that is torn, or that names a descriptor by itself.
    Constant {
        /// Function with it.
        function: String,
        /// Its instruction, from 0.
        at: usize,
    },
}

impl fmt::Display for ObjectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ObjectError::Format(why) => write!(f, "the object is no program for the kernel: {why}"),
            ObjectError::TooMany(what) => write!(f, "the object has too many or too large {what}"),
            ObjectError::Map(name) => write!(f, "the object's map {name} is not well defined"),
            ObjectError::Function(section) => write!(
                f,
                "the object's section {section} does not hold exactly one function; one was not \
                 inlined"
            ),
            ObjectError::Relocation { function, at } => write!(
                f,
                "{function} refers at instruction {at} to something that is no map (a table, a \
                 string, a panic); only maps can be had"
            ),
            ObjectError::Call { function, at } => write!(
                f,
                "{function} calls at instruction {at} something that is no helper of the kernel"
            ),
            ObjectError::Constant { function, at } => write!(
                f,
                "{function} has a torn or forged constant of 64 bits at instruction {at}"
            ),
        }
    }
}

impl std::error::Error for ObjectError {}

/// What a map is made of (`BPF_MAP_CREATE`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapSpec {
    /// Its symbol.
    pub name: String,
    /// `enum bpf_map_type`.
    pub kind: u32,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value.
    pub value_size: u32,
    /// Entries.
    pub max_entries: u32,
    /// `BPF_F_*` of the map.
    pub flags: u32,
}

/// A program before it knows its maps' descriptors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    name: String,
    code: Vec<Instruction>,
    /// Instruction and the map (index in the object) that it refers to.
    references: Vec<(usize, usize)>,
}

impl Function {
    /// Its symbol.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its code as it lies in the object.
    #[must_use]
    pub fn code(&self) -> &[Instruction] {
        &self.code
    }

    /// The code with the descriptors of the object's maps, in [`Object::maps`]' order; `None` where
    /// one is missing.
    #[must_use]
    pub fn link(&self, descriptors: &[i32]) -> Option<Vec<Instruction>> {
        let mut code = self.code.clone();
        for &(at, map) in &self.references {
            let instruction = code.get_mut(at)?;
            instruction.registers = instruction.registers & 0x0f | PSEUDO_MAP_FD << 4;
            instruction.immediate = *descriptors.get(map)?;
        }
        Some(code)
    }
}

/// Programs and the maps that they share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    license: CString,
    maps: Vec<MapSpec>,
    functions: Vec<Function>,
}

impl Object {
    /// Reads an object file.
    ///
    /// # Errors
    /// [`ObjectError`] with the first thing that is not as it must be.
    pub fn parse(bytes: &[u8]) -> Result<Object, ObjectError> {
        if bytes.len() > OBJECT_MAX {
            return Err(ObjectError::TooMany("bytes"));
        }
        let elf = Elf::parse(bytes).map_err(|_| ObjectError::Format("not a 64-bit ELF file"))?;
        if elf.architecture() != Architecture::Bpf || !elf.is_little_endian() {
            return Err(ObjectError::Format("not for bpfel"));
        }
        let license = license(&elf)?;
        let (maps, places) = maps(&elf)?;
        let mut functions = Vec::new();
        for section in elf.sections().filter(|s| s.kind() == SectionKind::Text) {
            if section.size() == 0 {
                continue;
            }
            if functions.len() == FUNCTIONS_MAX {
                return Err(ObjectError::TooMany("functions"));
            }
            functions.push(function(&elf, &section, &places)?);
        }
        Ok(Object {
            license,
            maps,
            functions,
        })
    }

    /// Its license, which decides what helpers the kernel grants.
    #[must_use]
    pub fn license(&self) -> &CStr {
        &self.license
    }

    /// Its maps, by name.
    #[must_use]
    pub fn maps(&self) -> &[MapSpec] {
        &self.maps
    }

    /// Its programs, in their sections' order.
    #[must_use]
    pub fn functions(&self) -> &[Function] {
        &self.functions
    }

    /// The program of this name.
    #[must_use]
    pub fn function(&self, name: &str) -> Option<&Function> {
        self.functions.iter().find(|f| f.name == name)
    }
}

fn license(elf: &Elf<'_>) -> Result<CString, ObjectError> {
    let missing = ObjectError::Format("no license");
    let section = elf.section_by_name("license").ok_or(missing.clone())?;
    let data = section.data().map_err(|_| missing.clone())?;
    let text = CStr::from_bytes_until_nul(data).map_err(|_| missing)?;
    Ok(text.to_owned())
}

/// Symbols of the maps' section: each symbol's index and its map's.
type Places = BTreeMap<usize, usize>;

fn maps(elf: &Elf<'_>) -> Result<(Vec<MapSpec>, Places), ObjectError> {
    let mut specs: Vec<(usize, MapSpec)> = Vec::new();
    let mut places = Places::new();
    let Some(section) = elf.section_by_name("maps") else {
        return Ok((Vec::new(), places));
    };
    let torn = |_| ObjectError::Format("the section maps is torn");
    let data = section.data().map_err(torn)?;
    for symbol in elf.symbols() {
        if symbol.section_index() != Some(section.index()) || symbol.kind() != SymbolKind::Data {
            continue;
        }
        let name = name_of(symbol.name())?;
        let bad = || ObjectError::Map(name.clone());
        if specs.len() == MAPS_MAX {
            return Err(ObjectError::TooMany("maps"));
        }
        let start = usize::try_from(symbol.address()).map_err(|_| bad())?;
        let aligned = start.is_multiple_of(DEFINITION) && symbol.size() == DEFINITION as u64;
        let end = start.checked_add(DEFINITION).ok_or_else(bad)?;
        let definition = data.get(start..end).filter(|_| aligned).ok_or_else(bad)?;
        let mut words = definition.chunks_exact(4).map(little);
        let mut word = || words.next().ok_or_else(bad);
        let (kind, key_size, value_size) = (word()?, word()?, word()?);
        let (max_entries, flags, id, pinning) = (word()?, word()?, word()?, word()?);
        let twice = specs
            .iter()
            .any(|(at, spec)| *at == start || spec.name == name);
        if twice || id != 0 || pinning != 0 {
            return Err(bad());
        }
        places.insert(symbol.index().0, specs.len());
        let spec = MapSpec {
            name,
            kind,
            key_size,
            value_size,
            max_entries,
            flags,
        };
        specs.push((start, spec));
    }
    if specs.len().checked_mul(DEFINITION) != Some(data.len()) {
        return Err(ObjectError::Format("the section maps holds more than maps"));
    }
    Ok((specs.into_iter().map(|(_, spec)| spec).collect(), places))
}

fn little(bytes: &[u8]) -> u32 {
    bytes
        .iter()
        .rev()
        .fold(0, |n, byte| n << 8 | u32::from(*byte))
}

fn name_of(name: object::Result<&str>) -> Result<String, ObjectError> {
    let name = name.map_err(|_| ObjectError::Format("a name is not text"))?;
    let plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if name.len() > NAME_MAX || !plain {
        return Err(ObjectError::Format("a name is too long or no identifier"));
    }
    Ok(name.to_owned())
}

fn function(
    elf: &Elf<'_>,
    section: &ElfSection<'_, '_, FileHeader64<LittleEndian>>,
    places: &Places,
) -> Result<Function, ObjectError> {
    let torn = |_| ObjectError::Format("a section with code is torn");
    let data = section.data().map_err(torn)?;
    let name = only_symbol(elf, section.index(), data.len()).ok_or_else(|| {
        ObjectError::Function(
            section
                .name()
                .unwrap_or("(no name)")
                .escape_debug()
                .to_string(),
        )
    })??;
    let code: Vec<Instruction> = data.chunks_exact(8).map(instruction).collect();
    if code.len() > INSTRUCTIONS_MAX {
        return Err(ObjectError::TooMany("instructions"));
    }
    let constants = constants(&name, &code)?;
    let mut references = BTreeMap::new();
    for (offset, relocation) in section.relocations() {
        let at = usize::try_from(offset / 8).unwrap_or(usize::MAX);
        let refused = || ObjectError::Relocation {
            function: name.clone(),
            at,
        };
        let map = match (relocation.flags(), relocation.target()) {
            (
                RelocationFlags::Elf {
                    r_type: R_BPF_64_64,
                },
                RelocationTarget::Symbol(symbol),
            ) => places.get(&symbol.0).copied(),
            _ => None,
        };
        let map = map.filter(|_| offset.is_multiple_of(8) && relocation.addend() == 0);
        let map = map.ok_or_else(refused)?;
        // Both halves of the constant must be 0: the reference is to the map, not to a byte in it.
        if constants.get(&at) != Some(&0) || references.insert(at, map).is_some() {
            return Err(refused());
        }
    }
    let references = references.into_iter().collect();
    Ok(Function {
        name,
        code,
        references,
    })
}

/// The name of the one function of a section, if it is the whole section of whole instructions.
fn only_symbol(
    elf: &Elf<'_>,
    section: SectionIndex,
    size: usize,
) -> Option<Result<String, ObjectError>> {
    let mut symbols = elf
        .symbols()
        .filter(|s| s.section_index() == Some(section) && s.kind() == SymbolKind::Text);
    let symbol = symbols.next()?;
    let whole = symbol.address() == 0 && symbol.size() == size as u64 && size.is_multiple_of(8);
    (whole && symbols.next().is_none()).then(|| name_of(symbol.name()))
}

fn instruction(bytes: &[u8]) -> Instruction {
    let mut bytes = bytes.iter().copied();
    let mut next = || bytes.next().unwrap_or(0);
    let (code, registers) = (next(), next());
    Instruction {
        code,
        registers,
        offset: i16::from_le_bytes([next(), next()]),
        immediate: i32::from_le_bytes([next(), next(), next(), next()]),
    }
}

/// The constants of 64 bits and their values, by instruction; checks every call on the way.
fn constants(function: &str, code: &[Instruction]) -> Result<BTreeMap<usize, u64>, ObjectError> {
    let function = function.to_owned();
    let mut found = BTreeMap::new();
    let mut at = 0;
    while let Some(this) = code.get(at) {
        let source = this.registers >> 4;
        if this.code & !REGISTER == CALL && (source != 0 || this.code & REGISTER != 0) {
            return Err(ObjectError::Call { function, at });
        }
        if this.code != LOAD_CONSTANT {
            at += 1;
            continue;
        }
        let empty = |i: &&Instruction| (i.code, i.registers, i.offset) == (0, 0, 0);
        match code.get(at + 1).filter(empty) {
            Some(high) if source == 0 && this.offset == 0 => {
                let halves = [this.immediate, high.immediate].map(|i| u64::from(i.cast_unsigned()));
                let [low, high] = halves;
                found.insert(at, high << 32 | low);
            }
            _ => return Err(ObjectError::Constant { function, at }),
        }
        at += 2;
    }
    Ok(found)
}

#[cfg(test)]
#[path = "object_tests.rs"]
mod tests;
