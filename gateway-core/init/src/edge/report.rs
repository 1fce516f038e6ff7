//! What PID 1 says: log lines to the kernel's log, progress to the console, last words to a file.
//!
//! Lines are put together in a fixed buffer; a longer one is cut, nothing is allocated.

use crate::limits::LINE_MAX;
use core::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::fd::AsFd;
use std::sync::OnceLock;

/// Where the cause of a panic waits for the next boot.
const LAST_WORDS: &str = "/data/hearth/state/last-words";
/// Where it stays after it was told.
const LAST_WORDS_TOLD: &str = "/data/hearth/state/last-words.told";

static KERNEL_LOG: OnceLock<File> = OnceLock::new();
static LOGGER: Logger = Logger;

struct Logger;

fn line(arguments: core::fmt::Arguments<'_>) -> heapless::String<LINE_MAX> {
    let mut text = Cut(heapless::String::new());
    // Cut never refuses; a Display of ours never fails.
    let _ = text.write_fmt(arguments);
    text.0
}

/// Takes what fits and forgets the rest.
struct Cut(heapless::String<LINE_MAX>);

impl core::fmt::Write for Cut {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        for character in text.chars() {
            if self.0.push(character).is_err() {
                break;
            }
        }
        Ok(())
    }
}

impl log::Log for Logger {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.level() <= log::Level::Info
    }

    fn log(&self, record: &log::Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let level = match record.level() {
            log::Level::Error => 3,
            log::Level::Warn => 4,
            log::Level::Info | log::Level::Debug | log::Level::Trace => 6,
        };
        let line = line(format_args!("<{level}>hearth-init: {}\n", record.args()));
        if let Some(mut file) = KERNEL_LOG.get() {
            // The kernel's log takes a line whole or not at all; there is no other place to complain.
            let _ = file.write_all(line.as_bytes());
        }
    }

    fn flush(&self) {}
}

/// Opens the kernel's log and makes `log`'s macros write there.
pub fn start() {
    if let Ok(file) = OpenOptions::new().write(true).open("/dev/kmsg") {
        // Called once, so the place is free.
        let _ = KERNEL_LOG.set(file);
    }
    if log::set_logger(&LOGGER).is_ok() {
        log::set_max_level(log::LevelFilter::Info);
    }
}

/// The kernel's log, for system units' output.
pub fn kernel_log() -> Option<std::os::fd::BorrowedFd<'static>> {
    KERNEL_LOG.get().map(|file| file.as_fd())
}

/// One line of progress on the console, where a person waits.
pub fn progress(arguments: core::fmt::Arguments<'_>) {
    let line = line(format_args!("hearth: {arguments}\r\n"));
    if let Ok(mut console) = OpenOptions::new().write(true).open("/dev/console") {
        // A console that does not take the line must not stop the boot.
        let _ = console.write_all(line.as_bytes());
    }
}

/// Makes a panic write its cause and place where the next boot prints it, and start the machine anew.
pub fn install_last_words() {
    std::panic::set_hook(Box::new(|info| {
        let text = line(format_args!("hearth-init: {info}\n"));
        // Nothing can be done about a place that does not take it but to try the next one.
        if let Some(mut file) = KERNEL_LOG.get() {
            let _ = file.write_all(text.as_bytes());
        }
        if let Ok(mut console) = OpenOptions::new().write(true).open("/dev/console") {
            let _ = console.write_all(text.as_bytes());
        }
        if let Ok(mut file) = File::create(LAST_WORDS) {
            let _ = file.write_all(text.as_bytes());
            let _ = file.sync_all();
        }
        crate::sys::machine::sync();
        let refused = crate::sys::machine::go_down(hearth_model::protocol::ShutdownKind::Reboot);
        log::error!("reboot: {refused}");
    }));
}

/// Prints the last words of the boot before, once.
pub fn tell_last_words() {
    if let Ok(text) = std::fs::read_to_string(LAST_WORDS) {
        // One record of the kernel's log is one line: the place and the cause must not be parted.
        let words = text.trim().replace('\n', " ");
        progress(format_args!("the last boot ended with: {words}"));
        log::warn!("the last boot ended with: {words}");
        if let Err(e) = std::fs::rename(LAST_WORDS, LAST_WORDS_TOLD) {
            log::warn!("{LAST_WORDS}: {e}");
        }
    }
}
