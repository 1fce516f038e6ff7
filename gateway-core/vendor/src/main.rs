//! hearth-vendor: what a vendor types on his own machine. It makes keys, packs a folder of programs, signs
//! and checks. It is no part of the firmware: a gateway needs none of it, and the secret key stays away from
//! gateways. README.md beside this crate shows each step.
#![forbid(unsafe_code)]

mod export;
mod files;
mod keys;
mod pack;
mod verify;

use clap::{Parser, Subcommand};
use hearth_model::ServiceName;
use hearth_model::calendar;
use std::path::PathBuf;
use std::process::ExitCode;

/// Packs, signs and checks packages for Hearth gateways.
#[derive(Parser)]
#[command(name = "hearth-vendor", version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make a key: FILE (the secret, keep it off the net) and FILE.pub.
    Key {
        /// Where the secret goes; it must not be there yet.
        file: PathBuf,
    },
    /// Print a row of trust.toml for a public key.
    Trust {
        /// The public key, PEM.
        public: PathBuf,
        /// Whose packages it signs.
        #[arg(long, value_parser = ServiceName::new)]
        vendor: ServiceName,
        /// The only services it signs; all of the vendor's where none are given.
        #[arg(long, value_parser = ServiceName::new, value_delimiter = ',')]
        names: Vec<ServiceName>,
        /// The first day (2036-01-31) on which nothing new of it is taken.
        #[arg(long, value_parser = day)]
        until: Option<u64>,
    },
    /// Check a manifest, before or after it is packed.
    Lint {
        /// manifest.toml
        manifest: PathBuf,
    },
    /// Make a package of a manifest and of a folder of programs, or of a squashfs image of it.
    Pack {
        /// manifest.toml, as the vendor wrote it.
        manifest: PathBuf,
        /// The service's root: a folder, or a squashfs image.
        root: PathBuf,
        /// The package: a folder that is made, or made anew.
        out: PathBuf,
        /// Whose package it is: the name space of the service's name.
        #[arg(long, value_parser = ServiceName::new)]
        vendor: ServiceName,
        /// For which processors.
        #[arg(long, default_value = hearth_model::manifest::ARCHITECTURE)]
        architecture: String,
        /// The first day (2027-01-31) on which gateways do not install it any more.
        #[arg(long, value_parser = day)]
        expires: Option<u64>,
    },
    /// Sign a package.
    Sign {
        /// The package.
        package: PathBuf,
        /// The secret key, PEM.
        #[arg(long)]
        key: PathBuf,
    },
    /// Write a signed package as one OCI artifact.
    Oci {
        /// The package.
        package: PathBuf,
        /// An image layout: a folder, or a tar file where the name ends with .tar.
        out: PathBuf,
    },
    /// Check a package as a gateway does, its whole image too.
    Verify {
        /// The package.
        package: PathBuf,
        /// The gateway's keys.
        #[arg(long)]
        trust: PathBuf,
    },
}

fn day(text: &str) -> Result<u64, String> {
    calendar::day(text).ok_or_else(|| "a day is written as 2027-01-31".to_owned())
}

fn main() -> ExitCode {
    let done = match Args::parse().command {
        Command::Key { file } => keys::make(&file),
        Command::Trust {
            public,
            vendor,
            names,
            until,
        } => keys::trust_row(&public, &vendor, &names, until),
        Command::Lint { manifest } => verify::lint(&manifest),
        Command::Pack {
            manifest,
            root,
            out,
            vendor,
            architecture,
            expires,
        } => pack::pack(&pack::Order {
            manifest,
            root,
            out,
            vendor,
            architecture,
            expires,
        }),
        Command::Sign { package, key } => keys::sign(&package, &key),
        Command::Oci { package, out } => export::export(&package, &out),
        Command::Verify { package, trust } => verify::verify(&package, &trust),
    };
    match done {
        Ok(text) => {
            println!("{}", text.trim_end());
            ExitCode::SUCCESS
        }
        Err(text) => {
            for line in text.lines() {
                eprintln!("hearth-vendor: {line}");
            }
            ExitCode::FAILURE
        }
    }
}
