//! Each result as a file, for `scripts/lib/rfc-table`.

use std::any::Any;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;

/// Why a scenario did not pass.
type Failure = Box<dyn Any + Send>;

/// Runs a scenario and leaves its result; a failure is the caller's to bear.
pub fn observe(column: &str, name: &str, scenario: impl FnOnce()) -> Result<(), Failure> {
    let result = catch_unwind(AssertUnwindSafe(scenario));
    let said = match &result {
        Ok(()) => "pass".to_owned(),
        Err(failure) => {
            let text = failure.downcast_ref::<String>().map(String::as_str);
            let text = text.or(failure.downcast_ref::<&str>().copied());
            format!("fail\n{}\n", text.unwrap_or("no reason given"))
        }
    };
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("rfc")
        .join(column);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(name), said).unwrap();
    result
}

/// The same for a scenario that must pass.
pub fn note(column: &str, name: &str, scenario: impl FnOnce()) {
    if let Err(failure) = observe(column, name, scenario) {
        resume_unwind(failure);
    }
}
