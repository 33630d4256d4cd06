//! Settings of TLS and of certificate verification.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use data_encoding::{BASE64, HEXLOWER, HEXLOWER_PERMISSIVE};

use super::url::{Host, HostName};

/// TLS settings of one target, and the rules for its certificate.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct TlsSettings {
    /// The name for SNI and verification; `None`: the host.
    pub server_name: Option<ServerName>,
    /// Effect of a faulty certificate.
    pub verify: Verify,
    /// One of these digests must be that of the leaf certificate or of its public key. Empty: no check.
    pub pins: Vec<Sha256Digest>,
    /// The part that many targets share.
    pub profile: Arc<TlsProfile>,
}

/// Parameters of handshakes and trust: everything that depends on files.
///
/// Targets with equal profiles share the content of the files.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct TlsProfile {
    /// The trusted roots.
    pub roots: Roots,
    /// The client certificate.
    pub identity: Option<Identity>,
    /// Revocation lists, PEM or DER.
    pub crl_files: Vec<PathBuf>,
    /// The versions offered.
    pub versions: TlsVersions,
    /// The application protocols offered (RFC 7301), in order of preference. Empty: the extension is not sent.
    pub alpn: Vec<AlpnProtocol>,
    /// The groups offered for the key exchange.
    pub key_exchange: KeyExchange,
}

/// Effect of a faulty certificate.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Verify {
    /// The faults are reported, and the probe continues.
    Report,
    /// The probe fails.
    #[default]
    Strict,
}

/// Trusted roots.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub enum Roots {
    /// Only the certificates in this PEM file.
    File(PathBuf),
    /// Mozilla's roots at the time of the build.
    #[default]
    Mozilla,
    /// The bundle of the operating system.
    System,
}

/// A client certificate and its key.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Identity {
    /// PEM file: the certificate, followed by its intermediates.
    pub cert_file: PathBuf,
    /// PEM file: the private key, not encrypted.
    pub key_file: PathBuf,
}

/// A supported version of TLS.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246).
    V1_2,
    /// TLS 1.3 (RFC 8446).
    V1_3,
}

impl TlsVersion {
    /// Every version, the oldest first.
    pub const ALL: [Self; 2] = [Self::V1_2, Self::V1_3];

    /// The text in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V1_2 => "1.2",
            Self::V1_3 => "1.3",
        }
    }
}

/// The offered versions, at least one.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct TlsVersions {
    min: TlsVersion,
    max: TlsVersion,
}

impl TlsVersions {
    /// The versions from `min` to `max`; `None` if `min` is above `max`.
    pub fn try_new(min: TlsVersion, max: TlsVersion) -> Option<Self> {
        (min <= max).then_some(Self { min, max })
    }

    /// Every version offered, the oldest first.
    pub fn iter(self) -> impl Iterator<Item = TlsVersion> {
        TlsVersion::ALL
            .into_iter()
            .filter(move |version| (self.min..=self.max).contains(version))
    }
}

impl Default for TlsVersions {
    fn default() -> Self {
        Self { min: TlsVersion::V1_2, max: TlsVersion::V1_3 }
    }
}

/// A group for the key exchange.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum KeyExchangeGroup {
    /// NIST P-256.
    Secp256r1,
    /// NIST P-384.
    Secp384r1,
    /// Curve25519 (RFC 7748).
    X25519,
    /// Curve25519 with ML-KEM-768, which is safe from quantum computers. Only for TLS 1.3; its share has 1,216 bytes.
    X25519Mlkem768,
}

impl KeyExchangeGroup {
    /// The name in the configuration: that of the IANA registry in lower case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Secp256r1 => "secp256r1",
            Self::Secp384r1 => "secp384r1",
            Self::X25519 => "x25519",
            Self::X25519Mlkem768 => "x25519mlkem768",
        }
    }

    /// Whether a version has this group.
    pub const fn is_usable_with(self, version: TlsVersion) -> bool {
        !matches!((self, version), (Self::X25519Mlkem768, TlsVersion::V1_2))
    }
}

/// The groups offered for the key exchange, at least one, each once, in order of preference. The ClientHello has a key
/// share of the first.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct KeyExchange(Vec<KeyExchangeGroup>);

impl KeyExchange {
    /// Checks a list of groups.
    pub fn try_new(groups: Vec<KeyExchangeGroup>) -> Result<Self, KeyExchangeError> {
        let earlier = |index: usize| groups.iter().take(index);
        let repeated = groups
            .iter()
            .enumerate()
            .find(|(index, group)| earlier(*index).any(|other| other == *group));
        match repeated {
            _ if groups.is_empty() => Err(KeyExchangeError::Empty),
            Some((_, group)) => Err(KeyExchangeError::Repeated(*group)),
            None => Ok(Self(groups)),
        }
    }

    /// The groups in order of preference.
    pub fn iter(&self) -> impl Iterator<Item = KeyExchangeGroup> {
        self.0.iter().copied()
    }
}

impl Default for KeyExchange {
    fn default() -> Self {
        use KeyExchangeGroup::{Secp256r1, Secp384r1, X25519, X25519Mlkem768};
        Self(vec![X25519Mlkem768, X25519, Secp256r1, Secp384r1])
    }
}

/// Reason why groups for the key exchange cannot be used.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum KeyExchangeError {
    /// There is none.
    #[error("is empty; must have at least one group, or remove the key")]
    Empty,
    /// A group occurs twice.
    #[error("has `{}` twice; remove one", .0.as_str())]
    Repeated(KeyExchangeGroup),
}

/// The name of an application protocol: 1 to 255 bytes (RFC 7301 section 3.1).
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct AlpnProtocol(Arc<str>);

impl AlpnProtocol {
    /// Checks a name as written in a configuration; `None` if its length is not valid.
    pub fn try_new(name: &str) -> Option<Self> {
        (1..=255).contains(&name.len()).then(|| Self(name.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The subject that a certificate must have.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum ServerName {
    /// An address, verified against the certificate's addresses; it is not sent as SNI (RFC 6066 section 3).
    Address(IpAddr),
    /// A DNS name, without a dot at its end and with no hyphen at either end of a label.
    Name(HostName),
}

impl ServerName {
    /// The name of a host; `None` if no certificate can contain it, such as `-a.example`.
    pub fn of_host(host: &Host) -> Option<Self> {
        match host {
            Host::Ipv4(address) => Some(Self::Address((*address).into())),
            Host::Ipv6(address, _) => Some(Self::Address((*address).into())),
            Host::Name(name) => {
                let name = name.clone().into_relative();
                let plain = |label: &str| !label.starts_with('-') && !label.ends_with('-');
                name.as_str().split('.').all(plain).then_some(Self::Name(name))
            }
        }
    }
}

impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(f, "{address}"),
            Self::Name(name) => f.write_str(name.as_str()),
        }
    }
}

impl FromStr for ServerName {
    type Err = ServerNameError;

    /// Parses a DNS name, possibly internationalised, or an address without brackets.
    fn from_str(text: &str) -> Result<Self, ServerNameError> {
        let host = match text.parse::<IpAddr>() {
            Ok(address) => return Ok(Self::Address(address)),
            Err(_) => text.parse().map(Host::Name),
        };
        host.ok().and_then(|host| Self::of_host(&host)).ok_or(ServerNameError)
    }
}

/// No certificate can contain the text as a name.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("is not a valid server name; must be a DNS name or an IP address")]
pub struct ServerNameError;

/// A SHA-256 digest. Its text is lower-case hex.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Sha256Digest([u8; 32]);

impl Sha256Digest {
    /// The digest with these bytes.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        HEXLOWER.encode_display(&self.0).fmt(f)
    }
}

impl fmt::Debug for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for Sha256Digest {
    type Err = DigestError;

    /// Parses hex in either case, with or without colons as in `openssl x509 -fingerprint`, or base64.
    fn from_str(text: &str) -> Result<Self, DigestError> {
        let hex: String = text.chars().filter(|c| *c != ':').collect();
        let bytes = match hex.len() {
            64 => HEXLOWER_PERMISSIVE.decode(hex.as_bytes()),
            _ => BASE64.decode(text.as_bytes()),
        };
        bytes.ok().and_then(|bytes| bytes.try_into().ok()).map(Self).ok_or(DigestError)
    }
}

/// The text is not a SHA-256 digest.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("is not a valid SHA-256 digest; must be hex or base64")]
pub struct DigestError;

/// A file, or the bundle of the operating system, that TLS needs and that cannot be used.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FileProblem {
    /// The setting that names the file.
    pub setting: TlsFile,
    /// The problem and the fix, with the name of the file.
    pub message: String,
}

/// The settings that name files.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum TlsFile {
    /// `tls.ca_file`.
    CaFile,
    /// `tls.cert_file`.
    CertFile,
    /// An item of `tls.crl_files`, by its index.
    CrlFile(usize),
    /// `tls.key_file`.
    KeyFile,
    /// `tls.roots` with the value `system`.
    Roots,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_parsed_as_tools_print_them() {
        let digest = Sha256Digest::new(std::array::from_fn(|index| u8::try_from(index * 8).unwrap()));
        let hex = digest.to_string();
        let colons = hex
            .as_bytes()
            .chunks(2)
            .map(|pair| str::from_utf8(pair).unwrap().to_uppercase());
        let colons = colons.collect::<Vec<_>>().join(":");
        for text in [hex.as_str(), &colons, &BASE64.encode(digest.as_bytes())] {
            assert_eq!(text.parse(), Ok(digest), "{text}");
        }
        for text in ["", "00", &hex[1..], &format!("{hex}00"), &"g".repeat(64), "AAAA", &"ü".repeat(32)] {
            assert_eq!(text.parse::<Sha256Digest>(), Err(DigestError), "{text}");
        }
    }

    #[test]
    fn a_server_name_can_be_in_a_certificate() {
        for (text, expected) in [
            ("Example.COM.", Some("example.com")),
            ("münchen.example", Some("xn--mnchen-3ya.example")),
            ("a_b.example", Some("a_b.example")),
            ("192.0.2.1", Some("192.0.2.1")),
            ("2001:db8::1", Some("2001:db8::1")),
            ("-a.example", None),
            ("a-.example", None),
            ("*.example", None),
            ("[::1]", None),
            ("", None),
        ] {
            let name = text.parse::<ServerName>().ok().map(|name| name.to_string());
            assert_eq!(name.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn groups_are_unique() {
        use KeyExchangeGroup::{Secp256r1, X25519};
        let groups = KeyExchange::try_new(vec![X25519, Secp256r1]).unwrap();
        assert_eq!(groups.iter().collect::<Vec<_>>(), [X25519, Secp256r1]);
        assert_eq!(KeyExchange::try_new(Vec::new()), Err(KeyExchangeError::Empty));
        let repeated = KeyExchange::try_new(vec![X25519, Secp256r1, X25519]);
        assert_eq!(repeated, Err(KeyExchangeError::Repeated(X25519)));
    }

    #[test]
    fn versions_are_a_range() {
        use TlsVersion::{V1_2, V1_3};
        assert_eq!(TlsVersions::try_new(V1_3, V1_2), None);
        assert_eq!(TlsVersions::default().iter().collect::<Vec<_>>(), [V1_2, V1_3]);
        assert_eq!(TlsVersions::try_new(V1_2, V1_2).unwrap().iter().collect::<Vec<_>>(), [V1_2]);
    }
}
