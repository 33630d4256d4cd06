//! Steps on an open connection, carried out.

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::interruption::Interruption;
use crate::target::{Dialogue, LabelName};

/// A conversation under way: what was heard and not yet used, what the last match captured, the labels so far.
#[derive(Debug, Default)]
pub(super) struct Talk {
    heard: Vec<u8>,
}

impl Talk {
    /// Goes through the steps. Ends by `deadline`.
    pub(super) async fn run<S>(
        &mut self,
        _dialogue: &Dialogue,
        _stream: &mut S,
        _deadline: Instant,
    ) -> Result<(), Interruption>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        Ok(())
    }

    /// Takes what was read elsewhere.
    pub(super) fn hear(&mut self, bytes: &[u8]) {
        self.heard.extend_from_slice(bytes);
    }

    /// How many bytes were heard and belong to no step yet.
    pub(super) const fn unread(&self) -> usize {
        self.heard.len()
    }

    /// The labels that the steps gave, where they give any.
    pub(super) fn labels(&self) -> Option<Arc<[(LabelName, String)]>> {
        None
    }
}
