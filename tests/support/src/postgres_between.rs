//! Between a service and its PostgreSQL: passes on what both say, and can lose a commit on its way, or its answer.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};

/// What becomes of a commit; the connection is lost with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// It does not reach the server.
    Commit,
    /// It is done, and nobody hears of it.
    Answer,
}

#[derive(Default)]
struct Plan {
    next: Mutex<Option<Cut>>,
    cuts: AtomicUsize,
}

/// See the module.
pub struct Between {
    /// Where it listens.
    pub address: SocketAddr,
    plan: Arc<Plan>,
}

/// `COMMIT` as a simple query, behind its length.
const COMMIT: &[u8] = b"COMMIT\0";
/// The head of a message: its kind, and how long it is from the length on.
const HEAD: usize = 5;

impl Between {
    /// Listens, and connects to this socket for each that connects here.
    ///
    /// # Panics
    /// When it cannot listen.
    #[must_use]
    pub fn start(server: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let plan = Arc::new(Plan::default());
        let (server, of_all) = (PathBuf::from(server), Arc::clone(&plan));
        std::thread::spawn(move || {
            while let Ok((client, _)) = listener.accept() {
                // While the server is away, whoever connects is sent away.
                let Ok(server) = UnixStream::connect(&server) else { continue };
                pass(client, server, &of_all);
            }
        });
        Self { address, plan }
    }

    /// Has the next commit go wrong so.
    pub fn cut_next(&self, cut: Cut) {
        *self.plan.next.lock().unwrap_or_else(PoisonError::into_inner) = Some(cut);
    }

    /// How many went wrong.
    #[must_use]
    pub fn cuts(&self) -> usize {
        self.plan.cuts.load(SeqCst)
    }
}

fn pass(client: TcpStream, server: UnixStream, plan: &Arc<Plan>) {
    let is_awaited = Arc::new(AtomicBool::new(false));
    let (Ok(to_client), Ok(from_server)) = (client.try_clone(), server.try_clone()) else { return };
    let (answers, of_answers) = (Arc::clone(&is_awaited), Arc::clone(plan));
    std::thread::spawn(move || pass_answers(from_server, to_client, &answers, &of_answers));
    let plan = Arc::clone(plan);
    std::thread::spawn(move || pass_questions(client, server, &is_awaited, &plan));
}

/// Message by message: the first has no kind.
fn pass_questions(mut client: TcpStream, mut server: UnixStream, is_awaited: &AtomicBool, plan: &Plan) {
    let mut has_begun = false;
    loop {
        let mut message = vec![0; if has_begun { HEAD } else { HEAD - 1 }];
        if client.read_exact(&mut message).is_err() {
            break;
        }
        let length = message.last_chunk::<4>().map_or(0, |length| u32::from_be_bytes(*length)) as usize;
        let mut body = vec![0; length.saturating_sub(4)];
        if client.read_exact(&mut body).is_err() {
            break;
        }
        if has_begun && message[0] == b'Q' && body == COMMIT {
            match plan.next.lock().unwrap_or_else(PoisonError::into_inner).take() {
                Some(Cut::Commit) => {
                    plan.cuts.fetch_add(1, SeqCst);
                    break;
                }
                Some(Cut::Answer) => is_awaited.store(true, SeqCst),
                None => {}
            }
        }
        has_begun = true;
        message.extend(body);
        if server.write_all(&message).is_err() {
            break;
        }
    }
    // Either may have gone already.
    let _ = (client.shutdown(Shutdown::Both), server.shutdown(Shutdown::Both));
}

fn pass_answers(mut server: UnixStream, mut client: TcpStream, is_awaited: &AtomicBool, plan: &Plan) {
    let mut bytes = vec![0; 65_536];
    let mut awaited = Vec::new();
    while let Ok(count @ 1..) = server.read(&mut bytes) {
        if is_awaited.load(SeqCst) {
            awaited.extend_from_slice(&bytes[..count]);
            if awaited.windows(COMMIT.len()).any(|part| part == COMMIT) {
                plan.cuts.fetch_add(1, SeqCst);
                break;
            }
        } else if client.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    // Either may have gone already.
    let _ = (client.shutdown(Shutdown::Both), server.shutdown(Shutdown::Both));
}
