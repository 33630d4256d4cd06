//! Metrics of TLS sessions, of the certificates of peers and of client certificates.
//!
//! [`label_value`] cuts and cleans every text from a peer. The names in a certificate are not label values.

use super::family::{Family, TargetFamily};
use super::sample::{OwnLabel, Value};
use crate::board::Row;
use crate::outcome::{Certificate, CertificateContent, Session};
use crate::peer_text::label_value;

pub(super) const TLS_INFO: TargetFamily = TargetFamily {
    family: Family::gauge("portprobe_tls_info", "Parameters of the last TLS session").by(&[
        "version",
        "cipher",
        "key_exchange",
        "alpn",
    ]),
    read: |row, reader| {
        if let Some(session) = row.session() {
            reader.labelled(session_labels(session), Value::Count(1));
        }
    },
};

pub(super) const CERT_NOT_AFTER: TargetFamily = TargetFamily {
    family: Family::gauge(
        "portprobe_cert_not_after_timestamp_seconds",
        "Expiry of the last certificate, regardless of faults and later failures",
    ),
    read: |row, reader| reader.maybe(leaf_content(row).map(|content| seconds(content.not_after))),
};

pub(super) const CERT_NOT_BEFORE: TargetFamily = TargetFamily {
    family: Family::gauge(
        "portprobe_cert_not_before_timestamp_seconds",
        "Start of the validity of the last certificate",
    ),
    read: |row, reader| reader.maybe(leaf_content(row).map(|content| seconds(content.not_before))),
};

pub(super) const CERT_CHAIN_NOT_AFTER: TargetFamily = TargetFamily {
    family: Family::gauge(
        "portprobe_cert_chain_not_after_timestamp_seconds",
        "Earliest expiry on the verified path excluding its root, or in the chain as sent if no path was verified",
    ),
    read: |row, reader| {
        let not_after = row.peer_certificates().and_then(|peer| peer.chain_not_after);
        reader.maybe(not_after.map(seconds));
    },
};

pub(super) const CERT_VERIFIED: TargetFamily = TargetFamily {
    family: Family::gauge("portprobe_cert_verified", "Whether the last certificate had no fault"),
    read: |row, reader| reader.maybe(row.peer_certificates().map(|peer| peer.faults.is_empty().into())),
};

pub(super) const CERT_FAULT: TargetFamily = TargetFamily {
    family: Family::gauge(
        "portprobe_cert_fault",
        "1 for each fault of the last certificate, in both modes of tls.verify",
    )
    .by(&["class"]),
    read: |row, reader| {
        for fault in row.peer_certificates().iter().flat_map(|peer| &peer.faults) {
            reader.labelled(vec![OwnLabel::fixed("class", fault.class.as_str())], Value::Count(1));
        }
    },
};

pub(super) const CERT_INFO: TargetFamily = TargetFamily {
    family: Family::gauge(
        "portprobe_cert_info",
        "Content of the last certificate; only the fingerprint if it cannot be parsed",
    )
    .by(&["subject", "issuer", "serial", "fingerprint_sha256", "key", "signature"]),
    read: |row, reader| {
        if let Some(peer) = row.peer_certificates() {
            reader.labelled(certificate_labels(&peer.leaf), Value::Count(1));
        }
    },
};

pub(super) const CERT_CHANGES: TargetFamily = TargetFamily {
    family: Family::counter(
        "portprobe_cert_changes_total",
        "Changes to a certificate that was not among the last 8 seen",
    ),
    read: |row, reader| reader.maybe(row.certificate_changes().map(Value::Count)),
};

pub(super) const CLIENT_CERT_NOT_AFTER: TargetFamily = TargetFamily {
    family: Family::gauge("portprobe_client_cert_not_after_timestamp_seconds", "Expiry of the client certificate"),
    read: |row, reader| reader.maybe(row.client_certificate_not_after().map(seconds)),
};

fn session_labels(session: &Session) -> Vec<OwnLabel> {
    vec![
        OwnLabel::fixed("version", session.version),
        OwnLabel::fixed("cipher", session.cipher),
        OwnLabel::fixed("key_exchange", session.key_exchange),
        OwnLabel::new("alpn", label_value(session.alpn.as_deref().unwrap_or_default())),
    ]
}

/// Returns the labels of a certificate. One that cannot be parsed has only its fingerprint, because empty labels are
/// not written.
fn certificate_labels(leaf: &Certificate) -> Vec<OwnLabel> {
    let label = |name, text: fn(&CertificateContent) -> &str| {
        OwnLabel::new(
            name,
            leaf.content
                .as_ref()
                .map(|content| label_value(text(content)))
                .unwrap_or_default(),
        )
    };
    vec![
        label("subject", |content| &content.subject),
        label("issuer", |content| &content.issuer),
        label("serial", |content| &content.serial),
        OwnLabel::new("fingerprint_sha256", leaf.fingerprint.to_string()),
        label("key", |content| &content.key),
        label("signature", |content| &content.signature),
    ]
}

fn leaf_content(row: &Row) -> Option<&CertificateContent> {
    row.peer_certificates()?.leaf.content.as_ref()
}

/// Returns seconds since 1970 as a value. A float represents the years 0 to 9999 exactly.
const fn seconds(seconds: i64) -> Value {
    Value::Real(seconds as f64)
}
