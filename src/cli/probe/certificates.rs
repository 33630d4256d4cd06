//! What a peer showed of itself, as lines for a person: each certificate of its chain, every fault, labels.
//!
//! All of it is the peer's own text, so all of it goes through [`escaped`].

use std::fmt::{self, Display};
use std::net::IpAddr;

use super::styles::{Ink, Palette};
use super::validity::Validity;
use crate::clock::{Timestamp, Utc};
use crate::outcome::{Certificate, CertificateContent, PeerCertificates};
use crate::peer_text::escaped;
use crate::target::{LabelName, Verify};

/// A chain of certificates that displays itself as lines.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chain<'a> {
    pub(super) peer: &'a PeerCertificates,
    /// What its faults mean.
    pub(super) verify: Verify,
    /// Whose it is, where several addresses could have shown one.
    pub(super) address: Option<IpAddr>,
    pub(super) now: Timestamp,
    pub(super) palette: Palette,
}

impl Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let palette = self.palette;
        let of = self.address.map(|address| format!(" of {address}")).unwrap_or_default();
        writeln!(f, "\n{}", palette.paint(Ink::Bold, format_args!("certificate{of}")))?;
        self.certificate(f, &self.peer.leaf)?;
        line(f, "sha256", self.peer.leaf.fingerprint)?;
        for (position, certificate) in self.peer.intermediates.iter().enumerate() {
            writeln!(f, "{}", palette.paint(Ink::Bold, format_args!("sent behind it, {}", position + 1)))?;
            self.certificate(f, certificate)?;
        }
        self.faults(f)
    }
}

impl Chain<'_> {
    fn certificate(&self, f: &mut fmt::Formatter<'_>, certificate: &Certificate) -> fmt::Result {
        let Some(content) = &certificate.content else {
            return line(f, "subject", self.palette.paint(Ink::Yellow, "cannot be read"));
        };
        line(f, "subject", escaped(&content.subject))?;
        line(f, "issuer", escaped(&content.issuer))?;
        if content.name_count > 0 {
            line(f, "names", names(content))?;
        }
        let (from, to) = (Utc::of_seconds(content.not_before), Utc::of_seconds(content.not_after));
        line(f, "valid", format_args!("{from} to {to} UTC, {}", self.validity(content)))?;
        line(f, "key", format_args!("{}, signed with {}", escaped(&content.key), escaped(&content.signature)))?;
        line(f, "serial", escaped(&content.serial))
    }

    fn validity(&self, content: &CertificateContent) -> String {
        let validity = Validity::at(self.now, content.not_before, content.not_after);
        let ink = match validity {
            Validity::Expired(_) | Validity::NotYet(_) => Ink::Red,
            Validity::Valid(_) => Ink::Green,
        };
        self.palette.paint(ink, validity.in_words())
    }

    fn faults(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let faults = &self.peer.faults;
        if faults.is_empty() {
            return writeln!(f, "{}", self.palette.paint(Ink::Green, "no fault"));
        }
        let (ink, reported) = match self.verify {
            Verify::Report => (Ink::Yellow, ", reported only"),
            Verify::Strict => (Ink::Red, ""),
        };
        writeln!(f, "{}", self.palette.paint(Ink::Bold, if faults.len() == 1 { "fault" } else { "faults" }))?;
        faults.iter().try_for_each(|fault| {
            let class = self.palette.paint(ink, fault.class.as_str());
            writeln!(f, "  {class}{reported}: {}", escaped(&fault.detail))
        })
    }
}

/// The own certificate, that the service may have asked for.
pub(super) fn own(f: &mut fmt::Formatter<'_>, not_after: i64, now: Timestamp, palette: Palette) -> fmt::Result {
    let validity = Validity::at(now, i64::MIN, not_after);
    let ink = if matches!(validity, Validity::Expired(_)) { Ink::Red } else { Ink::Green };
    writeln!(f, "\n{}", palette.paint(Ink::Bold, "own certificate"))?;
    let words = palette.paint(ink, validity.in_words());
    line(f, "valid", format_args!("to {} UTC, {words}", Utc::of_seconds(not_after)))
}

/// The labels that a dialogue gave.
pub(super) fn labels(f: &mut fmt::Formatter<'_>, labels: &[(LabelName, String)], palette: Palette) -> fmt::Result {
    writeln!(f, "\n{}", palette.paint(Ink::Bold, "labels"))?;
    labels.iter().try_for_each(|(name, value)| line(f, name.as_str(), escaped(value)))
}

fn line(f: &mut fmt::Formatter<'_>, word: &str, text: impl Display) -> fmt::Result {
    writeln!(f, "  {word:<8} {text}")
}

/// The first names, and how many more there are.
fn names(content: &CertificateContent) -> String {
    let shown: Vec<_> = content.names.iter().take(SHOWN_NAMES).map(|name| escaped(name)).collect();
    match content.name_count.saturating_sub(shown.len()) {
        0 => shown.join(", "),
        more if shown.is_empty() => format!("{more}, too long to be shown"),
        more => format!("{}, and {more} more", shown.join(", ")),
    }
}

const SHOWN_NAMES: usize = 5;
