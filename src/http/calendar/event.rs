//! The event of a certificate: when it expires, what it is, which targets present it, and when to remind of it.

use std::fmt;
use std::sync::Arc;

use super::icalendar::{Calendar, DateTime};
use crate::http::path_name::encoded;
use crate::outcome::CertificateContent;
use crate::peer_text::escaped;
use crate::target::{Sha256Digest, Target};

/// The event of one certificate.
#[derive(Debug)]
pub(super) struct Event<'a> {
    pub(super) content: &'a CertificateContent,
    pub(super) fingerprint: Sha256Digest,
    pub(super) kind: Kind,
    /// At least one.
    pub(super) targets: &'a [Arc<Target>],
    /// The external URL, or nothing.
    pub(super) base: &'a str,
}

/// The place of a certificate in its chain.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// A certificate of a CA.
    Intermediate,
    /// The certificate of a service.
    Leaf,
}

impl Event<'_> {
    pub(super) fn write(&self, calendar: &mut Calendar) {
        let summary = self.summary();
        calendar.begin("VEVENT");
        calendar.raw("UID", &format!("{}@portprobe", self.fingerprint));
        // The same in each response: the information is as old as the certificate.
        calendar.raw("DTSTAMP", &DateTime(self.content.not_before).to_string());
        calendar.raw("DTSTART", &DateTime(self.content.not_after).to_string());
        calendar.text("SUMMARY", &summary);
        calendar.text("DESCRIPTION", &self.description());
        if let Some(target) = self.targets.first().filter(|_| !self.base.is_empty()) {
            calendar.raw("URL", &format!("{}targets/{}", self.base, encoded(target.name.as_str())));
        }
        calendar.raw("TRANSP", "TRANSPARENT");
        for before in self.reminders() {
            calendar.begin("VALARM");
            calendar.raw("ACTION", "DISPLAY");
            calendar.text("DESCRIPTION", &summary);
            calendar.raw("TRIGGER", &format!("-{}", Lead(before)));
            calendar.end("VALARM");
        }
        calendar.end("VEVENT");
    }

    fn summary(&self) -> String {
        let what = match self.kind {
            Kind::Intermediate => "Intermediate certificate",
            Kind::Leaf => "Certificate",
        };
        let first = self
            .targets
            .first()
            .map(|target| escaped(target.name.as_str()))
            .unwrap_or_default();
        match self.targets.len() {
            0 | 1 => format!("{what} of {first} expires"),
            2 => format!("{what} of {first} and 1 more target expires"),
            count => format!("{what} of {first} and {} more targets expires", count - 1),
        }
    }

    fn description(&self) -> String {
        let CertificateContent { subject, issuer, serial, .. } = self.content;
        let mut lines = vec![
            format!("Subject: {}", escaped(subject)),
            format!("Issuer: {}", escaped(issuer)),
            format!("Serial: {serial}"),
            format!("SHA-256: {}", self.fingerprint),
            "Targets:".to_owned(),
        ];
        lines.extend(
            self.targets
                .iter()
                .take(MAX_TARGETS)
                .map(|target| escaped(target.name.as_str())),
        );
        let more = self.targets.len().saturating_sub(MAX_TARGETS);
        if more > 0 {
            lines.push(format!("and {more} more"));
        }
        lines.join("\n")
    }

    /// Returns the seconds before the expiry at which to remind of it, as the alerts do: with 30 and with 15 percent of the
    /// lifetime left, at most a month and a week before.
    fn reminders(&self) -> Vec<i64> {
        let lifetime = self.content.not_after.saturating_sub(self.content.not_before);
        let before = [(lifetime / 10 * 3).min(30 * DAY), (lifetime / 20 * 3).min(7 * DAY)];
        before.into_iter().filter(|before| *before >= MINUTE).collect()
    }
}

/// A duration in seconds as in RFC 5545 section 3.3.6, in its greatest unit.
struct Lead(i64);

impl fmt::Display for Lead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            seconds @ DAY.. => write!(f, "P{}D", seconds / DAY),
            seconds @ HOUR..DAY => write!(f, "PT{}H", seconds / HOUR),
            seconds => write!(f, "PT{}M", seconds / MINUTE),
        }
    }
}

const DAY: i64 = 24 * HOUR;

const HOUR: i64 = 60 * MINUTE;

const MINUTE: i64 = 60;

/// Maximum number of targets in a description.
const MAX_TARGETS: usize = 50;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reminders_depend_on_the_lifetime() {
        for (seconds, expected) in [
            (398 * DAY, &["P30D", "P7D"][..]),
            (90 * DAY, &["P27D", "P7D"]),
            (7 * DAY, &["P2D", "P1D"]),
            (DAY, &["PT7H", "PT3H"]),
            (HOUR, &["PT18M", "PT9M"]),
            (5 * MINUTE, &["PT1M"]),
            (0, &[]),
            (-DAY, &[]),
        ] {
            let content = CertificateContent {
                subject: String::new(),
                issuer: String::new(),
                serial: String::new(),
                not_before: 1_000_000_000,
                not_after: 1_000_000_000 + seconds,
                key: String::new(),
                signature: String::new(),
                names: Vec::new(),
                name_count: 0,
                public_key: Sha256Digest::new([0; 32]),
                is_self_issued: false,
            };
            let fingerprint = Sha256Digest::new([0; 32]);
            let event = Event { content: &content, fingerprint, kind: Kind::Leaf, targets: &[], base: "" };
            let reminders: Vec<_> = event.reminders().into_iter().map(|before| Lead(before).to_string()).collect();
            assert_eq!(reminders, expected, "{seconds}");
        }
    }
}
