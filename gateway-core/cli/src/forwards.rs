//! `hearth forward`: asks for the household's port-forwards, and changes them.

use crate::args::ForwardAction;
use crate::console::{print, print_json};
use crate::run::{Trouble, show};
use hearth_client::client::Api;
use hearth_client::limits::ANSWER_WAIT;
use hearth_client::{render, words};
use hearth_model::api::{Done, PortForward};
use hearth_model::protocol::{NoPorts, WanPorts};

impl From<NoPorts> for Trouble {
    fn from(wrong: NoPorts) -> Trouble {
        Trouble::Failed(wrong.to_string())
    }
}

fn path(ports: &WanPorts) -> String {
    let WanPorts {
        transport,
        first,
        last,
    } = ports;
    format!("/v1/forwards/{transport}/{first}-{last}")
}

/// Carries it out.
pub(crate) async fn forward(api: &Api, action: &ForwardAction) -> Result<(), Trouble> {
    match action {
        ForwardAction::List(format) => {
            let answer = api.get("/v1/forwards").await?;
            show(format, &answer, |all: Vec<PortForward>| {
                render::forwards(&all)
            })
        }
        ForwardAction::Add {
            ports,
            target,
            to_port,
            format,
        } => {
            let ports = ports.read()?;
            // What else there may be in an address of the API belongs in none of both.
            let plain = |c: char| c.is_ascii_alphanumeric() || ['.', '-'].contains(&c);
            if target.is_empty() || !target.chars().all(plain) {
                return Err(Trouble::Failed(format!(
                    "\"{}\" is neither an address like 192.168.1.50 nor a service's name",
                    words::ascii(target)
                )));
            }
            let to_port = to_port.unwrap_or(ports.first);
            let asked = format!("{}?to={target}&port={to_port}", path(&ports));
            let answer = api.post(&asked, ANSWER_WAIT).await?;
            show(format, &answer, |one: PortForward| render::forward(&one))
        }
        ForwardAction::Remove { ports, format } => {
            let answer = api.delete(&path(&ports.read()?)).await?;
            if format.json {
                print_json(answer.body())?;
            } else {
                let done: Done = answer.read()?;
                print(format!("{}\n", words::ascii(&done.message)).as_bytes())?;
            }
            Ok(())
        }
    }
}
