//! Secrets in the transcript of a probe: values that `/config` hides, too.
//!
//! Sent bytes are hidden altogether if they contain a secret, because a protocol may encode it in any way. In received
//! bytes, secrets are hidden where a peer repeats them.

use crate::files::header_values::HeaderValues;
use crate::outcome::{Direction, Message, Outcome};
use crate::target::{Application, Dialogue, Part, Step, Target};

/// The secrets of a target.
#[derive(Debug)]
pub(super) struct Secrets(Vec<Vec<u8>>);

impl Secrets {
    /// Collects the values of headers and of the query, and the bytes of `send` steps.
    pub(super) fn of(target: &Target, header_values: &HeaderValues) -> Self {
        let mut secrets = Self(Vec::new());
        let probe_kind = &target.settings.probe_kind;
        if let Some(http) = probe_kind.http() {
            let files = http.headers_files.iter().filter_map(|(_, file)| header_values.value(file));
            let values = http.headers.iter().map(|(_, value)| value.clone()).chain(files);
            secrets.0.extend(values.map(|value| value.as_bytes().to_vec()));
        }
        let query = target.endpoint.path.as_deref().and_then(|path| path.split_once('?'));
        let parts = query.into_iter().flat_map(|(_, query)| query.split('&'));
        secrets
            .0
            .extend(parts.map(|part| part.split_once('=').map_or(part, |(_, value)| value).into()));
        let upgrade = probe_kind.tls().map(|tls| &tls.upgrade);
        for application in upgrade.into_iter().chain(probe_kind.application()) {
            if let Application::Dialogue(dialogue) = application {
                secrets.add_sent(dialogue);
            }
        }
        secrets.0.retain(|secret| !secret.is_empty());
        secrets
    }

    fn add_sent(&mut self, dialogue: &Dialogue) {
        let templates = dialogue.0.iter().filter_map(|step| match step {
            Step::Send(template) => Some(template),
            Step::Expect(_) | Step::ExpectBytes(_) => None,
        });
        let parts = templates.flat_map(|template| &template.0).filter_map(|part| match part {
            Part::Bytes(bytes) => Some(bytes.trim_ascii().to_vec()),
            Part::Group(_) => None,
        });
        self.0.extend(parts);
    }

    /// Hides the secrets in the transcripts of an outcome.
    pub(super) fn hidden(&self, mut outcome: Outcome) -> Outcome {
        if self.0.is_empty() {
            return outcome;
        }
        let transcripts = outcome.attempts.iter_mut().filter_map(|attempt| attempt.transcript.as_mut());
        transcripts
            .flat_map(|transcript| &mut transcript.messages)
            .for_each(|message| self.hide(message));
        outcome
    }

    fn hide(&self, message: &mut Message) {
        match message.direction {
            Direction::Received => {
                let long = self.0.iter().filter(|secret| secret.len() >= MIN_BYTES);
                long.for_each(|secret| mask_each(&mut message.bytes, secret));
            }
            Direction::Sent => message.bytes.fill(MASK),
        }
    }
}

/// Masks each occurrence of a secret, which is not empty.
fn mask_each(bytes: &mut [u8], secret: &[u8]) {
    let mut rest = bytes;
    while let Some(at) = rest.windows(secret.len()).position(|window| window == secret) {
        let (_, found) = rest.split_at_mut(at);
        let (found, after) = found.split_at_mut(secret.len());
        found.fill(MASK);
        rest = after;
    }
}

/// Shorter texts occur in any response.
const MIN_BYTES: usize = 4;

const MASK: u8 = b'*';

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::outcome::Phase;

    fn message(direction: Direction, bytes: &[u8]) -> Message {
        Message { phase: Phase::Protocol, direction, at: Duration::ZERO, bytes: bytes.into() }
    }

    #[test]
    fn repeated_secrets_are_hidden() {
        let secrets = Secrets(vec![b"s3cret".to_vec(), b"a".to_vec()]);
        for (direction, bytes, hidden) in [
            (Direction::Received, &b"s3cret is not s3cret, but s3cre"[..], &b"****** is not ******, but s3cre"[..]),
            (Direction::Received, b"aaa", b"aaa"),
            (Direction::Received, b"", b""),
            (Direction::Sent, b"GET /", b"*****"),
        ] {
            let mut message = message(direction, bytes);
            secrets.hide(&mut message);
            assert_eq!(&*message.bytes, hidden, "{}", message.bytes.escape_ascii());
        }
    }
}
