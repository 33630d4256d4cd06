//! Steps on an open connection, carried out: what to send is sent byte for byte, what must come is awaited.
//!
//! An expression is tried on whole lines as soon as they are there, and on an unfinished line once the peer says no
//! more: a prompt has no line end. Bytes that no step has used stay for the next.

use std::io;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use regex::bytes::Captures;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::task::yield_now;
use tokio::time::{Instant, timeout_at};

use crate::outcome::{Class, Fault, Phase};
use crate::peer_text::excerpt;
use crate::probe::tls::alerts::conversation_fault;
use crate::target::{Dialogue, Expectation, LabelName, Part, Step, Template};

/// A conversation under way: what was heard and not yet used, what the last match captured, the labels so far.
#[derive(Debug)]
pub(in crate::probe) struct Talk {
    deadline: Instant,
    /// Phase of the steps that run now.
    phase: Phase,
    heard: Vec<u8>,
    captured: Vec<Box<[u8]>>,
    labels: Vec<(LabelName, String)>,
}

impl Talk {
    /// Without a word so far. Everything ends by `deadline`.
    pub(in crate::probe) fn new(deadline: Instant) -> Self {
        Self { deadline, phase: Phase::Protocol, heard: Vec::new(), captured: Vec::new(), labels: Vec::new() }
    }

    /// Goes through the steps of a phase.
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

    /// Takes what was read elsewhere.
    pub(in crate::probe) fn hear(&mut self, bytes: &[u8]) {
        self.heard.extend_from_slice(bytes);
    }

    /// Gives away what was heard and belongs to no step yet.
    pub(in crate::probe) fn take_heard(&mut self) -> Vec<u8> {
        mem::take(&mut self.heard)
    }

    /// How many bytes were heard and belong to no step yet.
    pub(in crate::probe) const fn unread(&self) -> usize {
        self.heard.len()
    }

    /// The labels that the steps gave, where they give any.
    pub(in crate::probe) fn labels(&mut self) -> Option<Arc<[(LabelName, String)]>> {
        (!self.labels.is_empty()).then(|| mem::take(&mut self.labels).into())
    }

    /// Awaits a match: on whole lines at once, on what is unfinished after a pause and at the end.
    async fn expect<S>(&mut self, expectation: &Expectation, stream: &mut S) -> Result<(), Fault>
    where
        S: AsyncRead + Unpin,
    {
        let deadline = self.deadline;
        let mut tries = Tries::default();
        loop {
            let lines = tries.lines(&self.heard);
            if self.take_match(expectation, lines) {
                return Ok(());
            }
            if lines > 0 {
                // Trying takes time, and other probes wait for theirs while a peer always has more to say.
                yield_now().await;
            }
            let until = if tries.is_all_tried(&self.heard) { deadline } else { deadline.min(Instant::now() + PAUSE) };
            match self.listen(stream, until).await {
                Heard::More if self.heard.len() <= MAX_UNREAD && Instant::now() < deadline => {}
                Heard::Nothing if Instant::now() < deadline => {
                    if self.take_match(expectation, tries.all(&self.heard)) {
                        return Ok(());
                    }
                }
                end => {
                    if self.take_match(expectation, self.heard.len()) {
                        return Ok(());
                    }
                    let expected = format!("a match of `{}`", expectation.pattern.regex().as_str());
                    return Err(self.disappointed(end, &expected));
                }
            }
        }
    }

    /// Awaits exactly these bytes, in however many pieces they come.
    async fn expect_bytes<S>(&mut self, bytes: &[u8], stream: &mut S) -> Result<(), Fault>
    where
        S: AsyncRead + Unpin,
    {
        let mut end = Heard::More;
        loop {
            if self.heard.starts_with(bytes) {
                self.heard.drain(..bytes.len());
                return Ok(());
            }
            if !matches!(end, Heard::More) || !bytes.starts_with(&self.heard) {
                return Err(self.disappointed(end, &format!("the bytes \"{}\"", excerpt(bytes))));
            }
            end = self.listen(stream, self.deadline).await;
        }
    }

    /// Sends bytes as they are.
    async fn send<S: AsyncWrite + Unpin>(&self, bytes: &[u8], stream: &mut S) -> Result<(), Fault> {
        let sent = timeout_at(self.deadline, async {
            stream.write_all(bytes).await?;
            stream.flush().await
        });
        match sent.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(conversation_fault(&error, self.phase, &format!("taking \"{}\"", excerpt(bytes)))),
            Err(_) => {
                let detail = format!("the peer does not take \"{}\"", excerpt(bytes));
                Err(Fault::failure(self.phase, Class::Stalled, detail))
            }
        }
    }

    /// Reads once, until a moment at the latest.
    async fn listen<S: AsyncRead + Unpin>(&mut self, stream: &mut S, until: Instant) -> Heard {
        let mut more = [0; 4096];
        match timeout_at(until, stream.read(&mut more)).await {
            Err(_) => Heard::Nothing,
            Ok(Ok(0)) => Heard::End(None),
            Ok(Ok(length)) => {
                self.heard.extend(more.iter().take(length));
                Heard::More
            }
            Ok(Err(error)) => Heard::End(Some(error)),
        }
    }

    /// Looks for a match in the first bytes of what was heard; takes it and all before it away, and the rest of its line.
    fn take_match(&mut self, expectation: &Expectation, length: usize) -> bool {
        let Some(haystack) = self.heard.get(..length).filter(|haystack| !haystack.is_empty()) else { return false };
        let Some(captures) = expectation.pattern.regex().captures(haystack) else { return false };
        let Some(whole) = captures.get(0).filter(|whole| !is_behind_last_line(whole.start(), haystack)) else {
            return false;
        };
        let ends_line = !whole.is_empty() && whole.as_bytes().ends_with(b"\n");
        let rest = self.heard.get(whole.end()..).unwrap_or_default();
        let rest_of_line = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |at| at + 1);
        let used = if ends_line { whole.end() } else { whole.end() + rest_of_line };
        self.captured = groups(&captures);
        let labels = expectation.labels.iter().map(|(name, template)| (name.clone(), label(&self.fill(template))));
        let labels: Vec<_> = labels.collect();
        self.labels.extend(labels);
        self.heard.drain(..used);
        true
    }

    /// The bytes of a template, with what the last match captured.
    fn fill(&self, template: &Template) -> Vec<u8> {
        let parts = template.0.iter().map(|part| match part {
            Part::Bytes(bytes) => &**bytes,
            Part::Group(group) => self.captured.get(*group).map_or(&[][..], |captured| captured),
        });
        parts.collect::<Vec<_>>().concat()
    }

    /// What it means that something did not come.
    fn disappointed(&self, end: Heard, expected: &str) -> Fault {
        let heard = excerpt(&self.heard);
        let unexpected =
            |but| Fault::failure(self.phase, Class::UnexpectedResponse, format!("expected {expected}, {but}"));
        match end {
            Heard::More if self.heard.len() > MAX_UNREAD => {
                unexpected(format!("but {MAX_UNREAD} bytes came without it, at first \"{heard}\""))
            }
            Heard::More => unexpected(format!("but \"{heard}\" came")),
            Heard::Nothing if self.heard.is_empty() => Fault::stalled(self.phase, expected),
            Heard::Nothing => unexpected(format!("but \"{heard}\" came, and then nothing more")),
            Heard::End(_) if !self.heard.is_empty() => unexpected(format!("but \"{heard}\" came, and then the end")),
            Heard::End(None) => Fault::disconnected(self.phase, expected),
            Heard::End(Some(error)) => conversation_fault(&error, self.phase, expected),
        }
    }
}

/// What came of listening.
#[derive(Debug)]
enum Heard {
    /// The peer's end, orderly or by an error.
    End(Option<io::Error>),
    More,
    /// Nothing in time.
    Nothing,
}

/// How far an expression was tried, and what trying has cost.
#[derive(Debug, Default)]
struct Tries {
    tried: usize,
    spent: usize,
}

impl Tries {
    /// How much of what was heard is to be tried now: the whole lines, if there are new ones. Zero where there are none,
    /// or where so much was tried already that a peer that sends line by line would cost too much time.
    fn lines(&mut self, heard: &[u8]) -> usize {
        let lines = heard.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        if lines <= self.tried || self.spent + lines > MAX_SPENT {
            return 0;
        }
        self.spent += lines;
        self.tried = lines;
        lines
    }

    /// All that was heard.
    fn all(&mut self, heard: &[u8]) -> usize {
        self.tried = heard.len();
        heard.len()
    }

    fn is_all_tried(&self, heard: &[u8]) -> bool {
        self.tried == heard.len()
    }
}

/// Whether a match lies behind the last line end, where no line has begun: `^$` is a blank line, not the end.
fn is_behind_last_line(start: usize, haystack: &[u8]) -> bool {
    start == haystack.len() && haystack.ends_with(b"\n")
}

fn groups(captures: &Captures<'_>) -> Vec<Box<[u8]>> {
    captures.iter().map(|group| group.map_or_else(Box::default, |group| group.as_bytes().into())).collect()
}

/// A label's value: what came, as text.
fn label(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.get(..MAX_LABEL_BYTES).unwrap_or(bytes)).into_owned()
}

/// After this silence an unfinished line is taken for a prompt.
const PAUSE: Duration = Duration::from_millis(100);

/// Most bytes that wait for a match.
const MAX_UNREAD: usize = 64 * 1024;

/// Most bytes that one expression is tried on as they come; then it is tried after pauses alone.
const MAX_SPENT: usize = 1 << 20;

/// Longer than any label that is shown.
const MAX_LABEL_BYTES: usize = 512;

#[cfg(test)]
mod tests;
