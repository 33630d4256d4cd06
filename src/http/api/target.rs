//! One target as JSON.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::documents::{IncidentItem, TargetItem, item, second};
use crate::board::{DayFigures, Row};
use crate::clock::{Timestamp, Utc};
use crate::outcome::{Certificate, Class, PeerCertificates, Session};
use crate::store::Incident;
use crate::target::Target;

#[derive(Debug, Serialize)]
pub(super) struct TargetDocument {
    #[serde(flatten)]
    summary: TargetItem,
    settings: SettingsDocument,
    phase_duration_seconds: BTreeMap<&'static str, f64>,
    address: Option<IpAddr>,
    addresses: Vec<AddressDocument>,
    tls: Option<SessionDocument>,
    certificates: Option<CertificatesDocument>,
    service: Option<ServiceDocument>,
    dialogue: BTreeMap<String, String>,
    outcomes: Vec<OutcomeDocument>,
    days: Vec<DayDocument>,
    incidents: Vec<IncidentItem>,
}

#[derive(Debug, Serialize)]
struct SettingsDocument {
    interval_seconds: f64,
    timeout_seconds: f64,
    confirm_failures: u32,
    confirm_delay_seconds: f64,
    confirm_successes: u32,
    slow_after_seconds: Option<f64>,
}

#[derive(Debug, Serialize)]
struct AddressDocument {
    ip: IpAddr,
    success: bool,
}

#[derive(Debug, Serialize)]
struct SessionDocument {
    version: &'static str,
    cipher: &'static str,
    key_exchange: &'static str,
    alpn: Option<String>,
}

#[derive(Debug, Serialize)]
struct CertificatesDocument {
    faults: Vec<FaultDocument>,
    /// The earliest expiry on the verified path, excluding its anchor.
    chain_not_after: Option<String>,
    /// The leaf first.
    chain: Vec<CertificateDocument>,
}

#[derive(Debug, Serialize)]
struct FaultDocument {
    class: &'static str,
    detail: String,
}

#[derive(Debug, Serialize)]
struct CertificateDocument {
    fingerprint_sha256: String,
    subject: Option<String>,
    issuer: Option<String>,
    serial: Option<String>,
    not_before: Option<String>,
    not_after: Option<String>,
    key: Option<String>,
    signature: Option<String>,
    names: Vec<String>,
}

#[derive(Debug, Serialize)]
struct ServiceDocument {
    protocol: &'static str,
    version: String,
    role: String,
}

#[derive(Debug, Serialize)]
struct OutcomeDocument {
    success: bool,
    class: Option<&'static str>,
    duration_seconds: f64,
}

#[derive(Debug, Serialize)]
struct DayDocument {
    day: String,
    probes: u32,
    failures: u32,
    seconds_up: f64,
    seconds_down: f64,
    seconds_unknown: f64,
}

impl TargetDocument {
    /// Reads a row. Its history is empty.
    pub(super) fn of(target: &Arc<Target>, row: &Row) -> Self {
        let timings = row.last().map(|last| last.timings).unwrap_or_default();
        let addresses = row.addresses().iter();
        let outcomes = row.history().iter();
        let dialogue = row.dialogue().iter();
        Self {
            summary: item(target, row),
            settings: SettingsDocument::of(target),
            phase_duration_seconds: timings
                .iter()
                .map(|(phase, duration)| (phase.as_str(), duration.as_secs_f64()))
                .collect(),
            address: row.address(),
            addresses: addresses
                .map(|address| AddressDocument { ip: address.address, success: address.success })
                .collect(),
            tls: row.session().map(SessionDocument::of),
            certificates: row.peer_certificates().map(|peer| CertificatesDocument::of(peer)),
            service: row.service().map(|service| ServiceDocument {
                protocol: service.protocol,
                version: service.version.clone(),
                role: service.role.clone(),
            }),
            dialogue: dialogue
                .map(|(name, value)| (name.as_str().to_owned(), value.clone()))
                .collect(),
            outcomes: outcomes
                .map(|recent| OutcomeDocument {
                    success: recent.failure.is_none(),
                    class: recent.failure.map(Class::as_str),
                    duration_seconds: recent.duration.as_secs_f64(),
                })
                .collect(),
            days: Vec::new(),
            incidents: Vec::new(),
        }
    }

    /// Sets the daily figures.
    pub(super) fn set_days(&mut self, days: &[DayFigures], now: Timestamp) {
        self.days = days.iter().map(|figures| DayDocument::of(figures, now)).collect();
    }

    /// Sets the incidents.
    pub(super) fn set_incidents(&mut self, incidents: Vec<Incident>) {
        self.incidents = incidents.into_iter().map(IncidentItem::of).collect();
    }
}

impl SettingsDocument {
    fn of(target: &Target) -> Self {
        let settings = &target.settings;
        Self {
            interval_seconds: settings.cadence.interval().as_secs_f64(),
            timeout_seconds: settings.cadence.timeout().as_secs_f64(),
            confirm_failures: settings.confirm.failures.get(),
            confirm_delay_seconds: settings.confirm.delay.as_secs_f64(),
            confirm_successes: settings.confirm.successes.get(),
            slow_after_seconds: settings.slow_after.map(|limit| limit.as_secs_f64()),
        }
    }
}

impl SessionDocument {
    fn of(session: &Session) -> Self {
        let Session { version, cipher, key_exchange, alpn } = session;
        Self { version, cipher, key_exchange, alpn: alpn.as_deref().map(str::to_owned) }
    }
}

impl CertificatesDocument {
    fn of(peer: &PeerCertificates) -> Self {
        let faults = peer.faults.iter();
        let chain = std::iter::once(&peer.leaf).chain(&peer.intermediates);
        Self {
            faults: faults
                .map(|fault| FaultDocument { class: fault.class.as_str(), detail: fault.detail.clone() })
                .collect(),
            chain_not_after: peer.chain_not_after.map(second),
            chain: chain.map(|certificate| CertificateDocument::of(certificate)).collect(),
        }
    }
}

impl CertificateDocument {
    fn of(certificate: &Certificate) -> Self {
        let content = certificate.content.as_ref();
        Self {
            fingerprint_sha256: certificate.fingerprint.to_string(),
            subject: content.map(|content| content.subject.clone()),
            issuer: content.map(|content| content.issuer.clone()),
            serial: content.map(|content| content.serial.clone()),
            not_before: content.map(|content| second(content.not_before)),
            not_after: content.map(|content| second(content.not_after)),
            key: content.map(|content| content.key.clone()),
            signature: content.map(|content| content.signature.clone()),
            names: content.map(|content| content.names.clone()).unwrap_or_default(),
        }
    }
}

impl DayDocument {
    fn of(figures: &DayFigures, now: Timestamp) -> Self {
        let DayFigures { day, probes, failures, up_millis, down_millis } = *figures;
        let start = day.start();
        let date = Utc::of_seconds(start.seconds()).to_string();
        let past = now
            .as_duration()
            .saturating_sub(start.as_duration())
            .min(LENGTH_OF_DAY)
            .as_secs_f64();
        let known = f64::from(up_millis) / 1000.0 + f64::from(down_millis) / 1000.0;
        Self {
            day: date.split(' ').next().unwrap_or_default().to_owned(),
            probes,
            failures,
            seconds_up: f64::from(up_millis) / 1000.0,
            seconds_down: f64::from(down_millis) / 1000.0,
            seconds_unknown: (past - known).max(0.0),
        }
    }
}

const LENGTH_OF_DAY: Duration = Duration::from_hours(24);
