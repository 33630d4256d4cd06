//! The metrics of TLS sessions and certificates, those of peers as well as the client certificate.
//!
//! Every text of a peer passes through [`label_value`]. The names that a certificate is for are not labels.

use super::family::{Family, TargetFamily};
use super::sample::{OwnLabel, Value};
use crate::board::Row;
use crate::outcome::{Certificate, CertificateContent, Session};
use crate::peer_text::label_value;

pub(super) const TLS_INFO: TargetFamily = TargetFamily {
    family: Family::gauge("portprobe_tls_info", "1, with what the last TLS handshake agreed on").by(&[
        "version",
        "cipher",
        "key_exchange",
        "alpn",
    ]),
    read: |row, reader| {
        if let Some(session) = row.session() {
            reader.labelled(row, session_labels(session), Value::Count(1));
        }
    },
};

pub(super) const CERT_NOT_AFTER: TargetFamily = TargetFamily {
    family: Family::gauge(
        "portprobe_cert_not_after_timestamp_seconds",
        "When the certificate last seen expires, whatever its faults and whatever failed since",
    ),
    read: |row, reader| reader.maybe(row, leaf_content(row).map(|content| seconds(content.not_after))),
};

pub(super) const CERT_NOT_BEFORE: TargetFamily = TargetFamily {
    family: Family::gauge(
        "portprobe_cert_not_before_timestamp_seconds",
        "From when on the certificate last seen is valid",
    ),
    read: |row, reader| reader.maybe(row, leaf_content(row).map(|content| seconds(content.not_before))),
};

pub(super) const CERT_CHAIN_NOT_AFTER: TargetFamily = TargetFamily {
    family: Family::gauge(
        "portprobe_cert_chain_not_after_timestamp_seconds",
        "The earliest expiry on the verified path without its root, or in the chain as sent where none verified",
    ),
    read: |row, reader| {
        let not_after = row.peer_certificates().and_then(|peer| peer.chain_not_after);
        reader.maybe(row, not_after.map(seconds));
    },
};

pub(super) const CERT_VERIFIED: TargetFamily = TargetFamily {
    family: Family::gauge("portprobe_cert_verified", "Whether the certificate last seen had no fault"),
    read: |row, reader| reader.maybe(row, row.peer_certificates().map(|peer| peer.faults.is_empty().into())),
};

pub(super) const CERT_FAULT: TargetFamily = TargetFamily {
    family: Family::gauge(
        "portprobe_cert_fault",
        "1 for each fault of the certificate last seen, whether faults fail the probe or not",
    )
    .by(&["class"]),
    read: |row, reader| {
        for fault in row.peer_certificates().iter().flat_map(|peer| &peer.faults) {
            reader.labelled(row, vec![OwnLabel::fixed("class", fault.class.as_str())], Value::Count(1));
        }
    },
};

pub(super) const CERT_INFO: TargetFamily = TargetFamily {
    family: Family::gauge(
        "portprobe_cert_info",
        "1, with what the certificate last seen says; only its fingerprint where it cannot be read",
    )
    .by(&["subject", "issuer", "serial", "fingerprint_sha256", "key", "signature"]),
    read: |row, reader| {
        if let Some(peer) = row.peer_certificates() {
            reader.labelled(row, certificate_labels(&peer.leaf), Value::Count(1));
        }
    },
};

pub(super) const CERT_CHANGES: TargetFamily = TargetFamily {
    family: Family::counter(
        "portprobe_cert_changes_total",
        "Certificates that were not among the last 8 seen, the first one apart",
    ),
    read: |row, reader| reader.maybe(row, row.certificate_changes().map(Value::Count)),
};

pub(super) const CLIENT_CERT_NOT_AFTER: TargetFamily = TargetFamily {
    family: Family::gauge(
        "portprobe_client_cert_not_after_timestamp_seconds",
        "When the own client certificate of tls.cert_file expires",
    ),
    read: |row, reader| reader.maybe(row, row.client_certificate_not_after().map(seconds)),
};

fn session_labels(session: &Session) -> Vec<OwnLabel> {
    vec![
        OwnLabel::fixed("version", session.version),
        OwnLabel::fixed("cipher", session.cipher),
        OwnLabel::fixed("key_exchange", session.key_exchange),
        OwnLabel::new("alpn", label_value(session.alpn.as_deref().unwrap_or_default())),
    ]
}

/// The labels of a certificate. Empty ones are omitted: an unreadable certificate has only its fingerprint.
fn certificate_labels(leaf: &Certificate) -> Vec<OwnLabel> {
    let said = |name, text: fn(&CertificateContent) -> &str| {
        OwnLabel::new(
            name,
            leaf.content
                .as_ref()
                .map(|content| label_value(text(content)))
                .unwrap_or_default(),
        )
    };
    vec![
        said("subject", |content| &content.subject),
        said("issuer", |content| &content.issuer),
        said("serial", |content| &content.serial),
        OwnLabel::new("fingerprint_sha256", leaf.fingerprint.to_string()),
        said("key", |content| &content.key),
        said("signature", |content| &content.signature),
    ]
}

fn leaf_content(row: &Row) -> Option<&CertificateContent> {
    row.peer_certificates()?.leaf.content.as_ref()
}

/// Seconds since 1970. The years of certificates are 0 to 9999, which a float represents exactly.
const fn seconds(seconds: i64) -> Value {
    Value::Real(seconds as f64)
}
