//! Writes what a person at a PC reads and completes by: `cargo run -p hearth --example manual` makes
//! `gateway-core/cli/manual/hearth.1` and `hearth.bash` from the definition that the command itself is made of. They
//! are not in the image: its shell completes by itself, and `hearth help` is the page there.
#![allow(dead_code)] // the command carries out what this only describes

#[path = "../src/args.rs"]
mod args;
#[path = "../src/manual.rs"]
mod manual;

fn main() -> std::io::Result<()> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("manual");
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("hearth.1"), manual::page()?)?;
    std::fs::write(folder.join("hearth.bash"), manual::bash())
}
