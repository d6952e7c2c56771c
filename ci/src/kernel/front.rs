//! The sockets that Jupyter speaks to.
use anyhow::Result;
use jupyter_protocol::ConnectionInfo;
use serde_json::Value;
use zeromq::{PubSocket, RepSocket, RouterSocket, Socket, SocketSend, ZmqMessage};

use super::message::Key;

/// All but the heart.
pub struct Front {
    pub shell: RouterSocket,
    pub control: RouterSocket,
    pub stdin: RouterSocket,
    pub output: PubSocket,
    pub key: Key,
}

impl Front {
    /// Opens all ports of a connection file.
    pub async fn open(connection: &ConnectionInfo) -> Result<(Self, RepSocket)> {
        let at = |port: u16| format!("tcp://{}:{port}", connection.ip);
        let (mut heart, mut output) = (RepSocket::new(), PubSocket::new());
        let [mut shell, mut control, mut stdin] = [(); 3].map(|()| RouterSocket::new());
        heart.bind(&at(connection.hb_port)).await?;
        output.bind(&at(connection.iopub_port)).await?;
        shell.bind(&at(connection.shell_port)).await?;
        control.bind(&at(connection.control_port)).await?;
        stdin.bind(&at(connection.stdin_port)).await?;
        let front = Front {
            shell,
            control,
            stdin,
            output,
            key: Key::new(&connection.key),
        };
        Ok((front, heart))
    }

    /// Tells all something about this request.
    pub async fn publish(
        &mut self,
        request: &ZmqMessage,
        kind: &str,
        content: &Value,
    ) -> Result<()> {
        if let Some(message) = self.key.publication(request, kind, content) {
            self.output.send(message).await?;
        }
        Ok(())
    }

    /// Replies to a request of the shell. Whoever asked may be gone.
    pub async fn reply(&mut self, request: &ZmqMessage, kind: &str, content: &Value) {
        if let Some(reply) = self.key.reply(request, kind, content) {
            let _ = self.shell.send(reply).await;
        }
    }

    /// The same for a request on the control socket.
    pub async fn reply_to_control(&mut self, request: &ZmqMessage, kind: &str, content: &Value) {
        if let Some(reply) = self.key.reply(request, kind, content) {
            let _ = self.control.send(reply).await;
        }
    }
}
