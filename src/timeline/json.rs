//! An outcome as JSON, for scripts. Durations are in seconds; text of a peer is complete and unchanged.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;

use data_encoding::HEXLOWER;
use serde::Serialize;

use self::facts::{FactsDocument, Moment};
use crate::outcome::{Attempt, Fault, Outcome, Timings, Transcript};
use crate::peer_text::is_invisible;
use crate::target::Target;

mod facts;

/// The document.
#[derive(Debug, Serialize)]
pub(crate) struct Document<'a> {
    target: &'a str,
    url: String,
    #[serde(flatten)]
    result: ResultDocument<'a>,
    duration_seconds: f64,
    phase_duration_seconds: BTreeMap<&'static str, f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resolved_addresses: Option<&'a [IpAddr]>,
    #[serde(flatten)]
    facts: FactsDocument<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_certificate: Option<ClientCertificateDocument>,
    attempts: Vec<AttemptDocument<'a>>,
}

#[derive(Debug, Serialize)]
struct AttemptDocument<'a> {
    ip: IpAddr,
    #[serde(flatten)]
    result: ResultDocument<'a>,
    duration_seconds: f64,
    phase_duration_seconds: BTreeMap<&'static str, f64>,
    tcp_syn_retransmits: u32,
    #[serde(flatten)]
    facts: FactsDocument<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    transcript: Option<TranscriptDocument>,
}

#[derive(Debug, Serialize)]
struct TranscriptDocument {
    messages: Vec<MessageDocument>,
    omitted_bytes: usize,
}

#[derive(Debug, Serialize)]
struct MessageDocument {
    phase: &'static str,
    direction: &'static str,
    /// Time since the connection was opened.
    at_seconds: f64,
    /// Two hexadecimal digits per byte.
    hex: String,
}

#[derive(Debug, Serialize)]
struct ClientCertificateDocument {
    not_after: String,
    not_after_timestamp_seconds: i64,
}

#[derive(Debug, Serialize)]
#[serde(tag = "result", rename_all = "snake_case")]
enum ResultDocument<'a> {
    Failed { phase: &'static str, class: &'static str, detail: &'a str },
    Good,
    LocalFault { reason: &'static str, detail: &'a str },
}

impl<'a> Document<'a> {
    /// Creates the document of an outcome.
    pub(crate) fn new(target: &'a Target, outcome: &'a Outcome) -> Self {
        Self {
            target: target.name.as_str(),
            url: target.endpoint.to_string(),
            result: (&outcome.result).into(),
            duration_seconds: outcome.duration.as_secs_f64(),
            phase_duration_seconds: seconds(&outcome.timings),
            resolved_addresses: outcome.resolution.as_ref().map(|resolution| resolution.addresses.as_slice()),
            facts: FactsDocument::new(target, &outcome.facts),
            client_certificate: outcome.client_certificate_not_after.map(|not_after| {
                let Moment { date, seconds } = Moment::of(not_after);
                ClientCertificateDocument { not_after: date, not_after_timestamp_seconds: seconds }
            }),
            attempts: outcome
                .attempts
                .iter()
                .map(|attempt| AttemptDocument::new(target, attempt))
                .collect(),
        }
    }

    /// Returns the document as text. Characters that could control a terminal are escaped.
    pub(crate) fn to_text(&self) -> serde_json::Result<String> {
        let json = serde_json::to_string_pretty(self)?;
        let mut text = String::with_capacity(json.len() + 1);
        for character in json.chars() {
            // Outside strings, the only invisible characters are the line breaks of the document.
            if is_invisible(character) && character != '\n' {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    write!(text, "\\u{unit:04x}").expect("a String must take what is written");
                }
            } else {
                text.push(character);
            }
        }
        text.push('\n');
        Ok(text)
    }
}

impl<'a> AttemptDocument<'a> {
    fn new(target: &Target, attempt: &'a Attempt) -> Self {
        Self {
            ip: attempt.address,
            result: (&attempt.result).into(),
            duration_seconds: attempt.duration.as_secs_f64(),
            phase_duration_seconds: seconds(&attempt.timings),
            tcp_syn_retransmits: attempt.syn_retransmits,
            facts: FactsDocument::new(target, &attempt.facts),
            transcript: attempt.transcript.as_ref().map(Into::into),
        }
    }
}

impl From<&Transcript> for TranscriptDocument {
    fn from(transcript: &Transcript) -> Self {
        let messages = transcript.messages.iter().map(|message| MessageDocument {
            phase: message.phase.as_str(),
            direction: message.direction.as_str(),
            at_seconds: message.at.as_secs_f64(),
            hex: HEXLOWER.encode(&message.bytes),
        });
        Self { messages: messages.collect(), omitted_bytes: transcript.omitted }
    }
}

impl<'a> From<&'a Result<(), Fault>> for ResultDocument<'a> {
    fn from(result: &'a Result<(), Fault>) -> Self {
        match result {
            Ok(()) => Self::Good,
            Err(Fault::Failure(failure)) => {
                Self::Failed { phase: failure.phase.as_str(), class: failure.class.as_str(), detail: &failure.detail }
            }
            Err(Fault::LocalFault(fault)) => Self::LocalFault { reason: fault.reason.as_str(), detail: &fault.detail },
        }
    }
}

fn seconds(timings: &Timings) -> BTreeMap<&'static str, f64> {
    timings
        .iter()
        .map(|(phase, duration)| (phase.as_str(), duration.as_secs_f64()))
        .collect()
}

#[cfg(test)]
mod tests;
