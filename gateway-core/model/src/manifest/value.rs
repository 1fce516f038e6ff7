//! Single values as people write them: `"16 MiB"`, `"5 %"`, `"500 ms"`, `"lan tcp 8080 -> 80"`.
//! Each function answers with the value, or with what is wrong and what to do.

use super::fault::{hint, shown};
use super::{
    CPU_MAX_MAX, Device, Grant, IO_SHARE_MAX, LIST_MAX, LinkKind, Listen, MEMORY_MAX_MAX, Network,
    STOP_GRACE_MAX_MS, TEXT_MAX,
};
use crate::gate::Served;
use crate::protocol::{RestartWhen, TrafficClass, Transport, Zone};
use crate::units::{BitsPerSec, Bytes, BytesPerSec, MilliCpu, PerMille};
use crate::{ServiceName, ids::IdError};
use toml::de::DeValue;

type Value<'v, 't> = &'v DeValue<'t>;

/// Any text without control characters.
pub(super) fn text<'v>(value: Value<'v, '_>) -> Result<&'v str, String> {
    let text = value
        .as_str()
        .ok_or_else(|| format!("needs a text in quotes, not this {}", value.type_str()))?;
    if text.chars().any(char::is_control) {
        return Err(format!(
            "{} has a control character; remove it",
            shown(text)
        ));
    }
    Ok(text)
}

/// A text for people: not empty, at most [`TEXT_MAX`] characters.
pub(super) fn words(value: Value<'_, '_>) -> Result<String, String> {
    let text = text(value)?;
    if text.trim().is_empty() {
        return Err("is empty; write what people should read".to_owned());
    }
    if text.chars().count() > TEXT_MAX {
        return Err(format!("is longer than {TEXT_MAX} characters; shorten it"));
    }
    Ok(text.to_owned())
}

/// A service's name.
pub(super) fn name(value: Value<'_, '_>) -> Result<ServiceName, String> {
    let text = text(value)?;
    ServiceName::new(text).map_err(|why: IdError| format!("{} can not be used: {why}", shown(text)))
}

/// A policy's or a system call's name.
pub(super) fn identifier(value: Value<'_, '_>) -> Result<String, String> {
    let text = text(value)?;
    let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
    if text.is_empty() || text.len() > 64 || !text.bytes().all(legal) {
        return Err(format!(
            "{} is no name; names have only a-z, 0-9, '-' and '_'",
            shown(text)
        ));
    }
    Ok(text.to_owned())
}

/// `true` or `false`.
pub(super) fn boolean(value: Value<'_, '_>) -> Result<bool, String> {
    value
        .as_bool()
        .ok_or_else(|| format!("needs true or false, not this {}", value.type_str()))
}

/// A whole number in a range.
pub(super) fn number(value: Value<'_, '_>, min: u32, max: u32) -> Result<u32, String> {
    let integer = value
        .as_integer()
        .ok_or_else(|| format!("needs a whole number, not this {}", value.type_str()))?;
    match u32::from_str_radix(integer.as_str(), integer.radix()) {
        Ok(number) if (min..=max).contains(&number) => Ok(number),
        Ok(_) | Err(_) => {
            let given: String = integer.as_str().chars().take(24).collect();
            Err(format!("{given} is out of range; use {min} to {max}"))
        }
    }
}

/// An amount of memory or storage: `"16 MiB"`, `"64KiB"`, `"1 GiB"`, `"1048576"`, or a plain number of
/// bytes.
pub(super) fn size(value: Value<'_, '_>) -> Result<Bytes, String> {
    const EXAMPLES: &str =
        "write for example \"16 MiB\", \"512 KiB\", \"1 GiB\" or a number of bytes";
    let digits = match value.as_integer() {
        Some(integer) if integer.radix() == 10 => integer.as_str(),
        Some(_) | None => text(value).map_err(|why| format!("{why}; {EXAMPLES}"))?,
    };
    bytes(digits, EXAMPLES)
}

/// A rate of input or output: `"8 MiB/s"`, `"512 KiB/s"`.
pub(super) fn rate(value: Value<'_, '_>) -> Result<BytesPerSec, String> {
    const EXAMPLES: &str = "write for example \"8 MiB/s\" or \"512 KiB/s\"";
    let whole = text(value).map_err(|why| format!("{why}; {EXAMPLES}"))?;
    let amount = whole
        .strip_suffix("/s")
        .ok_or_else(|| format!("{} is no rate; {EXAMPLES}", shown(whole)))?;
    bytes(amount.trim_end(), EXAMPLES).map(|Bytes(bytes)| BytesPerSec(bytes))
}

/// A rate of a line: `"2 Mbit/s"`, `"512 kbit/s"`.
pub(super) fn bit_rate(value: Value<'_, '_>) -> Result<BitsPerSec, String> {
    let whole = text(value)?;
    whole
        .parse()
        .map_err(|why| format!("{} {why}", shown(whole)))
}

/// Digits and a unit of bytes.
fn bytes(text: &str, examples: &str) -> Result<Bytes, String> {
    let (digits, unit) = split_unit(text);
    let factor: u64 = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        other => return Err(format!("{} is no unit of bytes; {examples}", shown(other))),
    };
    let number: u64 = digits
        .parse()
        .map_err(|_| format!("{} is no amount of bytes; {examples}", shown(digits)))?;
    match number.checked_mul(factor) {
        Some(bytes) if bytes <= MEMORY_MAX_MAX => Ok(Bytes(bytes)),
        Some(_) | None => Err(format!("is more than {}; lower it", Bytes(MEMORY_MAX_MAX))),
    }
}

/// A share of one core: `"5 %"`, `"12.5%"`, `"200 %"`.
pub(super) fn share(value: Value<'_, '_>) -> Result<MilliCpu, String> {
    thousandths(value, "a core", CPU_MAX_MAX).map(MilliCpu)
}

/// A share of the disk's time: `"5 %"`; at most all of it.
pub(super) fn disk_share(value: Value<'_, '_>) -> Result<PerMille, String> {
    thousandths(value, "the disk's time", IO_SHARE_MAX).map(PerMille)
}

/// A percentage with at most one decimal place, in thousandths.
fn thousandths(value: Value<'_, '_>, of: &str, max: u32) -> Result<u32, String> {
    let examples = format!("write for example \"5 %\" or \"12.5 %\" (of {of})");
    let whole = text(value).map_err(|why| format!("{why}; {examples}"))?;
    let wrong = || format!("{} is no share of {of}; {examples}", shown(whole));
    let (digits, unit) = split_unit(whole);
    if unit != "%" {
        return Err(wrong());
    }
    let (percent, tenths) = digits.split_once('.').unwrap_or((digits, "0"));
    let only_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !only_digits(percent) || !only_digits(tenths) || tenths.len() > 1 {
        return Err(wrong());
    }
    let percent: u32 = percent.parse().map_err(|_| wrong())?;
    let tenths: u32 = tenths.parse().map_err(|_| wrong())?;
    match percent
        .checked_mul(10)
        .and_then(|milli| milli.checked_add(tenths))
    {
        Some(milli) if milli <= max => Ok(milli),
        Some(_) | None => Err(format!("is more than {}; lower it", PerMille(max))),
    }
}

/// A time in milliseconds: `"5 s"`, `"500 ms"`, `"2 min"`; 1 ms to [`STOP_GRACE_MAX_MS`].
pub(super) fn duration_ms(value: Value<'_, '_>) -> Result<u32, String> {
    const EXAMPLES: &str = "write for example \"5 s\" or \"500 ms\"";
    let whole = text(value).map_err(|why| format!("{why}; {EXAMPLES}"))?;
    let (digits, unit) = split_unit(whole);
    let factor: u32 = match unit {
        "ms" => 1,
        "s" => 1000,
        "min" => 60_000,
        other => return Err(format!("{} is no unit of time; {EXAMPLES}", shown(other))),
    };
    let number: u32 = digits
        .parse()
        .map_err(|_| format!("{} is no time; {EXAMPLES}", shown(digits)))?;
    match number.checked_mul(factor) {
        Some(ms) if (1..=STOP_GRACE_MAX_MS).contains(&ms) => Ok(ms),
        Some(_) | None => Err(format!(
            "is not between 1 ms and {} s; change it",
            STOP_GRACE_MAX_MS / 1000
        )),
    }
}

/// Whether a list is short enough.
pub(super) fn short_list(length: usize) -> Result<(), String> {
    if length > LIST_MAX {
        return Err(format!(
            "{length} elements are too many; at most {LIST_MAX}"
        ));
    }
    Ok(())
}

/// Number and unit, with or without a space between them.
fn split_unit(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    (digits, unit.trim())
}

/// One of a few words.
fn word<T: Copy>(value: Value<'_, '_>, all: &[(&'static str, T)]) -> Result<T, String> {
    let text = text(value)?;
    let found = all.iter().find(|(word, _)| *word == text);
    found.map(|&(_, meaning)| meaning).ok_or_else(|| {
        let words: Vec<&str> = all.iter().map(|&(word, _)| word).collect();
        format!("unknown word {}; {}", shown(text), hint(text, &words))
    })
}

/// `[access] network`
pub(super) fn network(value: Value<'_, '_>) -> Result<Network, String> {
    word(
        value,
        &[
            ("none", Network::None),
            ("lan", Network::Lan),
            ("wan", Network::Wan),
        ],
    )
}

/// `[access] link`
pub(super) fn link(value: Value<'_, '_>) -> Result<LinkKind, String> {
    word(
        value,
        &[
            ("routed", LinkKind::Routed),
            ("bridged", LinkKind::Bridged),
            ("guest", LinkKind::Guest),
        ],
    )
}

/// `[resources.network] class`
pub(super) fn class(value: Value<'_, '_>) -> Result<TrafficClass, String> {
    let all = [
        TrafficClass::Guaranteed,
        TrafficClass::Interactive,
        TrafficClass::Bulk,
    ];
    word(value, &all.map(|class| (class.name(), class)))
}

/// One of `[access] grants`
pub(super) fn grant(value: Value<'_, '_>) -> Result<Grant, String> {
    word(
        value,
        &[("api", Grant::Api), ("resolvers", Grant::Resolvers)],
    )
}

/// `[health] restart`
pub(super) fn restart(value: Value<'_, '_>) -> Result<RestartWhen, String> {
    let all = [
        ("always", RestartWhen::Always),
        ("on-failure", RestartWhen::OnFailure),
        ("never", RestartWhen::Never),
    ];
    word(value, &all)
}

/// `[health] stop-signal`, as its number on Linux/x86 (signal(7)). SIGKILL is no request to end.
pub(super) fn signal(value: Value<'_, '_>) -> Result<u8, String> {
    let all = [
        ("HUP", 1),
        ("INT", 2),
        ("QUIT", 3),
        ("USR1", 10),
        ("USR2", 12),
        ("TERM", 15),
        ("WINCH", 28),
    ];
    word(value, &all)
}

/// One of `[access] listen`: `lan tcp 8080 -> 80`.
pub(super) fn listen(value: Value<'_, '_>) -> Result<Listen, String> {
    const FORM: &str = "write for example \"lan tcp 8080 -> 80\"";
    let line = text(value)?;
    let parts: Vec<&str> = line.split_ascii_whitespace().collect();
    let [side, transport, port, "->", to_port] = parts.as_slice() else {
        return Err(format!("{} is no port of the gateway; {FORM}", shown(line)));
    };
    let from = match *side {
        "lan" => Zone::Lan,
        "wan" => Zone::Wan,
        other => return Err(format!("unknown side {}; use lan or wan", shown(other))),
    };
    Ok(Listen {
        from,
        transport: transport_of(transport)?,
        port: port_of(port)?,
        to_port: port_of(to_port)?,
    })
}

/// An element of `[access] serves`.
pub(super) fn served(value: Value<'_, '_>) -> Result<Served, String> {
    let line = text(value)?;
    let parts: Vec<&str> = line.split_ascii_whitespace().collect();
    let [transport, port] = parts.as_slice() else {
        let shown = shown(line);
        return Err(format!("{shown} is no port; write for example \"udp 53\""));
    };
    Ok(Served {
        transport: transport_of(transport)?,
        port: port_of(port)?,
    })
}

/// An element of `[access] devices`.
pub(super) fn device(value: Value<'_, '_>) -> Result<Device, String> {
    Device::new(text(value)?)
}

fn transport_of(word: &str) -> Result<Transport, String> {
    match word {
        "tcp" => Ok(Transport::Tcp),
        "udp" => Ok(Transport::Udp),
        other => Err(format!("unknown protocol {}; use tcp or udp", shown(other))),
    }
}

fn port_of(word: &str) -> Result<u16, String> {
    match word.parse::<u16>() {
        Ok(port) if port > 0 => Ok(port),
        Ok(_) | Err(_) => Err(format!(
            "port {} is out of range; use 1 to 65535",
            shown(word)
        )),
    }
}
