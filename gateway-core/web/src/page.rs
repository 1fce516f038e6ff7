//! The status page, and the page for when there is no status. Pure: a status in, HTML out.

use crate::html::Html;
use hearth_client::{render, words};
use hearth_model::api::{BudgetLine, Kind, NatJson, Net, Service, Status};
use hearth_model::state::{Fault, UnitState};

mod network;

/// The page of a gateway that answers; `net` is its network, where it tells it.
#[must_use]
pub fn status(status: &Status, net: Option<&Net>) -> Html {
    let body = Html::new()
        .piece(&verdict(status))
        .piece(&connection(status))
        .piece(&services(&status.services))
        .piece(&network::section(net))
        .piece(&budget(&status.budget))
        .markup("<footer class=\"quiet\"><p>Hearth ")
        .text(&status.firmware)
        .markup(", up ")
        .text(&words::span(status.uptime_seconds))
        .markup(". Load the page again to see what is new. <a href=\"/metrics\">All numbers</a></p></footer>\n");
    document("Hearth: your gateway", &body)
}

/// The page of a gateway whose manager does not answer; `why` is the client's sentence.
#[must_use]
pub fn silent(why: &str) -> Html {
    let body = Html::new()
        .markup(
            "<p class=\"verdict ill\">The gateway can not tell how it is</p>\n\
             <p>The program that watches over the services does not answer. The Internet connection and the \
             services go on without it, and it is started again by itself.</p>\n\
             <h2>What to do</h2>\n\
             <ol><li>Wait half a minute, then <a href=\"/\">load this page again</a>.</li>\n\
             <li>If it stays so, type <code>hearth status</code> on the gateway's serial console.</li>\n\
             <li>If nobody is at the serial console, switch the gateway off and on.</li></ol>\n\
             <h2>For whoever helps you</h2>\n<p class=\"quiet\">",
        )
        .text(why)
        .markup("</p>\n");
    document("Hearth: no answer", &body)
}

/// A page that only says what failed and what to do.
#[must_use]
pub fn failure(what: &str, remedy: &str) -> Html {
    let body = Html::new()
        .markup("<p class=\"verdict\">")
        .text(what)
        .markup("</p>\n<p><a href=\"/\">")
        .text(remedy)
        .markup("</a></p>\n");
    document("Hearth", &body)
}

fn document(title: &str, body: &Html) -> Html {
    Html::new()
        .markup(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <link rel=\"stylesheet\" href=\"/style.css\">\n<title>",
        )
        .text(title)
        .markup("</title>\n</head>\n<body>\n<main>\n<h1>Your gateway</h1>\n")
        .piece(body)
        .markup("</main>\n</body>\n</html>\n")
}

/// Everything wrong, for a person of the home: the command's list, and what is wrong with the
/// connection.
fn problems(status: &Status) -> Vec<String> {
    let mut all = words::problems(status);
    if status.wan.address.is_none() {
        all.push(format!("Internet: {}", render::wan(&status.wan)));
    }
    if status.nat.is_none() {
        all.push(
            "Internet: hearth-netpath, which passes the home's traffic on, does not answer; it is \
             started again by itself: look again in half a minute"
                .to_owned(),
        );
    }
    all
}

fn verdict(status: &Status) -> Html {
    let wrong = problems(status);
    if !wrong.is_empty() {
        return Html::new()
            .markup("<p class=\"verdict ill\">")
            .text(&words::count(wrong.len(), "problem"))
            .markup("</p>\n<ul class=\"problems\">\n")
            .each(&wrong, |problem| {
                Html::new().markup("<li>").text(problem).markup("</li>\n")
            })
            .markup("</ul>\n");
    }
    let coming = status.services.iter().filter(|s| words::pending(s)).count();
    if coming > 0 {
        return Html::new()
            .markup("<p class=\"verdict soon\">All is well so far; still on the way: ")
            .text(&words::count(coming, "service"))
            .markup("</p>\n");
    }
    Html::new().markup("<p class=\"verdict well\">All is well</p>\n")
}

fn connection(status: &Status) -> Html {
    let list = Html::new()
        .markup("<h2>Connection</h2>\n<dl>\n<dt>Internet (WAN)</dt><dd>")
        .text(&render::wan(&status.wan))
        .markup("</dd>\n<dt>Home (LAN)</dt><dd>")
        .text(&status.lan)
        .markup("</dd>\n")
        .each(&status.guest, |guest| {
            Html::new()
                .markup("<dt>Guests</dt><dd>")
                .text(guest)
                .markup(" (the Internet alone)</dd>\n")
        })
        .each(&status.notes, |note| {
            Html::new()
                .markup("<dt>To know</dt><dd>")
                .text(note)
                .markup("</dd>\n")
        });
    match &status.nat {
        Some(table) => list.piece(&nat(table)),
        None => list,
    }
    .markup("</dl>\n")
}

fn nat(table: &NatJson) -> Html {
    let flows = format!(
        "{} of {} places in use, {} refused",
        table.mappings, table.mappings_max, table.mappings_refused
    );
    let packets = format!(
        "{} received, {} passed on, {} dropped; {}",
        table.received,
        table.forwarded,
        table.dropped,
        table
            .fast_path
            .map_or("the fast path is off".to_owned(), |fast| format!(
                "{fast} by the fast path"
            ))
    );
    Html::new()
        .markup("<dt>Flows (NAT)</dt><dd>")
        .text(&flows)
        .markup("</dd>\n<dt>Packets</dt><dd>")
        .text(&packets)
        .markup("</dd>\n")
}

fn services(all: &[Service]) -> Html {
    let of = |kind| all.iter().filter(move |s| s.kind == kind);
    let section = match of(Kind::Service).count() {
        0 => Html::new().markup("<h2>Services</h2>\n<p>No service is installed.</p>\n"),
        _ => table("Services", of(Kind::Service)),
    };
    section.piece(&table("The gateway's own programs", of(Kind::System)))
}

fn table<'a>(title: &'static str, rows: impl Iterator<Item = &'a Service>) -> Html {
    Html::new()
        .markup("<h2>")
        .markup(title)
        .markup(
            "</h2>\n<table>\n<thead><tr><th scope=\"col\">Name</th><th scope=\"col\">State</th>\
                 <th scope=\"col\">Memory</th></tr></thead>\n<tbody>\n",
        )
        .each(rows, row)
        .markup("</tbody>\n</table>\n")
}

fn row(service: &Service) -> Html {
    let mut cell = Html::new()
        .markup("<tr><th scope=\"row\">")
        .text(&service.name)
        .markup("<p class=\"quiet\">")
        .text(&format!("{} {}", service.title, service.version))
        .markup("</p></th><td>")
        .piece(&state(service));
    if let Some(trouble) = words::trouble(service) {
        cell = cell
            .markup("<p class=\"ill\">")
            .text(&trouble)
            .markup("</p>");
    }
    if service.fault != Fault::NoFault.to_string() {
        cell = cell
            .markup("<p class=\"quiet\">Fault: ")
            .text(&service.fault)
            .markup("</p>");
    }
    if let Some(waits) = words::waits(service) {
        cell = cell
            .markup("<p class=\"quiet\">")
            .text(&waits)
            .markup("</p>");
    }
    if !service.listens.is_empty() {
        cell = cell
            .markup("<p class=\"quiet\">Ports: ")
            .text(&service.listens.join(", "))
            .markup("</p>");
    }
    cell.markup("</td><td class=\"amount\">")
        .text(&memory(service))
        .markup("</td></tr>\n")
}

/// The state in words, since when, and how often it had to be started again.
fn state(service: &Service) -> Html {
    let (class, what) = match (words::state(&service.state), service.wanted) {
        (Some(UnitState::Active), _) => ("<span class=\"well\">", "Runs"),
        (Some(UnitState::Starting), _) => ("<span class=\"soon\">", "Starts"),
        (Some(UnitState::Stopping), _) => ("<span class=\"soon\">", "Stops"),
        (Some(UnitState::Restarting), _) => ("<span class=\"ill\">", "Ended; starts again"),
        (Some(UnitState::Idle), true) => ("<span class=\"ill\">", "Does not run"),
        (Some(UnitState::Idle), false) => ("<span>", "Stopped by the household"),
        (None, _) => ("<span>", service.state.as_str()),
    };
    let mut since = format!(", for {}", words::span(service.since_seconds));
    if service.restarts > 0 {
        let times = words::count(service.restarts as usize, "restart");
        since.push_str(&format!(", {times}"));
    }
    Html::new()
        .markup(class)
        .text(what)
        .markup("</span>")
        .text(&since)
}

fn memory(service: &Service) -> String {
    match (service.memory_bytes, service.memory_max_bytes) {
        (Some(now), Some(max)) => format!("{} of {}", words::amount(now), words::amount(max)),
        (Some(now), None) => words::amount(now),
        (None, _) => "-".to_owned(),
    }
}

fn budget(lines: &[BudgetLine]) -> Html {
    Html::new()
        .markup("<h2>What is promised</h2>\n<dl>\n")
        .each(lines, |line| {
            let share = |value| render::share(&line.resource, value);
            let name = match line.resource.as_str() {
                "memory" => "Memory",
                "cpu" => "Processor",
                "io" => "Disk time",
                "storage" => "Storage",
                "pids" => "Processes",
                "upload" => "Internet line, up",
                "download" => "Internet line, down",
                other => other,
            };
            let text = format!(
                "{} in all: {} kept for the gateway, {} promised to services, {} free to promise",
                render::total(line),
                share(line.system),
                share(line.reserved),
                share(line.free)
            );
            let used = line.system.saturating_add(line.reserved).min(line.total);
            Html::new()
                .markup("<dt>")
                .text(name)
                .markup("</dt><dd><meter min=\"0\" max=\"")
                .text(&line.total.max(1).to_string())
                .markup("\" value=\"")
                .text(&used.to_string())
                .markup("\" aria-label=\"kept and promised\"></meter><p>")
                .text(&text)
                .markup("</p></dd>\n")
        })
        .markup("</dl>\n")
}

#[cfg(test)]
pub(crate) mod tests;
