//! Tests of usable and unusable files, at load and while they are watched.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, IsCa, Issuer, KeyIdMethod, KeyPair,
    SerialNumber, date_time_ymd,
};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};
use tracing::subscriber;

use super::*;
use crate::files::watch::Watched as _;
use crate::target::{AlpnProtocol, Identity, KeyExchange, Roots, TlsFile, TlsVersions};

/// A folder of files and a profile that names some of them.
struct Files {
    folder: TempDir,
    profile: TlsProfile,
}

impl Files {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), profile: TlsProfile::default() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        fs::write(self.path(name), content).unwrap();
        self.path(name)
    }

    fn with_ca(mut self, content: impl AsRef<[u8]>) -> Self {
        self.profile.roots = Roots::File(self.write("ca.pem", content));
        self
    }

    fn with_identity(mut self, certificate: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Self {
        let (cert_file, key_file) = (self.write("client.pem", certificate), self.write("client.key", key));
        self.profile.identity = Some(Identity { cert_file, key_file });
        self
    }

    fn with_crl(mut self, content: impl AsRef<[u8]>) -> Self {
        self.profile.crl_files.push(self.write("crl.pem", content));
        self
    }

    /// Returns a store that has loaded the profile.
    fn read(&self) -> (Arc<TlsStore>, Arc<TlsProfile>) {
        let (trust, profile) = (Arc::new(TlsStore::watching_every(PERIOD)), Arc::new(self.profile.clone()));
        trust.read(&profile).unwrap();
        (trust, profile)
    }

    /// Returns the problems of the profile by setting, without the folder.
    fn problems(&self) -> Vec<(TlsFile, String)> {
        let problems = TlsStore::default().read(&Arc::new(self.profile.clone())).unwrap_err();
        let folder = format!("{}/", self.folder.path().display());
        problems
            .into_iter()
            .map(|problem| (problem.setting, problem.message.replace(&folder, "")))
            .collect()
    }
}

/// A certificate and its key.
struct Pair {
    certificate: rcgen::Certificate,
    key: KeyPair,
}

fn leaf(name: &str) -> Pair {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new([name.to_owned()]).unwrap().self_signed(&key).unwrap();
    Pair { certificate, key }
}

fn authority() -> Pair {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new([]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    Pair { certificate: params.self_signed(&key).unwrap(), key }
}

fn revocation_list(until: i32) -> rcgen::CertificateRevocationList {
    let mut params = CertificateParams::new([]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = Issuer::new(params, KeyPair::generate().unwrap());
    let list = CertificateRevocationListParams {
        this_update: date_time_ymd(2020, 1, 1),
        next_update: date_time_ymd(until, 1, 1),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: Vec::new(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    list.signed_by(&issuer).unwrap()
}

#[test]
fn groups_are_offered_in_order() {
    let store = TlsStore::default();
    for groups in [
        vec![KeyExchangeGroup::X25519],
        vec![KeyExchangeGroup::Secp384r1, KeyExchangeGroup::X25519Mlkem768],
        KeyExchange::default().iter().collect(),
    ] {
        let key_exchange = KeyExchange::try_new(groups.clone()).unwrap();
        let profile = Arc::new(TlsProfile { key_exchange, ..TlsProfile::default() });
        store.read(&profile).unwrap();
        let context = store.context(&profile).unwrap();
        let names: Vec<_> = context
            .config
            .crypto_provider()
            .kx_groups
            .iter()
            .map(|group| group.name().as_str().unwrap().to_ascii_lowercase())
            .collect();
        assert_eq!(names, groups.iter().map(|group| group.as_str()).collect::<Vec<_>>());
    }
}

#[test]
fn mozillas_roots_are_shared() {
    let trust = TlsStore::default();
    let plain = Arc::new(TlsProfile::default());
    let alpn = vec![AlpnProtocol::try_new("h2").unwrap(), AlpnProtocol::try_new("http/1.1").unwrap()];
    let versions = TlsVersions::try_new(TlsVersion::V1_3, TlsVersion::V1_3).unwrap();
    let modern = Arc::new(TlsProfile { versions, alpn, ..TlsProfile::default() });
    trust.read(&plain).unwrap();
    trust.read(&modern).unwrap();
    let (plain, modern) = (trust.context(&plain).unwrap(), trust.context(&modern).unwrap());
    assert!(Arc::ptr_eq(&plain.roots, &modern.roots));
    assert_ne!(plain.generation, modern.generation);
    assert!(plain.roots.store.len() > 100 && plain.roots.certificates.is_empty());
    assert_eq!(plain.roots.origin, "Mozilla's roots");
    assert_eq!(modern.config.alpn_protocols, [b"h2".to_vec(), b"http/1.1".to_vec()]);
    assert!(plain.config.alpn_protocols.is_empty() && plain.config.enable_sni && !plain.config.enable_early_data);
    assert!(!plain.config.client_auth_cert_resolver.has_certs());
}

#[test]
fn a_loaded_profile_is_not_read_again() {
    let files = Files::new().with_ca(authority().certificate.pem());
    let (trust, profile) = files.read();
    let first = trust.context(&profile).unwrap();
    fs::remove_file(files.path("ca.pem")).unwrap();
    trust.read(&profile).unwrap();
    assert!(Arc::ptr_eq(&first, &trust.context(&profile).unwrap()));
    assert!(trust.context(&TlsProfile::default()).is_none());
}

#[test]
fn custom_roots_are_cas_and_certificates() {
    let (authority, leaf) = (authority().certificate, leaf("db.example").certificate);
    let files = Files::new().with_ca(format!("\u{feff}{}\r\n# ours\n{}", authority.pem(), leaf.pem()));
    let (trust, profile) = files.read();
    let roots = trust.context(&profile).unwrap().roots.clone();
    assert_eq!(roots.certificates, [authority.der().clone(), leaf.der().clone()]);
    assert_eq!(roots.store.len(), 2);
    assert_eq!(roots.origin, format!("the file {}", files.path("ca.pem").display()));
}

#[test]
fn a_client_certificate_has_key_and_expiry() {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(["client".to_owned()]).unwrap();
    params.not_after = date_time_ymd(2150, 1, 1);
    let certificate = params.self_signed(&key).unwrap();
    let both = format!("{}{}", key.serialize_pem(), certificate.pem());
    let (trust, profile) = Files::new().with_identity(&both, &both).read();
    let context = trust.context(&profile).unwrap();
    let identity = context.identity.as_ref().unwrap();
    assert_eq!(identity.not_after, Some(5_680_281_600));
    assert_eq!(identity.key.cert, [certificate.der().clone()]);
}

#[test]
fn revocation_lists_are_pem_or_der() {
    let (first, second) = (revocation_list(2150), revocation_list(2151));
    let pem = format!("{}{}", first.pem().unwrap(), second.pem().unwrap());
    let files = Files::new().with_crl(pem);
    let mut profile = files.profile.clone();
    profile.crl_files.push(files.write("crl.der", first.der()));
    let (trust, profile) = (TlsStore::default(), Arc::new(profile));
    trust.read(&profile).unwrap();
    let lists = trust
        .context(&profile)
        .unwrap()
        .crls
        .iter()
        .map(|lists| lists.len())
        .collect::<Vec<_>>();
    assert_eq!(lists, [2, 1]);
}

#[test]
fn an_unusable_file_is_reported_with_its_fault() {
    let (authority, one, other) = (authority().certificate, leaf("a"), leaf("b"));
    let key = one.key.serialize_pem();
    let damaged = authority.pem().replace("MII", "M!I");
    let unreadable = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let large = data_encoding::BASE64.encode(&[vec![0x30, 0x83, 1, 0, 0], vec![0; 0x10000]].concat());
    let large = format!("-----BEGIN CERTIFICATE-----\n{large}\n-----END CERTIFICATE-----\n");
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let old =
        "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: X\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
    let list = "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n";
    let expected = "expected PEM that begins with -----BEGIN";
    let der = format!(
        "the file ca.pem has no certificate: {expected} CERTIFICATE-----; it looks like DER; convert it with openssl x509 -inform der -in"
    );
    for (files, setting, message) in [
        (Files::new().with_ca(""), TlsFile::CaFile, format!("the file ca.pem has no certificate: {expected} CERTIFICATE-----; it is empty")),
        (Files::new().with_ca(&key), TlsFile::CaFile, format!("the file ca.pem has no certificate: {expected} CERTIFICATE-----, found PRIVATE KEY")),
        (Files::new().with_ca(authority.der()), TlsFile::CaFile, format!("{der} ca.pem -out ca.pem.pem")),
        (
            Files::new().with_identity(b"\x30\x82\x04\x00\x02\x01\x03\x30", &key),
            TlsFile::CertFile,
            format!("the file client.pem has no certificate: {expected} CERTIFICATE-----; it looks like PKCS#12; convert it with openssl pkcs12 -nodes -in client.pem -out client.pem.pem"),
        ),
        (
            Files::new().with_ca(authority.pem().replace("-----BEGIN", "  -----BEGIN")),
            TlsFile::CaFile,
            format!("the file ca.pem has no certificate: {expected} CERTIFICATE-----, found it after spaces; remove the spaces at the start of lines"),
        ),
        (
            Files::new().with_ca(format!("{}{damaged}", authority.pem())),
            TlsFile::CaFile,
            "the file ca.pem has damaged PEM in certificate number 2: the text between BEGIN and END is not base64".to_owned(),
        ),
        (
            Files::new().with_ca(format!("{}{unreadable}", authority.pem())),
            TlsFile::CaFile,
            "the file ca.pem has certificate number 2, which is damaged".to_owned(),
        ),
        (
            Files::new().with_identity(one.certificate.pem(), other.key.serialize_pem()),
            TlsFile::KeyFile,
            "the file client.key has a key that does not match the certificate in client.pem".to_owned(),
        ),
        (
            Files::new().with_identity(one.certificate.pem(), encrypted),
            TlsFile::KeyFile,
            "the file client.key has an encrypted private key, which is not supported; decrypt it with openssl pkey -in client.key -out client.key.plain".to_owned(),
        ),
        (
            Files::new().with_identity(one.certificate.pem(), old),
            TlsFile::KeyFile,
            "the file client.key has an encrypted private key, which is not supported; decrypt it with openssl pkey -in client.key -out client.key.plain".to_owned(),
        ),
        (
            Files::new().with_identity(one.certificate.pem(), one.certificate.pem()),
            TlsFile::KeyFile,
            format!("the file client.key has no private key: {expected} PRIVATE KEY-----, found CERTIFICATE"),
        ),
        (
            Files::new().with_identity(one.certificate.pem(), "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
            TlsFile::KeyFile,
            "the file client.key has a private key that cannot be used; supported are RSA (2048 to 8192 bits), ECDSA (P-256, P-384, P-521) and Ed25519".to_owned(),
        ),
        (
            Files::new().with_identity("nothing", &key),
            TlsFile::CertFile,
            format!("the file client.pem has no certificate: {expected} CERTIFICATE-----"),
        ),
        (
            Files::new().with_identity(format!("{}{unreadable}", one.certificate.pem()), &key),
            TlsFile::CertFile,
            "the file client.pem has certificate number 2, which is damaged".to_owned(),
        ),
        (
            Files::new().with_identity(format!("{}{large}", one.certificate.pem()), &key),
            TlsFile::CertFile,
            "the file client.pem has certificate number 2, which is larger than 64 KiB, the maximum".to_owned(),
        ),
        (
            Files::new().with_crl(authority.pem()),
            TlsFile::CrlFile(0),
            format!("the file crl.pem has no revocation list: {expected} X509 CRL-----, found CERTIFICATE"),
        ),
        (
            Files::new().with_crl(list),
            TlsFile::CrlFile(0),
            "the file crl.pem has revocation list number 1, which is damaged".to_owned(),
        ),
    ] {
        assert_eq!(files.problems(), [(setting, message)]);
    }
}

#[test]
fn an_unreadable_file_is_reported() {
    let mut files = Files::new().with_ca("");
    files.profile.crl_files.push(files.path("missing.pem"));
    files.profile.identity =
        Some(Identity { cert_file: files.folder.path().join("."), key_file: PathBuf::from("/dev/null") });
    fs::File::create(files.path("ca.pem")).unwrap().set_len((16 << 20) + 1).unwrap();
    assert_eq!(
        files.problems(),
        [
            (TlsFile::CaFile, "the file ca.pem is larger than the limit of 16 MiB".to_owned()),
            (TlsFile::CertFile, "the file . is a directory, not a file".to_owned()),
            (TlsFile::KeyFile, "the file /dev/null is not a regular file".to_owned()),
            (
                TlsFile::CrlFile(0),
                "the file missing.pem cannot be read: No such file or directory (os error 2)".to_owned()
            ),
        ]
    );
}

/// Returns the lines that are logged by an action.
fn logged(act: impl FnOnce()) -> Vec<String> {
    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    let written = Written::default();
    let writer = written.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .without_time()
        .with_target(false)
        .with_writer(move || writer.clone());
    subscriber::with_default(subscriber.finish(), act);
    let bytes = written.0.lock().unwrap().clone();
    String::from_utf8(bytes)
        .unwrap()
        .lines()
        .map(|line| line.trim().to_owned())
        .collect()
}

#[test]
fn expired_files_are_used_but_logged() {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(["client".to_owned()]).unwrap();
    (params.not_before, params.not_after) = (date_time_ymd(2019, 1, 1), date_time_ymd(2020, 1, 1));
    let files = Files::new()
        .with_identity(params.self_signed(&key).unwrap().pem(), key.serialize_pem())
        .with_crl(revocation_list(2021).pem().unwrap());
    let lines = logged(|| {
        files.read();
    });
    assert_eq!(
        lines,
        [
            format!("WARN The client certificate has expired file={}", files.path("client.pem").display()),
            format!("WARN A revocation list is out of date file={} number=1", files.path("crl.pem").display()),
        ]
    );
}

#[test]
fn only_a_changed_file_changes_the_context() {
    let (files, renewed) = (Files::new().with_ca(authority().certificate.pem()), authority().certificate);
    let (trust, profile) = files.read();
    let first = trust.context(&profile).unwrap();
    assert!(logged(|| assert_eq!(trust.reload(), 0)).is_empty());
    assert!(Arc::ptr_eq(&first, &trust.context(&profile).unwrap()));

    files.write("ca.pem", renewed.pem());
    let lines = logged(|| assert_eq!(trust.reload(), 0));
    let ca_file = files.path("ca.pem").display().to_string();
    assert_eq!(lines, [format!("INFO Reloaded files kind=\"TLS\" files=\"{ca_file}\"")]);
    let second = trust.context(&profile).unwrap();
    assert_eq!(second.roots.certificates, [renewed.der().clone()]);
    assert_ne!(second.generation, first.generation);
    assert!(logged(|| assert_eq!(trust.reload(), 0)).is_empty());
}

#[test]
fn an_unusable_file_keeps_the_old_context() {
    let good = authority().certificate.pem();
    let files = Files::new().with_ca(&good);
    let (trust, profile) = files.read();
    let first = trust.context(&profile).unwrap();
    let (vanished, path) = (files.path("ca.old"), files.path("ca.pem"));
    let turns: [(&str, &dyn Fn(), &str); 4] = [
        ("damage", &|| drop(files.write("ca.pem", "junk")), "has no certificate"),
        ("other damage", &|| drop(files.write("ca.pem", "more junk")), "has no certificate"),
        ("removal", &|| fs::rename(&path, &vanished).unwrap(), "cannot be read: No such file or directory"),
        ("a directory", &|| fs::create_dir(&path).unwrap(), "is a directory"),
    ];
    for (what, change, fault) in turns {
        change();
        let lines = logged(|| assert_eq!((trust.reload(), trust.reload(), trust.reload()), (1, 1, 1), "{what}"));
        assert!(lines.len() == 1 && lines[0].starts_with("WARN") && lines[0].contains(fault), "{what}: {lines:?}");
        assert!(Arc::ptr_eq(&first, &trust.context(&profile).unwrap()), "{what}");
    }
    fs::remove_dir(&path).unwrap();
    files.write("ca.pem", good);
    let lines = logged(|| assert_eq!(trust.reload(), 0));
    assert_eq!(lines, [format!("INFO Restored files kind=\"TLS\" files=\"{}\"", path.display())]);
    assert!(Arc::ptr_eq(&first, &trust.context(&profile).unwrap()));
}

#[test]
fn a_certificate_waits_for_its_key() {
    let (before, after) = (leaf("client"), leaf("client"));
    let files = Files::new().with_identity(before.certificate.pem(), before.key.serialize_pem());
    let (trust, profile) = files.read();
    files.write("client.pem", after.certificate.pem());
    assert_eq!(trust.reload(), 1);
    assert_eq!(
        trust.context(&profile).unwrap().identity.as_ref().unwrap().key.cert,
        [before.certificate.der().clone()]
    );
    files.write("client.key", after.key.serialize_pem());
    let lines = logged(|| assert_eq!(trust.reload(), 0));
    let (certificate, key) = (files.path("client.pem"), files.path("client.key"));
    let both = format!("{}, {}", key.display(), certificate.display());
    assert_eq!(lines, [format!("INFO Reloaded files kind=\"TLS\" files=\"{both}\"")]);
    assert_eq!(trust.context(&profile).unwrap().identity.as_ref().unwrap().key.cert, [after.certificate.der().clone()]);
}

/// Otherwise an unusable key would keep old roots in use, and targets with a rotated CA would fail.
#[test]
fn an_unusable_file_does_not_affect_other_files() {
    let (client, rotated, list) = (leaf("client"), authority().certificate, revocation_list(2150).pem().unwrap());
    let files = Files::new()
        .with_ca(authority().certificate.pem())
        .with_identity(client.certificate.pem(), client.key.serialize_pem())
        .with_crl(&list);
    let (trust, profile) = files.read();
    let first = trust.context(&profile).unwrap();
    files.write("client.key", "junk");
    files.write("crl.pem", "junk");
    assert_eq!(logged(|| assert_eq!(trust.reload(), 2)).len(), 2);
    assert!(Arc::ptr_eq(&first, &trust.context(&profile).unwrap()));

    files.write("ca.pem", rotated.pem());
    let lines = logged(|| assert_eq!((trust.reload(), trust.reload()), (2, 2)));
    let reloaded = format!("INFO Reloaded files kind=\"TLS\" files=\"{}\"", files.path("ca.pem").display());
    assert_eq!(lines, [reloaded], "known problems are not logged again");
    let second = trust.context(&profile).unwrap();
    assert_eq!(second.roots.certificates, [rotated.der().clone()]);
    assert!(Arc::ptr_eq(first.identity.as_ref().unwrap(), second.identity.as_ref().unwrap()));
    assert!(Arc::ptr_eq(&first.crls[0], &second.crls[0]));

    files.write("client.key", "more junk");
    let lines = logged(|| assert_eq!(trust.reload(), 2));
    assert!(lines.len() == 1 && lines[0].contains("client.key has no private key"), "{lines:?}");
    files.write("client.key", client.key.serialize_pem());
    files.write("crl.pem", list);
    let lines = logged(|| assert_eq!(trust.reload(), 0));
    assert!(lines.len() == 1 && lines[0].contains("Restored files"), "{lines:?}");
    assert!(Arc::ptr_eq(&second, &trust.context(&profile).unwrap()));
}

#[test]
fn profiles_share_components() {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(["client".to_owned()]).unwrap();
    (params.not_before, params.not_after) = (date_time_ymd(2019, 1, 1), date_time_ymd(2020, 1, 1));
    let files = Files::new()
        .with_identity(params.self_signed(&key).unwrap().pem(), key.serialize_pem())
        .with_crl(revocation_list(2021).pem().unwrap());
    let (trust, first) = (TlsStore::default(), Arc::new(files.profile.clone()));
    let alpn = vec![AlpnProtocol::try_new("h2").unwrap()];
    let second = Arc::new(TlsProfile { alpn, ..files.profile.clone() });
    let lines = logged(|| [&first, &second].into_iter().for_each(|profile| trust.read(profile).unwrap()));
    assert_eq!(lines.len(), 2, "one line for the certificate and one for the list: {lines:?}");
    let [first, second] = [first, second].map(|profile| trust.context(&profile).unwrap());
    assert!(Arc::ptr_eq(first.identity.as_ref().unwrap(), second.identity.as_ref().unwrap()));
    assert!(Arc::ptr_eq(&first.crls[0], &second.crls[0]));
}

#[test]
fn a_shared_unusable_file_counts_once() {
    let files = Files::new().with_ca(authority().certificate.pem());
    let (trust, _) = files.read();
    let alpn = vec![AlpnProtocol::try_new("h2").unwrap()];
    trust.read(&Arc::new(TlsProfile { alpn, ..files.profile.clone() })).unwrap();
    files.write("ca.pem", "junk");
    assert_eq!(logged(|| assert_eq!(trust.reload(), 1)).len(), 1);
}

/// Mounts a version of a secret as Kubernetes does: files are links to `..data/NAME`, and `..data` is a link to a
/// folder that is replaced as a whole.
fn mount(folder: &Path, version: &str, content: &str) {
    fs::create_dir(folder.join(version)).unwrap();
    fs::write(folder.join(version).join("ca.crt"), content).unwrap();
    symlink(version, folder.join("..data_tmp")).unwrap();
    fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "{what}");
        sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn a_kubernetes_secret_is_watched_through_links() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (authority().certificate, authority().certificate);
    mount(folder.path(), "..1", &first.pem());
    symlink("..data/ca.crt", folder.path().join("ca.crt")).unwrap();
    let profile = TlsProfile { roots: Roots::File(folder.path().join("ca.crt")), ..TlsProfile::default() };
    let (trust, profile) = (Arc::new(TlsStore::watching_every(Duration::from_millis(1))), Arc::new(profile));
    trust.read(&profile).unwrap();
    let roots = || trust.context(&profile).unwrap().roots.certificates.clone();
    let failures = AtomicUsize::new(0);
    let count = || {
        failures.fetch_add(1, Ordering::Relaxed);
    };
    let steps = async {
        assert_eq!(roots(), [first.der().clone()]);
        mount(folder.path(), "..2", "junk");
        until("failures are counted at every check", || failures.load(Ordering::Relaxed) > 2).await;
        assert_eq!(roots(), [first.der().clone()]);
        mount(folder.path(), "..3", &second.pem());
        until("the new roots are in use", || roots() == [second.der().clone()]).await;
    };
    tokio::select! {
        () = trust.watch(&count) => panic!("watch must not return"),
        () = steps => {}
    }
}
