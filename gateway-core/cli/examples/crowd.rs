//! For `scripts/bench manager`, on a gateway, as root outside of every service: `crowd start PREFIX FIRST LAST`
//! starts services `PREFIX1`, `PREFIX2`, ... one after the other; `crowd stop` ends them. A line for each:
//! its number, and the microseconds from the request until the answer that it is Active (Idle).

use hearth_client::client::Api;
use hearth_model::api::Service;
use std::error::Error;
use std::time::{Duration, Instant};

/// Longest wait for one of them.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [verb, prefix, first, last] = words.as_slice() else {
        return Err("usage: crowd start|stop PREFIX FIRST LAST".into());
    };
    let due = if verb == "start" { "Active" } else { "Idle" };
    let api = Api::from_env();
    for number in first.parse::<u32>()?..=last.parse()? {
        let path = format!("/v1/services/{prefix}{number}/{verb}");
        let begin = Instant::now();
        let service: Service = api.post(&path, PATIENCE).await?.read()?;
        let took = begin.elapsed().as_micros();
        if service.state != due {
            let text = format!("{path}: {}, {}", service.state, service.message);
            return Err(text.into());
        }
        println!("{number} {took}");
    }
    Ok(())
}
