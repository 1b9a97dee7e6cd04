//! Bounds on what one message may make us keep. Bodies are bounded before they come here; these bound what
//! a body can be made to unfold to.

/// Elements or objects inside each other. The documents nest three deep.
pub(crate) const MAX_DEPTH: usize = 64;

/// Documents in one body. A long connection has been seen to send two.
pub(crate) const MAX_DOCUMENTS: usize = 256;

/// Parties kept of one report; further ones are left out. Conferences are far smaller.
pub(crate) const MAX_PARTIES: usize = 64;

/// Fields kept of one record beyond the known ones.
pub(crate) const MAX_EXTRAS: usize = 64;

/// Elements of one command or reply. A large exchange lists some hundred lines, and may have 4096 calls; a
/// reply that holds more than this is none.
pub(crate) const MAX_ELEMENTS: usize = 65_536;
