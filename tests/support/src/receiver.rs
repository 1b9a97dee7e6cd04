//! A receiver of webhooks on a real socket, which fails as it is told.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A delivery that came in.
#[derive(Debug, Clone)]
pub struct Heard {
    /// Its `webhook-id`.
    pub id: String,
    /// The path that it was sent to.
    pub path: String,
    /// Its headers, their names in lower case.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: String,
    /// When it had come in.
    pub at: Instant,
    /// It was answered with 2xx, and as a whole.
    pub taken: bool,
}

impl Heard {
    /// A header's value; empty when there is none.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }

    /// Its body as JSON.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

/// What the receiver does with a delivery.
#[derive(Debug, Clone)]
pub enum Reply {
    /// Answers with this status and these headers.
    Status(u16, Vec<(&'static str, String)>),
    /// Answers with this status, later.
    Slow(Duration, u16),
    /// Answers with 200 and a body that does not end.
    Endless,
    /// Says nothing until the other side gives up.
    Hang,
    /// Closes without a word.
    Close,
    /// Begins an answer of 200, and resets the connection in its middle.
    Reset,
}

impl Reply {
    /// Answers with this status.
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self::Status(status, Vec::new())
    }
}

type Script = Arc<dyn Fn(&Heard) -> Reply + Send + Sync>;

/// The receiver; it ends when it is dropped.
pub struct Receiver {
    /// Where it listens.
    pub address: SocketAddr,
    heard: Arc<Mutex<Vec<Heard>>>,
    script: Arc<RwLock<Script>>,
    task: JoinHandle<()>,
}

impl Receiver {
    /// One that takes everything.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn start() -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let heard = Arc::new(Mutex::new(Vec::new()));
        let takes_all: Script = Arc::new(|_: &Heard| Reply::status(204));
        let script = Arc::new(RwLock::new(takes_all));
        let (list, replies) = (Arc::clone(&heard), Arc::clone(&script));
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, Arc::clone(&list), Arc::clone(&replies)));
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Self { address, heard, script, task })
    }

    /// Does from now on what this says.
    pub fn reply(&self, script: impl Fn(&Heard) -> Reply + Send + Sync + 'static) {
        *self.script.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(script);
    }

    /// Where it takes deliveries.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// All that came in, in order.
    #[must_use]
    pub fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many came in.
    #[must_use]
    pub fn count(&self) -> usize {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: TcpStream, heard: Arc<Mutex<Vec<Heard>>>, script: Arc<RwLock<Script>>) {
    // Small answers must not wait for each other.
    let _ = stream.set_nodelay(true);
    let mut buffer = Vec::new();
    while let Some(request) = read(&mut stream, &mut buffer).await {
        let script = Arc::clone(&script.read().unwrap_or_else(PoisonError::into_inner));
        let reply = script(&request);
        let place = {
            let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
            heard.push(request);
            heard.len() - 1
        };
        let take = |status: u16| {
            let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
            heard[place].taken = (200..300).contains(&status);
        };
        match reply {
            Reply::Status(status, headers) => {
                // Before the other side can know of it.
                take(status);
                if !answer(&mut stream, status, &headers).await {
                    return;
                }
            }
            Reply::Slow(time, status) => {
                tokio::time::sleep(time).await;
                take(status);
                if !answer(&mut stream, status, &[]).await {
                    return;
                }
            }
            Reply::Endless => {
                take(200);
                let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
                let chunk = format!("1000\r\n{}\r\n", "x".repeat(0x1000));
                let mut written = stream.write_all(head.as_bytes()).await;
                while written.is_ok() {
                    written = stream.write_all(chunk.as_bytes()).await;
                }
                return;
            }
            Reply::Hang => {
                // Whoever gives up closes; an error means the same.
                let _ = stream.read_to_end(&mut buffer).await;
                return;
            }
            Reply::Close => return,
            Reply::Reset => {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf").await;
                // What was not read makes the close a reset.
                let _ = stream.set_zero_linger();
                return;
            }
        }
    }
}

async fn answer(stream: &mut TcpStream, status: u16, headers: &[(&'static str, String)]) -> bool {
    let mut text = format!("HTTP/1.1 {status} x\r\n");
    if status != 204 {
        text.push_str("Content-Length: 0\r\n");
    }
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    stream.write_all(text.as_bytes()).await.is_ok()
}

/// The next request of a connection; none at its end.
async fn read(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Heard> {
    let head = loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    };
    let text = String::from_utf8_lossy(&buffer[..head]).into_owned();
    let mut lines = text.lines();
    let path = lines.next()?.split(' ').nth(1)?.to_owned();
    let pairs = lines.filter_map(|line| line.split_once(':'));
    let headers: Vec<(String, String)> =
        pairs.map(|(key, value)| (key.to_ascii_lowercase(), value.trim().to_owned())).collect();
    let mut request =
        Heard { id: String::new(), path, headers, body: String::new(), at: Instant::now(), taken: false };
    let length = request.header("content-length").parse::<usize>().ok()?;
    while buffer.len() < head + length {
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
    request.id = request.header("webhook-id").to_owned();
    request.body = String::from_utf8_lossy(&buffer[head..head + length]).into_owned();
    request.at = Instant::now();
    buffer.drain(..head + length);
    Some(request)
}
