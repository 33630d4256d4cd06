//! Faults of TLS connections, from the typed errors of rustls and the kernel.

use std::borrow::Cow;
use std::io;

use rustls::{AlertDescription, CertificateError, Error, InvalidMessage, PeerIncompatible};

use super::recording_verifier::RecordingVerifier;
use crate::outcome::{Class, Fault, LocalFaultReason, Phase};
use crate::probe::tcp::errno::broken;

/// Returns the fault for an error of a handshake, or right after it, when `expected` was due.
pub(super) fn handshake_fault(error: &io::Error, expected: &str, recording: &RecordingVerifier) -> Fault {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        // rustls reports this if a message is larger than its buffer.
        None if error.kind() == io::ErrorKind::InvalidData => too_large(),
        None => broken(error, Phase::Tls, expected),
        Some(Error::AlertReceived(AlertDescription::CloseNotify)) => Fault::disconnected(Phase::Tls, expected),
        Some(Error::AlertReceived(alert)) => alerted(*alert, recording),
        Some(error) => finding(error),
    }
}

/// Returns the fault for an error when `expected` was due, after the handshake or without TLS.
pub(in crate::probe) fn conversation_fault(error: &io::Error, phase: Phase, expected: &str) -> Fault {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        None => broken(error, phase, expected),
        Some(Error::AlertReceived(alert)) => {
            let detail = format!("the peer ended TLS with the alert {}; expected {expected}", alert_name(*alert));
            Fault::failure(phase, Class::Disconnected, detail)
        }
        Some(error) => {
            let detail = format!("expected {expected}, received data that is not TLS ({error})");
            Fault::failure(phase, Class::UnexpectedResponse, detail)
        }
    }
}

/// Returns the fault for an alert that ended the handshake.
///
/// - 70 and 71, no common version or parameters, are `tls_protocol`.
/// - Any other is `tls_alert`.
fn alerted(alert: AlertDescription, recording: &RecordingVerifier) -> Fault {
    let class = match alert {
        AlertDescription::ProtocolVersion | AlertDescription::InsufficientSecurity => Class::TlsProtocol,
        _ => Class::TlsAlert,
    };
    let hint = hint(alert, recording).map(|hint| format!(": {hint}")).unwrap_or_default();
    Fault::failure(Phase::Tls, class, format!("the server sent the alert {}{hint}", alert_name(alert)))
}

/// Returns the usual reason for an alert, with the fix.
fn hint(alert: AlertDescription, recording: &RecordingVerifier) -> Option<&'static str> {
    match alert {
        AlertDescription::AccessDenied
        | AlertDescription::BadCertificate
        | AlertDescription::CertificateExpired
        | AlertDescription::CertificateRequired
        | AlertDescription::CertificateRevoked
        | AlertDescription::CertificateUnknown
        | AlertDescription::DecryptError
        | AlertDescription::HandshakeFailure
        | AlertDescription::NoCertificate
        | AlertDescription::UnknownCA
        | AlertDescription::UnsupportedCertificate
            if recording.was_requested() =>
        {
            Some(if recording.has_key() {
                "it does not accept the client certificate in tls.cert_file"
            } else {
                "it requires a client certificate, but none is configured; set tls.cert_file"
            })
        }
        AlertDescription::HandshakeFailure => Some(
            "there is no common cipher, key exchange or signature algorithm, or it has no certificate for this name",
        ),
        AlertDescription::InsufficientSecurity => Some("it requires stronger parameters than those offered"),
        AlertDescription::NoApplicationProtocol => Some("it supports none of the protocols in tls.alpn"),
        AlertDescription::ProtocolVersion => Some("it supports no TLS version from tls.min_version to tls.max_version"),
        AlertDescription::UnrecognisedName => Some("it has no certificate for this name; set tls.server_name"),
        _ => None,
    }
}

/// Returns the fault for an error that rustls detected in the handshake, on either side.
fn finding(error: &Error) -> Fault {
    match error {
        Error::InvalidCertificate(error) => Fault::failure(Phase::Tls, Class::CertInvalid, invalid_certificate(error)),
        Error::InvalidMessage(
            InvalidMessage::CertificatePayloadTooLarge | InvalidMessage::HandshakePayloadTooLarge,
        ) => too_large(),
        Error::BadMaxFragmentSize
        | Error::EncryptError
        | Error::FailedToGetCurrentTime
        | Error::FailedToGetRandomBytes
        | Error::General(_)
        | Error::HandshakeNotComplete
        | Error::InconsistentKeys(_)
        | Error::InvalidCertRevocationList(_)
        | Error::UnsupportedNameType => {
            let detail = format!("the handshake failed on this side ({error})");
            Fault::local(LocalFaultReason::Invalid, detail)
        }
        error => Fault::failure(Phase::Tls, Class::TlsProtocol, protocol_error(error)),
    }
}

/// Returns the fault of a handshake message that is too long, which only certificates can cause.
fn too_large() -> Fault {
    let detail = "the server's certificates are longer than 64 KiB; configure it to send fewer or smaller ones";
    Fault::failure(Phase::Tls, Class::CertInvalid, detail)
}

/// Explains a signature that does not prove that the peer has the key of its certificate.
fn invalid_certificate(error: &CertificateError) -> String {
    match error {
        CertificateError::BadSignature => {
            "the server's signature does not match its certificate: it has another key, or one that is too short"
                .to_owned()
        }
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "the server's signature algorithm does not match the key of its certificate".to_owned()
        }
        CertificateError::BadEncoding => {
            "the server's certificate is damaged or not a certificate (its DER encoding is invalid)".to_owned()
        }
        error => format!("the key of the server's certificate cannot be used ({error:?})"),
    }
}

/// Explains an error of the TLS protocol.
fn protocol_error(error: &Error) -> String {
    match error {
        Error::InvalidMessage(InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion) => {
            "the response is not TLS: the service uses no TLS on this port, or only after STARTTLS".to_owned()
        }
        Error::NoCertificatesPresented => "the server presented no certificate".to_owned(),
        Error::PeerIncompatible(PeerIncompatible::ServerDoesNotSupportTls12Or13) => {
            "the server supports only TLS 1.1 or older".to_owned()
        }
        Error::PeerIncompatible(PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig) => {
            "the server selected a TLS version outside tls.min_version and tls.max_version".to_owned()
        }
        Error::PeerIncompatible(reason) => format!("the server does not support a required TLS feature ({reason:?})"),
        error => format!("the server violates the TLS protocol ({error:?})"),
    }
}

/// Returns the name of an alert in the IANA registry.
fn alert_name(alert: AlertDescription) -> Cow<'static, str> {
    let name = match alert {
        AlertDescription::CloseNotify => "close_notify",
        AlertDescription::UnexpectedMessage => "unexpected_message",
        AlertDescription::BadRecordMac => "bad_record_mac",
        AlertDescription::DecryptionFailed => "decryption_failed",
        AlertDescription::RecordOverflow => "record_overflow",
        AlertDescription::DecompressionFailure => "decompression_failure",
        AlertDescription::HandshakeFailure => "handshake_failure",
        AlertDescription::NoCertificate => "no_certificate",
        AlertDescription::BadCertificate => "bad_certificate",
        AlertDescription::UnsupportedCertificate => "unsupported_certificate",
        AlertDescription::CertificateRevoked => "certificate_revoked",
        AlertDescription::CertificateExpired => "certificate_expired",
        AlertDescription::CertificateUnknown => "certificate_unknown",
        AlertDescription::IllegalParameter => "illegal_parameter",
        AlertDescription::UnknownCA => "unknown_ca",
        AlertDescription::AccessDenied => "access_denied",
        AlertDescription::DecodeError => "decode_error",
        AlertDescription::DecryptError => "decrypt_error",
        AlertDescription::ExportRestriction => "export_restriction",
        AlertDescription::ProtocolVersion => "protocol_version",
        AlertDescription::InsufficientSecurity => "insufficient_security",
        AlertDescription::InternalError => "internal_error",
        AlertDescription::InappropriateFallback => "inappropriate_fallback",
        AlertDescription::UserCanceled => "user_canceled",
        AlertDescription::NoRenegotiation => "no_renegotiation",
        AlertDescription::MissingExtension => "missing_extension",
        AlertDescription::UnsupportedExtension => "unsupported_extension",
        AlertDescription::CertificateUnobtainable => "certificate_unobtainable",
        AlertDescription::UnrecognisedName => "unrecognized_name",
        AlertDescription::BadCertificateStatusResponse => "bad_certificate_status_response",
        AlertDescription::BadCertificateHashValue => "bad_certificate_hash_value",
        AlertDescription::UnknownPSKIdentity => "unknown_psk_identity",
        AlertDescription::CertificateRequired => "certificate_required",
        AlertDescription::NoApplicationProtocol => "no_application_protocol",
        AlertDescription::EncryptedClientHelloRequired => "ech_required",
        alert => return Cow::Owned(format!("number {}", u8::from(alert))),
    };
    Cow::Borrowed(name)
}
