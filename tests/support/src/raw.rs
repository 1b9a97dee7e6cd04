//! A receiver of devices' reports on a real socket, which keeps the very bytes, and behaves as it is told.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// A message that came in.
#[derive(Debug, Clone)]
pub struct Message {
    /// On which connection, counted from 0.
    pub connection: usize,
    /// Head and body, as they came.
    pub bytes: Vec<u8>,
    /// The receiver says that it took it.
    pub taken: bool,
}

impl Message {
    /// Head and body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    /// The body as text.
    #[must_use]
    pub fn body(&self) -> String {
        self.text().split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()
    }
}

/// What the receiver does with a message.
#[derive(Debug, Clone, Copy)]
pub enum Act {
    /// Answers with this status, and goes on.
    Answer(u16),
    /// The same, after a while.
    Slow(Duration, u16),
    /// Writes these bytes and closes.
    Say(&'static str),
    /// Closes, having read everything.
    Close,
    /// Resets the connection.
    Reset,
    /// Says nothing, and reads on.
    Silent,
}

impl Act {
    /// Does it say that the message was taken?
    const fn takes(self) -> bool {
        match self {
            Self::Answer(status) | Self::Slow(_, status) => status < 500,
            Self::Say(_) | Self::Close | Self::Silent => true,
            Self::Reset => false,
        }
    }
}

type Script = Arc<dyn Fn(&Message) -> Act + Send + Sync>;

/// The receiver; it ends when it is dropped.
pub struct RawReceiver {
    /// Where it listens.
    pub address: SocketAddr,
    messages: Arc<Mutex<Vec<Message>>>,
    script: Arc<RwLock<Script>>,
    task: JoinHandle<()>,
}

impl RawReceiver {
    /// One that answers 200 to everything.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn start() -> std::io::Result<Self> {
        Self::listen(SocketAddr::from(([127, 0, 0, 1], 0)), None).await
    }

    /// The same at an address where one was before.
    ///
    /// # Errors
    /// When the port is taken.
    pub async fn at(address: SocketAddr) -> std::io::Result<Self> {
        Self::listen(address, None).await
    }

    /// One that passes everything on to this address, and back what that answers.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn before(address: SocketAddr) -> std::io::Result<Self> {
        Self::listen(SocketAddr::from(([127, 0, 0, 1], 0)), Some(address)).await
    }

    async fn listen(at: SocketAddr, behind: Option<SocketAddr>) -> std::io::Result<Self> {
        let listener = TcpListener::bind(at).await?;
        let address = listener.local_addr()?;
        let messages = Arc::new(Mutex::new(Vec::new()));
        let all: Script = Arc::new(|_: &Message| Act::Answer(200));
        let script = Arc::new(RwLock::new(all));
        let (list, acts) = (Arc::clone(&messages), Arc::clone(&script));
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            let mut count = 0;
            while let Ok((stream, _)) = listener.accept().await {
                let connection =
                    Connection { number: count, list: Arc::clone(&list), script: Arc::clone(&acts) };
                match behind {
                    None => connections.spawn(connection.serve(stream)),
                    Some(address) => connections.spawn(connection.pass(stream, address)),
                };
                count += 1;
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Self { address, messages, script, task })
    }

    /// Does from now on what this says.
    pub fn act(&self, script: impl Fn(&Message) -> Act + Send + Sync + 'static) {
        *self.script.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(script);
    }

    /// Where it takes messages.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    /// All that came in, in order.
    #[must_use]
    pub fn messages(&self) -> Vec<Message> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many came in.
    #[must_use]
    pub fn count(&self) -> usize {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl Drop for RawReceiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Connection {
    number: usize,
    list: Arc<Mutex<Vec<Message>>>,
    script: Arc<RwLock<Script>>,
}

impl Connection {
    /// Cuts the next whole message off the front.
    fn message(&self, buffer: &mut Vec<u8>) -> Option<Message> {
        let head = buffer.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
        let text = String::from_utf8_lossy(&buffer[..head]).to_ascii_lowercase();
        let length = text.lines().find_map(|line| line.strip_prefix("content-length:"));
        let length: usize = length.and_then(|length| length.trim().parse().ok()).unwrap_or(0);
        if buffer.len() < head + length {
            return None;
        }
        let rest = buffer.split_off(head + length);
        Some(Message { connection: self.number, bytes: std::mem::replace(buffer, rest), taken: false })
    }

    fn keep(&self, message: Message) -> usize {
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        list.push(message);
        list.len() - 1
    }

    async fn serve(self, mut stream: TcpStream) {
        let mut buffer = Vec::new();
        loop {
            while let Some(mut message) = self.message(&mut buffer) {
                let script = Arc::clone(&self.script.read().unwrap_or_else(PoisonError::into_inner));
                let act = script(&message);
                // One that is slow may not be heard any more.
                let slow = matches!(act, Act::Slow(..));
                message.taken = act.takes() && !slow;
                let place = self.keep(message);
                let (status, said) = match act {
                    Act::Answer(status) => (status, None),
                    Act::Slow(time, status) => {
                        tokio::time::sleep(time).await;
                        (status, None)
                    }
                    Act::Say(text) => (0, Some(text)),
                    Act::Close => return,
                    Act::Reset => {
                        // An error means that it is gone already.
                        let _ = stream.set_zero_linger();
                        return;
                    }
                    Act::Silent => continue,
                };
                let text = format!("HTTP/1.1 {status} x\r\nContent-Length: 0\r\n\r\n");
                if slow {
                    self.list.lock().unwrap_or_else(PoisonError::into_inner)[place].taken = act.takes();
                }
                let written = stream.write_all(said.unwrap_or(&text).as_bytes()).await;
                if written.is_err() || said.is_some() {
                    return;
                }
            }
            match stream.read_buf(&mut buffer).await {
                Ok(1..) => {}
                _ => return,
            }
        }
    }

    async fn pass(self, mut near: TcpStream, address: SocketAddr) {
        let Ok(mut far) = TcpStream::connect(address).await else { return };
        // Small writes must not wait for each other.
        let _ = (near.set_nodelay(true), far.set_nodelay(true));
        let (mut buffer, mut answer) = (Vec::new(), vec![0; 4096]);
        let mut open = true;
        loop {
            let before = buffer.len();
            tokio::select! {
                read = near.read_buf(&mut buffer), if open => match read {
                    Ok(1..) => {
                        if far.write_all(&buffer[before..]).await.is_err() {
                            return;
                        }
                        while let Some(message) = self.message(&mut buffer) {
                            self.keep(Message { taken: true, ..message });
                        }
                    }
                    _ => {
                        open = false;
                        // It may have ended.
                        let _ = far.shutdown().await;
                    }
                },
                read = far.read(&mut answer) => match read {
                    Ok(read @ 1..) => {
                        // Who closes early hears nothing.
                        let _ = near.write_all(&answer[..read]).await;
                    }
                    _ => return,
                },
            }
        }
    }
}
