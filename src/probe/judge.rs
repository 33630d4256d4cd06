//! Everything that is to be said against the certificates of a peer.

/// Judges chains, and remembers its verdicts.
#[derive(Debug, Default)]
pub(super) struct Judge {}
