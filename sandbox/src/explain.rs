//! The command `explain`: what a manifest lets a service do, for a household and as JSON.

use crate::limits::{EXIT_MANIFEST, EXIT_NOT_STARTED};
use clap::Args;
use hearth_model::explain::Explanation;
use hearth_model::manifest::Manifest;
use std::io::{self, Write as _};
use std::path::PathBuf;

/// Flags of `explain`.
#[derive(Args, Debug)]
pub struct ExplainArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// The manifest of a service
    #[arg(value_name = "MANIFEST")]
    manifest: PathBuf,
}

/// Explains and returns the exit status: 0, 1 where the manifest is faulty, 125 where it can not be read.
#[must_use]
pub fn explain(args: &ExplainArgs) -> u8 {
    let name = args.manifest.display().to_string();
    let text = match std::fs::read_to_string(&args.manifest) {
        Ok(text) => text,
        Err(error) => {
            eprintln!("hearth-sandbox: {name}: {error}");
            return EXIT_NOT_STARTED;
        }
    };
    let manifest = match Manifest::parse(&name, &text) {
        Ok(manifest) => manifest,
        Err(errors) => {
            eprintln!("{errors}");
            return EXIT_MANIFEST;
        }
    };
    let explanation = Explanation::of(&manifest);
    let text = if args.json {
        match serde_json::to_string_pretty(&explanation) {
            Ok(text) => text + "\n",
            Err(error) => {
                eprintln!("hearth-sandbox: {name}: {error}");
                return EXIT_NOT_STARTED;
            }
        }
    } else {
        explanation.to_string()
    };
    match io::stdout().write_all(text.as_bytes()) {
        // Who reads it has enough.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            eprintln!("hearth-sandbox: can not print: {error}");
            EXIT_NOT_STARTED
        }
        Ok(()) | Err(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use crate::seccomp::data::DIFFERENCES;
    use hearth_model::explain::{Explanation, policy_words};
    use hearth_model::manifest::Manifest;

    #[test]
    fn every_policy_can_be_explained() {
        for (name, _) in DIFFERENCES {
            assert!(
                policy_words(name).is_some(),
                "{name}: add words to the model's explain.rs"
            );
        }
    }

    #[test]
    fn every_shipped_manifest_is_explained_in_lines_that_fit_a_console() {
        let services = concat!(env!("CARGO_MANIFEST_DIR"), "/../board/common/services");
        for folder in std::fs::read_dir(services).unwrap() {
            let file = folder.unwrap().path().join("manifest.toml");
            let text = std::fs::read_to_string(&file).unwrap();
            let manifest = Manifest::parse("manifest.toml", &text).unwrap();
            let text = Explanation::of(&manifest).to_string();
            assert!(!text.contains("can not explain"), "{text}");
            let longest = text.lines().map(|line| line.chars().count()).max();
            assert!(longest <= Some(80), "{text}");
        }
    }
}
