//! The ports of a kernel, on an address of this machine.
use std::net::Ipv4Addr;

use anyhow::Result;
use jupyter_protocol::ConnectionInfo;
use jupyter_zmq_client::peek_ports_with_listeners;
use tokio::net::TcpListener;

/// Gives a kernel five ports that are free. They are nobody else's as long as the listeners live.
pub async fn give_ports(connection: &mut ConnectionInfo) -> Result<Vec<TcpListener>> {
    let ip = own_address();
    let (ports, listeners) = peek_ports_with_listeners(ip.into(), 5).await?;
    connection.ip = ip.to_string();
    connection.shell_port = ports[0];
    connection.iopub_port = ports[1];
    connection.stdin_port = ports[2];
    connection.control_port = ports[3];
    connection.hb_port = ports[4];
    Ok(listeners)
}

/// On Linux one that no other process uses. A kernel opens its ports seconds after they were found free, and on 127.0.0.1 another
/// kernel that starts at the same time may have come first. (Other systems have that one address alone.)
fn own_address() -> Ipv4Addr {
    match cfg!(target_os = "linux") {
        true => address_of(std::process::id()),
        false => Ipv4Addr::LOCALHOST,
    }
}

/// All of 127.0.0.0/8 is this machine (RFC 1122, 3.2.1.3). A process has at most 22 bits; 127.0 is left to the others.
fn address_of(process: u32) -> Ipv4Addr {
    Ipv4Addr::from(0x7f01_0000 + (process & 0x3f_ffff))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_process_has_an_address_of_this_machine() {
        let addresses = [1, 0x10000, 0x3f_ffff].map(address_of);
        assert_eq!(addresses[0], Ipv4Addr::new(127, 1, 0, 1));
        assert_eq!(addresses[1], Ipv4Addr::new(127, 2, 0, 0));
        assert_eq!(addresses[2], Ipv4Addr::new(127, 64, 255, 255));
        assert!(std::net::TcpListener::bind((own_address(), 0)).is_ok());
    }
}
