//! What is wrong with a message that cannot be read, and where.

/// A message that is not well formed. Unknown reports are no error; they become
/// [`Fact::Unrecognized`](switchroom_domain::fact::Fact::Unrecognized).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("at byte {offset}: {reason}")]
pub struct DecodeError {
    /// Where reading stopped, in bytes from the start of the body (of its UTF-8 form, when the body came in
    /// another encoding).
    pub offset: usize,
    /// What was wrong there, for a person.
    pub reason: String,
}

impl DecodeError {
    pub(crate) fn new(offset: usize, reason: impl Into<String>) -> Self {
        Self { offset, reason: reason.into() }
    }
}
