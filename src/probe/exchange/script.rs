//! Runs the steps of a dialogue on an open connection.
//!
//! A regular expression is tried on complete lines as soon as they arrive, and on an incomplete line once the peer
//! pauses, because a prompt has no line end. Bytes that no step has consumed are left for the next step.

use std::io;
use std::mem;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::task::yield_now;
use tokio::time::{Instant, timeout_at};

use crate::outcome::{Class, Fault, Phase};
use crate::peer_text::excerpt;
use crate::probe::tls::alerts::conversation_fault;
use crate::target::{Dialogue, Expectation, LabelName, Part, Step, Template};

/// The state of a dialogue: received bytes that are not consumed yet, groups of the last match, labels so far.
#[derive(Debug)]
pub(in crate::probe) struct ScriptRunner {
    deadline: Instant,
    /// The phase of the current steps.
    phase: Phase,
    received: Vec<u8>,
    captured: Vec<Box<[u8]>>,
    labels: Vec<(LabelName, String)>,
}

impl ScriptRunner {
    /// Creates a runner whose steps end by `deadline`.
    pub(in crate::probe) fn new(deadline: Instant) -> Self {
        Self { deadline, phase: Phase::Protocol, received: Vec::new(), captured: Vec::new(), labels: Vec::new() }
    }

    /// Runs the steps of a phase.
    pub(in crate::probe) async fn run<S>(
        &mut self,
        phase: Phase,
        dialogue: &Dialogue,
        stream: &mut S,
    ) -> Result<(), Fault>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        self.phase = phase;
        for step in &*dialogue.0 {
            match step {
                Step::Expect(expectation) => self.expect(expectation, stream).await?,
                Step::ExpectBytes(bytes) => self.expect_bytes(bytes, stream).await?,
                Step::Send(template) => self.send(&self.fill(template), stream).await?,
            }
        }
        Ok(())
    }

    /// Adds bytes that were read elsewhere.
    pub(in crate::probe) fn take_received(&mut self, bytes: &[u8]) {
        self.received.extend_from_slice(bytes);
    }

    /// Takes the received bytes that no step has consumed.
    pub(in crate::probe) fn give_received(&mut self) -> Vec<u8> {
        mem::take(&mut self.received)
    }

    /// Returns the number of received bytes that no step has consumed.
    pub(in crate::probe) const fn unread(&self) -> usize {
        self.received.len()
    }

    /// Takes the labels of the steps; `None` if there are none.
    pub(in crate::probe) fn labels(&mut self) -> Option<Arc<[(LabelName, String)]>> {
        (!self.labels.is_empty()).then(|| mem::take(&mut self.labels).into())
    }

    /// Waits for a match: on complete lines at once, on an incomplete line after a pause and at the end.
    async fn expect<S>(&mut self, expectation: &Expectation, stream: &mut S) -> Result<(), Fault>
    where
        S: AsyncRead + Unpin,
    {
        let deadline = self.deadline;
        let mut tries = Tries::default();
        loop {
            let lines = tries.lines(&self.received);
            if self.take_match(expectation, lines) {
                return Ok(());
            }
            if lines > 0 {
                // Matching takes time, and a peer that never stops sending must not block other probes.
                yield_now().await;
            }
            let until =
                if tries.is_all_tried(&self.received) { deadline } else { deadline.min(Instant::now() + PAUSE) };
            match self.receive(stream, until).await {
                Received::More if self.received.len() <= MAX_UNREAD && Instant::now() < deadline => {}
                Received::Nothing if Instant::now() < deadline => {
                    if self.take_match(expectation, tries.all(&self.received)) {
                        return Ok(());
                    }
                }
                end => {
                    if self.take_match(expectation, self.received.len()) {
                        return Ok(());
                    }
                    let expected = format!("a match of `{}`", expectation.pattern.as_str());
                    return Err(self.missing(end, &expected));
                }
            }
        }
    }

    /// Waits for exactly these bytes, in any number of pieces.
    async fn expect_bytes<S>(&mut self, bytes: &[u8], stream: &mut S) -> Result<(), Fault>
    where
        S: AsyncRead + Unpin,
    {
        let mut end = Received::More;
        loop {
            if self.received.starts_with(bytes) {
                self.received.drain(..bytes.len());
                return Ok(());
            }
            if !matches!(end, Received::More) || !bytes.starts_with(&self.received) {
                return Err(self.missing(end, &format!("the bytes \"{}\"", excerpt(bytes))));
            }
            end = self.receive(stream, self.deadline).await;
        }
    }

    /// Sends bytes unchanged.
    async fn send<S: AsyncWrite + Unpin>(&self, bytes: &[u8], stream: &mut S) -> Result<(), Fault> {
        let sent = timeout_at(self.deadline, async {
            stream.write_all(bytes).await?;
            stream.flush().await
        });
        match sent.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => {
                Err(conversation_fault(&error, self.phase, &format!("it to read \"{}\"", excerpt(bytes))))
            }
            Err(_) => {
                let detail = format!("the peer does not read \"{}\"", excerpt(bytes));
                Err(Fault::failure(self.phase, Class::Stalled, detail))
            }
        }
    }

    /// Reads once, no longer than until `until`.
    async fn receive<S: AsyncRead + Unpin>(&mut self, stream: &mut S, until: Instant) -> Received {
        let mut more = [0; 4096];
        match timeout_at(until, stream.read(&mut more)).await {
            Err(_) => Received::Nothing,
            Ok(Ok(0)) => Received::End(None),
            Ok(Ok(length)) => {
                self.received.extend(more.iter().take(length));
                Received::More
            }
            Ok(Err(error)) => Received::End(Some(error)),
        }
    }

    /// Searches for a match in the first `length` received bytes. Consumes everything up to the end of its line.
    fn take_match(&mut self, expectation: &Expectation, length: usize) -> bool {
        let Some(haystack) = self.received.get(..length).filter(|haystack| !haystack.is_empty()) else { return false };
        let Some(groups) = expectation.pattern.groups(haystack) else { return false };
        let whole = groups.first().cloned().flatten().unwrap_or_default();
        if is_behind_last_line(whole.start, haystack) {
            return false;
        }
        let ends_line = haystack.get(whole.clone()).is_some_and(|matched| matched.ends_with(b"\n"));
        let rest = self.received.get(whole.end..).unwrap_or_default();
        let rest_of_line = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |at| at + 1);
        let used = if ends_line { whole.end } else { whole.end + rest_of_line };
        let of_group = |range: Option<Range<usize>>| haystack.get(range?).map(Into::into);
        self.captured = groups.into_iter().map(|range| of_group(range).unwrap_or_default()).collect();
        let labels = expectation
            .labels
            .iter()
            .map(|(name, template)| (name.clone(), label(&self.fill(template))));
        let labels: Vec<_> = labels.collect();
        self.labels.extend(labels);
        self.received.drain(..used);
        true
    }

    /// Returns the bytes of a template, filled with the groups of the last match.
    fn fill(&self, template: &Template) -> Vec<u8> {
        let parts = template.0.iter().map(|part| match part {
            Part::Bytes(bytes) => &**bytes,
            Part::Group(group) => self.captured.get(*group).map_or(&[][..], |captured| captured),
        });
        parts.collect::<Vec<_>>().concat()
    }

    /// Returns the fault if `expected` was not received.
    fn missing(&self, end: Received, expected: &str) -> Fault {
        let received = excerpt(&self.received);
        let unexpected = |received| {
            Fault::failure(self.phase, Class::UnexpectedResponse, format!("expected {expected}, received {received}"))
        };
        match end {
            Received::More if self.received.len() > MAX_UNREAD => {
                unexpected(format!("{MAX_UNREAD} bytes without it, starting with \"{received}\""))
            }
            Received::More => unexpected(format!("\"{received}\"")),
            Received::Nothing if self.received.is_empty() => Fault::stalled(self.phase, expected, 0),
            Received::Nothing => unexpected(format!("\"{received}\" and then nothing")),
            Received::End(_) if !self.received.is_empty() => {
                unexpected(format!("\"{received}\" and then the end of the connection"))
            }
            Received::End(None) => Fault::disconnected(self.phase, expected),
            Received::End(Some(error)) => conversation_fault(&error, self.phase, expected),
        }
    }
}

/// The result of a read.
#[derive(Debug)]
enum Received {
    /// The end of the connection; with the error, unless it was orderly.
    End(Option<io::Error>),
    More,
    /// No bytes in time.
    Nothing,
}

/// The number of received bytes on which an expression was tried, and the sum over all tries.
#[derive(Debug, Default)]
struct Tries {
    tried: usize,
    spent: usize,
}

impl Tries {
    /// Returns the number of received bytes to try now: all complete lines if there is a new one, otherwise zero. Also
    /// zero once [`MAX_SPENT`] is reached, because a peer that sends line by line would cost too much time.
    fn lines(&mut self, received: &[u8]) -> usize {
        let lines = received.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        if lines <= self.tried || self.spent + lines > MAX_SPENT {
            return 0;
        }
        self.spent += lines;
        self.tried = lines;
        lines
    }

    /// Returns the number of all received bytes, to try them.
    fn all(&mut self, received: &[u8]) -> usize {
        self.tried = received.len();
        received.len()
    }

    fn is_all_tried(&self, received: &[u8]) -> bool {
        self.tried == received.len()
    }
}

/// Returns whether a match starts after the last line end, where there is no line: `^$` matches an empty line, not the
/// end.
fn is_behind_last_line(start: usize, haystack: &[u8]) -> bool {
    start == haystack.len() && haystack.ends_with(b"\n")
}

/// Converts bytes to the value of a label.
fn label(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.get(..MAX_LABEL_BYTES).unwrap_or(bytes)).into_owned()
}

/// Pause after which an incomplete line counts as a prompt.
const PAUSE: Duration = Duration::from_millis(100);

/// Maximum number of received bytes that are not consumed.
const MAX_UNREAD: usize = 64 * 1024;

/// Maximum number of bytes on which an expression is tried as they arrive. Then it is tried only after pauses.
const MAX_SPENT: usize = 1 << 20;

/// Maximum number of bytes kept of a captured label. The exposition cuts it further (`peer_text::MAX_LABEL_BYTES`).
const MAX_LABEL_BYTES: usize = 512;

#[cfg(test)]
mod tests;
