//! Who is charged for packets, in `hearth status`.

use hearth_model::MilliCpu;
use hearth_model::api::ForwardingJson;

/// Who is charged for packets in one line: what forwarding keeps, and what is charged to others.
pub(super) fn forwarding(f: &ForwardingJson) -> String {
    let own = f.weight.map_or_else(
        || "forwarding has no share of the processor of its own".to_owned(),
        |weight| {
            let share = MilliCpu(u32::from(weight));
            format!("forwarding keeps {share} of a core")
        },
    );
    let charged = match f.charged.as_slice() {
        [] => String::new(),
        names => format!("; these pay for their own packets: {}", names.join(" ")),
    };
    let lacking = f.lacking.iter().map(|text| format!("; {text}"));
    lacking.fold(format!("{own}{charged}"), |all, text| all + &text)
}
