//! Reads the policy files when this crate is built, and writes them as tables (`src/seccomp/compiled.rs`): a
//! start of a service then parses no text. A file with a fault ends the build and is named.

use std::fmt::Write as _;
use std::path::Path;

/// The modules that the program itself reads the files by, where they need nothing else of it.
#[allow(dead_code)] // the program uses the rest
#[path = "src/seccomp"]
mod seccomp {
    pub mod abi;
    pub mod constants;
    pub mod data;
    pub mod error;
    pub mod fate;
    pub mod instruction;
}
use seccomp::abi::Abi;
use seccomp::data::{self, DIFFERENCES, PolicyFile};
use seccomp::fate::{Remedy, fate};
use seccomp::instruction::allow_when;

type Fault = Box<dyn std::error::Error>;

fn main() -> Result<(), Fault> {
    for input in ["build.rs", "policy", "src/seccomp"] {
        println!("cargo::rerun-if-changed={input}");
    }
    let mut text = String::new();
    for (name, abi) in [("I386", Abi::I386), ("X86_64", Abi::X86_64)] {
        files(&mut text, name, abi)?;
    }
    let folder = std::env::var("OUT_DIR")?;
    std::fs::write(Path::new(&folder).join("policies.rs"), text)?;
    Ok(())
}

fn files(text: &mut String, name: &str, abi: Abi) -> Result<(), Fault> {
    writeln!(text, "static {name}: Files = Files {{")?;
    writeln!(text, "    newest: {},", abi.newest())?;
    writeln!(text, "    base: {},", layer(data::base()?, abi)?)?;
    writeln!(text, "    differences: &[")?;
    for (difference, _) in DIFFERENCES {
        let layer = layer(data::difference(difference)?, abi)?;
        writeln!(text, "        ({difference:?}, {layer}),")?;
    }
    let killed = data::refused()?.killed.into_iter();
    let killed = numbers(killed.flat_map(|group| group.calls), abi);
    writeln!(text, "    ],\n    killed: &{killed:?},\n    single: &[")?;
    let mut names: Vec<&str> = Abi::ALL
        .iter()
        .flat_map(|abi| abi.calls())
        .map(|(_, name)| name)
        .collect();
    names.sort_unstable();
    names.dedup();
    for call in names {
        if fate(call)?.remedy == Remedy::Manifest {
            writeln!(text, "        ({call:?}, {:?}),", abi.number(call))?;
        }
    }
    writeln!(text, "    ],\n}};")?;
    Ok(())
}

/// One file, as a value of the program's type `Layer`.
fn layer(file: PolicyFile, abi: Abi) -> Result<String, Fault> {
    let mut always = Vec::new();
    let mut conditional = Vec::new();
    for entry in file.allow {
        let calls = numbers(entry.calls, abi);
        if entry.when.is_empty() {
            always.extend(calls);
            continue;
        }
        let piece = allow_when(&entry.when)?;
        conditional.extend(
            calls
                .into_iter()
                .map(|call| format!("({call}, &{piece:?})")),
        );
    }
    always.sort_unstable();
    let absent = numbers(file.absent.into_iter().flat_map(|group| group.calls), abi);
    Ok(format!(
        "Layer {{ always: &{always:?}, conditional: &[{}], absent: &{absent:?}, capabilities: &{:?} }}",
        conditional.join(", "),
        file.capabilities
    ))
}

/// The numbers of those calls that this word size has.
fn numbers(calls: impl IntoIterator<Item = String>, abi: Abi) -> Vec<u32> {
    let numbers = calls.into_iter();
    numbers.filter_map(|call| abi.number(&call)).collect()
}
