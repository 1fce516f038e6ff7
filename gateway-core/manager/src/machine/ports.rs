//! Whether somebody listens at a port: the kernel's tables `/proc/PID/net/tcp`, `udp` and their IPv6
//! likes (proc(5)). Nobody connects, so that no service sees a stranger who says nothing.

use hearth_model::protocol::Transport;

/// State of a TCP socket that listens (include/net/tcp_states.h, `TCP_LISTEN`).
const LISTEN: &str = "0A";
/// State of a UDP socket that is not connected: it takes what anybody sends (`TCP_CLOSE`).
const UNCONNECTED: &str = "07";

/// The tables of a protocol, below `/proc/PID/net/`.
#[must_use]
pub fn tables(transport: Transport) -> [&'static str; 2] {
    match transport {
        Transport::Tcp => ["tcp", "tcp6"],
        Transport::Udp => ["udp", "udp6"],
    }
}

/// Whether a table has a socket that waits at this port. Lines of another form are passed over.
#[must_use]
pub fn listens(table: &str, transport: Transport, port: u16) -> bool {
    let waits = match transport {
        Transport::Tcp => LISTEN,
        Transport::Udp => UNCONNECTED,
    };
    // "  sl  local_address rem_address   st ...": number, ADDRESS:PORT in hexadecimal digits, peer, state
    table.lines().any(|line| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let local = fields.next().and_then(|local| local.rsplit_once(':'));
        let state = fields.nth(1);
        let number = local.and_then(|(_, digits)| u16::from_str_radix(digits, 16).ok());
        number == Some(port) && state == Some(waits)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TCP: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n   \
        0: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1\n   \
        1: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 1 1\n";
    const UDP6: &str = "  sl  local_address                         remote_address st\n  \
        9: 00000000000000000000000000000000:0035 00000000000000000000000000000000:0000 07 0:0 0:0 0 0\n";

    #[test]
    fn only_a_socket_that_waits_counts() {
        assert!(listens(TCP, Transport::Tcp, 80));
        // connected, not listening
        assert!(!listens(TCP, Transport::Tcp, 8080));
        // somebody else's port
        assert!(!listens(TCP, Transport::Tcp, 50_000));
        assert!(listens(UDP6, Transport::Udp, 53));
        assert!(!listens(UDP6, Transport::Tcp, 53));
        assert!(!listens("garbage\n: : :\n", Transport::Tcp, 0));
    }
}
