//! A good object is read whole; whatever is done to its bytes, nothing but maps and helpers comes out.

use super::*;
use crate::map::{Map, Maps};
use crate::program::{Hook, Kind, Program};
use proptest::prelude::*;

const GATE: &[u8] = include_bytes!("../../../sandbox/bpf/gate.o");
const FAST: &[u8] = include_bytes!("../../../netpath/bpf/fastpath.o");

/// Place of a section's bytes in the file.
fn place(section: &str) -> usize {
    let elf = Elf::parse(GATE).unwrap();
    let section = elf.section_by_name(section).unwrap();
    usize::try_from(section.file_range().unwrap().0).unwrap()
}

/// Place of a symbol's record (`struct Elf64_Sym`, 24 bytes: value at 8, size at 16) in the file.
fn record(symbol: &str) -> usize {
    let elf = Elf::parse(GATE).unwrap();
    let found = elf.symbols().find(|it| it.name() == Ok(symbol)).unwrap();
    place(".symtab") + 24 * found.index().0
}

/// The object with these bytes in this place.
fn with(at: usize, bytes: &[u8]) -> Result<Object, ObjectError> {
    let mut object = GATE.to_vec();
    object[at..at + bytes.len()].copy_from_slice(bytes);
    Object::parse(&object)
}

#[test]
fn a_built_object_is_read_and_the_kernel_compiles_it() {
    // given what scripts/bpf built
    let object = Object::parse(GATE).unwrap();
    assert_eq!(object.license(), c"MIT");
    assert_eq!(object.functions().len(), 6);
    // when it is loaded (needs root)
    let maps = Maps::create(&object, Vec::new()).unwrap();
    let kind = Kind::Cgroup(Hook::Device);
    let program = Program::load_function(kind, &object, "device", &maps).unwrap();
    // then it is machine code and knows its maps, and no other
    assert!(program.info().unwrap().machine_bytes > 0);
    for spec in object.maps() {
        let wanted = ["GRANTED", "REFUSED"].contains(&spec.name.as_str());
        assert_eq!(
            Map::of(&program, spec.clone()).is_ok(),
            wanted,
            "{}",
            spec.name
        );
    }
    // and what it has not is told by name
    let error = Program::load_function(kind, &object, "devices", &maps).unwrap_err();
    assert_eq!(error, crate::LoadError::Missing("devices".to_owned()));
}

#[test]
fn a_part_of_an_object_is_none() {
    for object in [GATE, FAST] {
        assert!(Object::parse(object).is_ok());
        for length in 0..object.len() {
            let cut = Object::parse(&object[..length]);
            assert!(cut.is_err(), "{length} of {}", object.len());
        }
    }
    let long = vec![0; OBJECT_MAX + 1];
    assert_eq!(Object::parse(&long), Err(ObjectError::TooMany("bytes")));
}

#[test]
fn sizes_that_lie_are_refused() {
    let map = |name: &str| Err(ObjectError::Map(name.to_owned()));
    let (value, size) = (8, 16);
    let long = u64::MAX.to_le_bytes();
    assert_eq!(with(record("SERVED") + size, &[27]), map("SERVED"));
    assert_eq!(with(record("SERVED") + value, &[1]), map("SERVED"));
    assert_eq!(with(record("SERVED") + value, &long), map("SERVED"));
    assert_eq!(with(record("SERVED") + size, &long), map("SERVED"));
    // one over another
    let other = u64::try_from(place("maps")).unwrap().to_le_bytes();
    assert!(with(record("SERVED") + value, &other).is_err());
    // a map that is to be somebody else's, or pinned
    assert!(matches!(
        with(place("maps") + 20, &[1]),
        Err(ObjectError::Map(_))
    ));
    assert!(matches!(
        with(place("maps") + 24, &[1]),
        Err(ObjectError::Map(_))
    ));
    // a function that is a part of its section
    let part = Err(ObjectError::Function("cgroup/device".to_owned()));
    assert_eq!(with(record("device") + size, &[8, 0]), part);
    assert_eq!(with(record("device") + value, &[8]), part);
    // no license
    assert!(with(place("license") + 3, b"x").is_err());
}

#[test]
fn only_maps_are_referred_to() {
    // `struct Elf64_Rel`: offset, then type in the lower half of the info and symbol in the upper.
    let first = place(".relcgroup/device");
    let elf = Elf::parse(GATE).unwrap();
    let symbol = |name: &str| {
        let found = elf.symbols().find(|it| it.name() == Ok(name)).unwrap();
        u32::try_from(found.index().0).unwrap().to_le_bytes()
    };
    let refused = |result| matches!(result, Err(ObjectError::Relocation { .. }));
    // a call between functions, any other type, data, a function, nothing at all
    for kind in [10u8, 0, 2, 3, 4, 255] {
        assert!(refused(with(first + 8, &[kind])), "{kind}");
    }
    for name in ["LICENSE", "device", "bind4"] {
        assert!(refused(with(first + 12, &symbol(name))), "{name}");
    }
    assert!(refused(with(first + 12, &u32::MAX.to_le_bytes())));
    // the second half of a constant, another instruction, the middle of one, far away
    let at = u64::from_le_bytes(GATE[first..first + 8].try_into().unwrap());
    for wrong in [at + 8, 0, at + 1, u64::MAX, 1 << 40] {
        assert!(refused(with(first, &wrong.to_le_bytes())), "{wrong}");
    }
    // a byte inside of the map
    let code = place("cgroup/device") + usize::try_from(at).unwrap();
    assert!(refused(with(code + 4, &[8])));
}

#[test]
fn only_helpers_are_called_and_no_descriptor_is_forged() {
    let object = Object::parse(GATE).unwrap();
    let code = object.function("device").unwrap().code();
    let find = |wanted| code.iter().position(|it| it.code == wanted).unwrap();
    let at = |instruction: usize| place("cgroup/device") + 8 * instruction;
    // given a call of a function (source 1), of the kernel's own (2), or by register
    let call = find(0x85);
    let refused = Err(ObjectError::Call {
        function: "device".to_owned(),
        at: call,
    });
    assert_eq!(with(at(call) + 1, &[0x10]), refused);
    assert_eq!(with(at(call) + 1, &[0x20]), refused);
    assert_eq!(with(at(call), &[0x8d]), refused);
    // given a constant that says itself that it is a descriptor, or has no second half
    let constant = find(0x18);
    let refused = Err(ObjectError::Constant {
        function: "device".to_owned(),
        at: constant,
    });
    for source in 1..16 {
        assert_eq!(with(at(constant) + 1, &[source << 4 | 1]), refused);
    }
    assert_eq!(with(at(constant + 1), &[0x95]), refused);
    assert!(with(at(code.len() - 1), &[0x18]).is_err());
}

proptest! {
    #[test]
    fn a_damaged_object_calls_helpers_and_refers_to_maps_or_is_none(
        damage in prop::collection::vec((0..GATE.len(), any::<u8>()), 1..6)
    ) {
        let mut bytes = GATE.to_vec();
        for (at, byte) in damage {
            bytes[at] = byte;
        }
        let Ok(object) = Object::parse(&bytes) else { return Ok(()) };
        for function in object.functions() {
            let descriptors: Vec<i32> = (100..).take(object.maps().len()).collect();
            let code = function.link(&descriptors).unwrap();
            prop_assert_eq!(code.len(), function.code().len());
            let mut second = false;
            for (before, after) in function.code().iter().zip(&code) {
                if second {
                    second = false;
                    continue;
                }
                second = before.code == LOAD_CONSTANT;
                prop_assert!(before.code & !REGISTER != CALL || before.registers >> 4 == 0);
                // what was linked is a constant that became a descriptor of ours, and nothing else changed
                if before != after {
                    prop_assert_eq!(after.code, LOAD_CONSTANT);
                    prop_assert_eq!(after.registers >> 4, PSEUDO_MAP_FD);
                    prop_assert!(descriptors.contains(&after.immediate));
                }
            }
        }
    }

    #[test]
    fn random_bytes_are_no_object(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        prop_assert!(Object::parse(&bytes).is_err());
    }
}
