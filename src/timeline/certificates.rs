//! Certificates of a peer as text: each certificate of its chain, every fault, labels.
//!
//! All text comes from the peer, so all of it is [`escaped`].

use std::fmt::{self, Display};
use std::net::IpAddr;

use super::styles::Styles;
use super::validity::Validity;
use crate::clock::{Timestamp, Utc};
use crate::outcome::{Certificate, CertificateContent, PeerCertificates};
use crate::peer_text::escaped;
use crate::target::{LabelName, Verify};

/// A certificate chain that displays itself as lines.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chain<'a> {
    pub(super) peer: &'a PeerCertificates,
    /// Effect of its faults on the probe.
    pub(super) verify: Verify,
    /// The address that sent it, if there are several.
    pub(super) address: Option<IpAddr>,
    pub(super) now: Timestamp,
    pub(super) styles: Styles,
}

impl Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let styles = self.styles;
        let of = self.address.map(|address| format!(" of {address}")).unwrap_or_default();
        writeln!(f, "\n{}", styles.heading(format_args!("certificate{of}")))?;
        self.certificate(f, &self.peer.leaf)?;
        line(f, "sha256", self.peer.leaf.fingerprint)?;
        for (position, certificate) in self.peer.intermediates.iter().enumerate() {
            writeln!(f, "{}", styles.heading(format_args!("intermediate {}", position + 1)))?;
            self.certificate(f, certificate)?;
        }
        self.faults(f)
    }
}

impl Chain<'_> {
    fn certificate(&self, f: &mut fmt::Formatter<'_>, certificate: &Certificate) -> fmt::Result {
        let Some(content) = &certificate.content else {
            return line(f, "subject", self.styles.warning("cannot be read"));
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
        let words = validity.in_words();
        match validity {
            Validity::Expired(_) | Validity::NotYet(_) => self.styles.failure(words),
            Validity::Valid(_) => self.styles.success(words),
        }
    }

    fn faults(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let faults = &self.peer.faults;
        if faults.is_empty() {
            return writeln!(f, "{}", self.styles.success("no faults"));
        }
        writeln!(f, "{}", self.styles.heading(if faults.len() == 1 { "fault" } else { "faults" }))?;
        faults.iter().try_for_each(|fault| {
            let (class, detail) = (fault.class.as_str(), escaped(&fault.detail));
            match self.verify {
                Verify::Report => writeln!(f, "  {}, reported only: {detail}", self.styles.warning(class)),
                Verify::Strict => writeln!(f, "  {}: {detail}", self.styles.failure(class)),
            }
        })
    }
}

/// Writes the client certificate, which the service may have requested.
pub(super) fn client(f: &mut fmt::Formatter<'_>, not_after: i64, now: Timestamp, styles: Styles) -> fmt::Result {
    let validity = Validity::at(now, i64::MIN, not_after);
    writeln!(f, "\n{}", styles.heading("client certificate"))?;
    let words = validity.in_words();
    let words = if matches!(validity, Validity::Expired(_)) { styles.failure(words) } else { styles.success(words) };
    line(f, "valid", format_args!("to {} UTC, {words}", Utc::of_seconds(not_after)))
}

/// Writes the labels from a dialogue.
pub(super) fn labels(f: &mut fmt::Formatter<'_>, labels: &[(LabelName, String)], styles: Styles) -> fmt::Result {
    writeln!(f, "\n{}", styles.heading("labels"))?;
    labels
        .iter()
        .try_for_each(|(name, value)| line(f, name.as_str(), escaped(value)))
}

fn line(f: &mut fmt::Formatter<'_>, word: &str, text: impl Display) -> fmt::Result {
    writeln!(f, "  {word:<8} {text}")
}

/// Returns the first names, and the number of further ones.
fn names(content: &CertificateContent) -> String {
    let shown: Vec<_> = content.names.iter().take(SHOWN_NAMES).map(|name| escaped(name)).collect();
    match content.name_count.saturating_sub(shown.len()) {
        0 => shown.join(", "),
        more if shown.is_empty() => format!("{more}, too long to be shown"),
        more => format!("{}, and {more} more", shown.join(", ")),
    }
}

const SHOWN_NAMES: usize = 5;
