//! What a command supervisor is told and asked.

use actix::prelude::*;
use bytes::Bytes;
use switchroom_domain::id::{CallId, CommandId};
use switchroom_domain::time::Timestamp;
use switchroom_domain::view::CommandView;
use tokio::sync::oneshot;

use super::state::Refusal;
use crate::ports::{Answer, LinkError};
use switchroom_domain::command::Command;

/// A command with whoever posted it.
#[derive(Debug, Clone, PartialEq)]
pub struct CommandRecord {
    /// The command.
    pub view: CommandView,
    /// If its turn has not come by then it is not done.
    pub deadline: Timestamp,
    /// The hash of the token of who posted it.
    pub token: Option<[u8; 32]>,
    /// The token and key under which it is known to who posted it.
    pub key: Option<IdempotencyKey>,
}

/// By what a request is known again (`Idempotency-Key`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// The hash of the token.
    pub token: [u8; 32],
    /// The key.
    pub key: String,
    /// A hash of the request: the same key with another request is a mistake.
    pub request: [u8; 32],
}

/// Takes a command. Answered once it is in the command log.
#[derive(Message)]
#[rtype(result = "Result<(), Refusal>")]
pub struct Submit {
    /// The command.
    pub record: Box<CommandRecord>,
    /// Lives depend on it: it comes first, and whatever the device and the disk do it is tried.
    pub emergency: bool,
    /// Told when it has settled.
    pub settled: Option<oneshot::Sender<Box<CommandView>>>,
    /// Given the device's answer as it came, if one comes.
    pub answer: Option<oneshot::Sender<Bytes>>,
}

/// Ends it: the device was removed. What has not settled does.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Dismiss;

/// Takes up a command of before a restart.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Recover {
    /// The command.
    pub record: Box<CommandRecord>,
    /// As in [`Submit`].
    pub emergency: bool,
}

/// Asks for a command that has not settled; tells `settled` when it has.
#[derive(Message)]
#[rtype(result = "Option<Box<CommandView>>")]
pub struct Await {
    /// Which.
    pub id: CommandId,
    /// Told when it has settled, if it has not.
    pub settled: Option<oneshot::Sender<Box<CommandView>>>,
}

/// Asks the device something that nobody posted, for when nobody else wants anything of it.
#[derive(Message)]
#[rtype(result = "Result<Answer, NoAnswer>")]
pub struct Ask {
    /// What.
    pub question: Command,
    /// The outcome of a command depends on it: it comes before whatever waits but callers.
    pub soon: bool,
}

/// Why a question has no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum NoAnswer {
    /// It was not asked.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It was asked.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// Its turn did not come.
    #[error("its turn did not come")]
    Expired,
}

/// The cell has found the call that a command made or is about.
#[derive(Message)]
#[rtype(result = "()")]
pub struct CallFound {
    /// The command.
    pub command: CommandId,
    /// Its call.
    pub call: CallId,
}
