//! Rules of common clients that webpki leaves out or does not know, compared with `openssl verify` if it is installed.

use std::fs;
use std::process::Command;

use data_encoding::BASE64;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyUsagePurpose, SanType, date_time_ymd,
};

use super::*;

/// Edits of root, intermediate and leaf.
type Edits = [fn(&mut CertificateParams); 3];

/// A chain that the edits change, and the context that trusts its root.
fn edited([root, middle, leaf]: Edits) -> (Issued, CertificateDer<'static>) {
    let root = Authority::root_with("Root", root);
    let middle = root.below("Middle", middle);
    (middle.leaf(HOST, leaf).and(&middle.der), root.der)
}

/// Asserts that the chain has no fault, or that it is invalid, and that OpenSSL agrees.
fn assert_as_openssl(called: &str, edits: Edits, is_valid: bool) -> Arc<PeerCertificates> {
    let (issued, root) = edited(edits);
    let peer = verify_chain(&issued.chain, &trusting(&[&root]).context());
    let expected = if is_valid { &[][..] } else { &[Class::CertInvalid] };
    assert_eq!(classes(&peer), expected, "{called}: {:#?}", peer.faults);
    if let Some(accepted) = openssl_accepts(&issued.chain, &root) {
        assert_eq!(accepted, is_valid, "openssl verify: {called}");
    }
    peer
}

/// Returns whether OpenSSL accepts a chain for the host; `None` if it is not installed.
fn openssl_accepts(chain: &[CertificateDer<'static>], root: &CertificateDer<'static>) -> Option<bool> {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, certificates: &[CertificateDer<'static>]| {
        let pem = |der: &CertificateDer<'_>| {
            let lines = BASE64.encode(der);
            format!("-----BEGIN CERTIFICATE-----\n{lines}\n-----END CERTIFICATE-----\n")
        };
        fs::write(folder.path().join(name), certificates.iter().map(pem).collect::<String>()).unwrap();
    };
    write("root.pem", std::slice::from_ref(root));
    write("leaf.pem", &chain[..1]);
    write("sent.pem", &chain[1..]);
    let options = ["verify", "-purpose", "sslserver", "-verify_hostname", "host.example"];
    // OpenSSL does not read an empty file.
    let sent: &[_] = if chain.len() > 1 { &["-untrusted", "sent.pem"] } else { &[] };
    let mut command = Command::new("openssl");
    let output = command
        .args(options)
        .args(["-CAfile", "root.pem"])
        .args(sent)
        .arg("leaf.pem")
        .current_dir(&folder)
        .output()
        .ok()?;
    Some(output.status.success())
}

fn usages<const N: usize>(params: &mut CertificateParams, usages: [KeyUsagePurpose; N]) {
    params.key_usages = usages.into();
}

/// Adds a critical extension.
fn critical(params: &mut CertificateParams, id: &[u64], content: &[u8]) {
    let mut extension = CustomExtension::from_oid_content(id, content.to_vec());
    extension.set_criticality(true);
    params.custom_extensions.push(extension);
}

/// Encodes a short value.
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    [&[tag, u8::try_from(content.len()).unwrap()][..], content].concat()
}

/// Adds name constraints with one subtree, which is encoded as a general name.
fn constrain(params: &mut CertificateParams, list: u8, base: &[u8]) {
    let subtrees = der(list, &der(0x30, base));
    critical(params, &[2, 5, 29, 30], &der(0x30, &subtrees));
}

const PERMITTED: u8 = 0xa0;
const EXCLUDED: u8 = 0xa1;

/// Returns a directory name with one organization.
fn organization(name: &str) -> Vec<u8> {
    let attribute = der(0x30, &[&[6, 3, 0x55, 4, 10][..], &der(12, name.as_bytes())].concat());
    der(0xa4, &der(0x30, &der(0x31, &attribute)))
}

fn of_organization(params: &mut CertificateParams, name: &str) {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::OrganizationName, name);
    let common = params.distinguished_name.get(&DnType::CommonName).unwrap().clone();
    distinguished.push(DnType::CommonName, common);
    params.distinguished_name = distinguished;
}

#[test]
fn key_usages_are_those_of_openssl() {
    use KeyUsagePurpose::{CrlSign, DataEncipherment, DigitalSignature, KeyAgreement, KeyCertSign, KeyEncipherment};
    let not_for_tls = "the certificate is not allowed for TLS (key usage without digitalSignature, keyEncipherment and \
                       keyAgreement)";
    let edits: [(&str, Edits, &str); 9] = [
        ("leaf keyCertSign", [nothing, nothing, |leaf| usages(leaf, [KeyCertSign])], not_for_tls),
        ("leaf dataEncipherment", [nothing, nothing, |leaf| usages(leaf, [DataEncipherment])], not_for_tls),
        ("leaf digitalSignature", [nothing, nothing, |leaf| usages(leaf, [DigitalSignature])], ""),
        ("leaf keyEncipherment", [nothing, nothing, |leaf| usages(leaf, [KeyEncipherment])], ""),
        ("leaf keyAgreement", [nothing, nothing, |leaf| usages(leaf, [KeyAgreement])], ""),
        ("issuer keyCertSign", [nothing, |middle| usages(middle, [KeyCertSign]), nothing], ""),
        (
            "issuer cRLSign",
            [nothing, |middle| usages(middle, [CrlSign]), nothing],
            "the intermediate \"CN=Middle\" is not allowed to issue certificates (key usage without keyCertSign)",
        ),
        ("root keyCertSign", [|root| usages(root, [KeyCertSign]), nothing, nothing], ""),
        (
            "root cRLSign",
            [|root| usages(root, [CrlSign]), nothing, nothing],
            "the root \"CN=Root\" in the file ca.pem is not allowed to issue certificates (key usage without keyCertSign)",
        ),
    ];
    for (called, edits, detail) in edits {
        let peer = assert_as_openssl(called, edits, detail.is_empty());
        assert_eq!(peer.faults.first().map_or("", |fault| fault.detail.as_str()), detail, "{called}");
    }
}

#[test]
fn a_root_is_checked_like_an_intermediate() {
    let edits: [(&str, Edits, &str); 6] = [
        (
            "root without CA",
            [|root| root.is_ca = IsCa::ExplicitNoCa, nothing, nothing],
            "is not a CA (basic constraints)",
        ),
        (
            "root without constraints",
            [|root| root.is_ca = IsCa::NoCa, nothing, nothing],
            "is not a CA (basic constraints)",
        ),
        (
            "root without constraints but with a key usage",
            [
                |root| {
                    root.is_ca = IsCa::NoCa;
                    usages(root, [KeyUsagePurpose::KeyCertSign]);
                },
                nothing,
                nothing,
            ],
            "",
        ),
        (
            "path length 0",
            [|root| root.is_ca = IsCa::Ca(BasicConstraints::Constrained(0)), nothing, nothing],
            "does not allow that many CAs below it (path length)",
        ),
        ("path length 1", [|root| root.is_ca = IsCa::Ca(BasicConstraints::Constrained(1)), nothing, nothing], ""),
        (
            "client root",
            [|root| root.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth], nothing, nothing],
            "is not allowed for servers (extended key usage without serverAuth)",
        ),
    ];
    for (called, edits, why) in edits {
        let peer = assert_as_openssl(called, edits, why.is_empty());
        let expected =
            if why.is_empty() { String::new() } else { format!("the root \"CN=Root\" in the file ca.pem {why}") };
        assert_eq!(peer.faults.first().map_or("", |fault| fault.detail.as_str()), expected, "{called}");
    }
}

#[test]
fn a_trusted_leaf_must_be_for_servers() {
    for (edit, is_valid) in [
        (nothing as fn(&mut CertificateParams), true),
        (|leaf| usages(leaf, [KeyUsagePurpose::KeyCertSign]), false),
        (|leaf| leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth], false),
        (|leaf| leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth], true),
    ] {
        let issued = Issued::self_signed(HOST, edit);
        let peer = verify_chain(&issued.chain, &trusting(&[&issued.chain[0]]).context());
        assert_eq!(peer.faults.is_empty(), is_valid, "{:?}", peer.faults);
        if let Some(accepted) = openssl_accepts(&issued.chain, &issued.chain[0]) {
            assert_eq!(accepted, is_valid);
        }
    }
}

#[test]
fn a_path_without_defects_is_preferred() {
    let root = Authority::root("Root");
    let middle = root.below("Middle", |middle| usages(middle, [KeyUsagePurpose::CrlSign]));
    let renewed = middle.cross_signed_by(&root, |middle| usages(middle, [KeyUsagePurpose::KeyCertSign]));
    let context = trusting(&[&root.der]).context();
    for (first, second) in [(&middle.der, &renewed), (&renewed, &middle.der)] {
        let issued = middle.leaf(HOST, nothing).and(first).and(second);
        assert_classes(&verify_chain(&issued.chain, &context), &[]);
    }
    // Of a root that is in the file twice, the valid one counts.
    let root = Authority::root_with("Root", |root| usages(root, [KeyUsagePurpose::CrlSign]));
    let renewed = root.cross_signed_by(&root, |root| usages(root, [KeyUsagePurpose::KeyCertSign]));
    let issued = root.leaf(HOST, nothing);
    assert_classes(&verify_chain(&issued.chain, &trusting(&[&root.der]).context()), &[Class::CertInvalid]);
    assert_classes(&verify_chain(&issued.chain, &trusting(&[&root.der, &renewed]).context()), &[]);
}

#[test]
fn name_constraints_are_those_of_openssl() {
    let with_names = |leaf: &mut CertificateParams| {
        of_organization(leaf, "Example  AG");
        leaf.subject_alt_names
            .push(SanType::Rfc822Name("dba@example.com".try_into().unwrap()));
        leaf.subject_alt_names
            .push(SanType::URI("spiffe://host.example/db".try_into().unwrap()));
    };
    let edits: [(&str, Edits, bool); 13] = [
        ("permitted DNS", [nothing, |ca| constrain(ca, PERMITTED, b"\x82\x07example"), with_names], true),
        ("other permitted DNS", [nothing, |ca| constrain(ca, PERMITTED, b"\x82\x05other"), with_names], false),
        ("excluded DNS", [nothing, |ca| constrain(ca, EXCLUDED, b"\x82\x0chost.example"), with_names], false),
        (
            "permitted directory",
            [nothing, |ca| constrain(ca, PERMITTED, &organization("example ag")), with_names],
            true,
        ),
        (
            "other permitted directory",
            [nothing, |ca| constrain(ca, PERMITTED, &organization("Other")), with_names],
            false,
        ),
        ("excluded directory", [nothing, |ca| constrain(ca, EXCLUDED, &organization("Example AG")), with_names], false),
        ("other excluded directory", [nothing, |ca| constrain(ca, EXCLUDED, &organization("Other")), with_names], true),
        ("permitted e-mail", [nothing, |ca| constrain(ca, PERMITTED, b"\x81\x0bexample.com"), with_names], true),
        ("other permitted e-mail", [nothing, |ca| constrain(ca, PERMITTED, b"\x81\x09other.com"), with_names], false),
        ("permitted URI", [nothing, |ca| constrain(ca, PERMITTED, b"\x86\x0chost.example"), with_names], true),
        ("other permitted URI", [nothing, |ca| constrain(ca, PERMITTED, b"\x86\x0d.host.example"), with_names], false),
        ("excluded URI", [nothing, |ca| constrain(ca, EXCLUDED, b"\x86\x08.example"), with_names], false),
        // An address, of which the certificate has none.
        ("another form", [nothing, |ca| constrain(ca, PERMITTED, b"\x87\x08\x0a\0\0\0\xff\0\0\0"), with_names], true),
    ];
    for (called, edits, is_valid) in edits {
        assert_as_openssl(called, edits, is_valid);
        let [_, constrained, leaf] = edits;
        let of_root: Edits = [constrained, |middle| of_organization(middle, "Example AG"), leaf];
        assert_as_openssl(&format!("{called} of the root"), of_root, is_valid);
    }
    let (issued, root) = edited([nothing, |ca| constrain(ca, PERMITTED, b"\x82\x05other"), nothing]);
    let peer = verify_chain(&issued.chain, &trusting(&[&root]).context());
    let expected =
        "the intermediate \"CN=Middle\" is not allowed to issue certificates for \"host.example\" (name constraints)";
    assert_eq!(peer.faults[0].detail, expected);
}

#[test]
fn constraints_that_cannot_be_judged_are_no_fault() {
    const OTHER: &[u8] = b"\xa0\x13\x06\x0a\x2b\x06\x01\x04\x01\x82\x37\x14\x02\x03\xa0\x05\x0c\x03abc";
    let upn = |leaf: &mut CertificateParams| {
        let name = SanType::OtherName((vec![1, 3, 6, 1, 4, 1, 311, 20, 2, 3], "dba@example".into()));
        leaf.subject_alt_names.push(name);
    };
    let (issued, root) = edited([nothing, |ca| constrain(ca, PERMITTED, OTHER), upn]);
    assert_classes(&verify_chain(&issued.chain, &trusting(&[&root]).context()), &[]);
}

#[test]
fn a_peer_cannot_remove_constraints() {
    let root = Authority::root("Root");
    let middle = root.below("Middle", |ca| constrain(ca, PERMITTED, b"\x82\x05other"));
    let context = trusting(&[&root.der]).context();
    let masked = CertificateDer::from(crate::probe::certificate::masked(&middle.der).unwrap().der);
    assert_ne!(masked, middle.der);
    for issued in [
        middle.leaf(HOST, nothing).and(&masked),
        middle.leaf(HOST, nothing).and(&masked).and(&middle.der),
        middle.leaf(HOST, nothing).and(&middle.der).and(&masked),
    ] {
        assert_ne!(classes(&verify_chain(&issued.chain, &context)), []);
    }
}

#[test]
fn every_changed_byte_of_a_masked_certificate_is_a_fault() {
    let root = Authority::root("Root");
    let middle = root.below("Middle", |ca| {
        ca.not_before = date_time_ymd(1950, 1, 1);
        constrain(ca, PERMITTED, b"\x82\x07example");
    });
    let issued = middle.leaf(HOST, |leaf| {
        leaf.not_before = date_time_ymd(1, 1, 1);
        critical(leaf, &[2, 5, 29, 32], &der(0x30, &der(0x30, &[6, 3, 0x2a, 3, 4])));
    });
    assert_changes_are_faults(&issued.and(&middle.der), &trusting(&[&root.der]).context());
}

#[test]
fn many_names_and_constraints_are_not_compared() {
    let root = Authority::root("Root");
    let middle = root.below("Middle", |ca| {
        let subtrees: Vec<_> = (0..600)
            .map(|index| GeneralSubtree::DnsName(format!("n{index}.example")))
            .collect();
        ca.name_constraints = Some(NameConstraints { permitted_subtrees: subtrees, excluded_subtrees: Vec::new() });
    });
    let names: Vec<_> = (0..600).map(|index| format!("n{index}.example")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).chain(["host.example"]).collect();
    let issued = middle.leaf(&names, nothing).and(&middle.der);
    let peer = verify_chain(&issued.chain, &trusting(&[&root.der]).context());
    assert_classes(&peer, &[Class::CertInvalid]);
    assert!(peer.faults[0].detail.contains("too complex"), "{:?}", peer.faults);
}

#[test]
fn critical_policies_are_no_fault() {
    let policies = |params: &mut CertificateParams| {
        critical(params, &[2, 5, 29, 32], &der(0x30, &der(0x30, &[6, 3, 0x2a, 3, 4])));
    };
    let limits: fn(&mut CertificateParams) = |params| {
        critical(params, &[2, 5, 29, 36], &der(0x30, &[0x80, 1, 0]));
        critical(params, &[2, 5, 29, 54], &[2, 1, 0]);
    };
    assert_as_openssl("policies of the leaf", [nothing, nothing, policies], true);
    assert_as_openssl("policies of the issuer", [nothing, policies, policies], true);
    assert_as_openssl("limits of policies", [nothing, limits, nothing], true);
    let unknown: fn(&mut CertificateParams) = |params| critical(params, &[2, 5, 29, 9], &[0x30, 0]);
    assert_as_openssl("unknown extension", [nothing, nothing, unknown], false);
}

#[test]
fn a_mismatch_explains_similar_names() {
    let (_, middle, context) = hierarchy();
    let dns = |names: &[&str]| -> Vec<SanType> {
        names.iter().map(|name| SanType::DnsName((*name).try_into().unwrap())).collect()
    };
    for (names, expected, detail) in [
        (
            dns(&["127.0.0.1"]),
            "127.0.0.1",
            "\"127.0.0.1\"; expected \"127.0.0.1\", which it has as a DNS name, not as an address",
        ),
        (
            dns(&["2001:DB8::0:1"]),
            "2001:db8::1",
            "\"2001:DB8::0:1\"; expected \"2001:db8::1\", which it has as a DNS name, not as an address",
        ),
        (
            vec![SanType::URI("host.example".try_into().unwrap())],
            "host.example",
            "\"host.example\"; expected \"host.example\", which it has as a URI, not as a DNS name",
        ),
        (
            dns(&["*.example"]),
            "a.b.example",
            "\"*.example\"; expected \"a.b.example\", but \"*.example\" covers exactly one label in place of the asterisk",
        ),
        (
            dns(&["*.b.example"]),
            "b.example",
            "\"*.b.example\"; expected \"b.example\", but \"*.b.example\" covers exactly one label in place of the asterisk",
        ),
        (dns(&["*.b.example"]), "ab.example", "\"*.b.example\"; expected \"ab.example\""),
        (dns(&["a.example"]), "b.example", "\"a.example\"; expected \"b.example\""),
    ] {
        let issued = middle.leaf(&[], |leaf| leaf.subject_alt_names = names.clone()).and(&middle.der);
        let peer = verify_for(&issued.chain, expected, &context);
        assert_classes(&peer, &[Class::CertNameMismatch]);
        let detail = format!("the certificate is for {detail}; if another name is correct, set tls.server_name");
        assert_eq!(peer.faults[0].detail, detail);
    }
}

#[test]
fn dates_before_1970_are_read() {
    for year in [1, 1949, 1950, 1969] {
        let root = Authority::root("Root");
        let early = |params: &mut CertificateParams| params.not_before = date_time_ymd(year, 1, 1);
        let middle = root.below("Middle", early);
        let issued = middle.leaf(HOST, early).and(&middle.der);
        let peer = verify_chain(&issued.chain, &trusting(&[&root.der]).context());
        assert_classes(&peer, &[]);
        assert!(peer.leaf.content.as_ref().unwrap().not_before < 0);
        assert_ne!(openssl_accepts(&issued.chain, &root.der), Some(false), "{year}");
        let issued = middle
            .leaf(HOST, |leaf| {
                early(leaf);
                leaf.not_after = date_time_ymd(year, 2, 1);
            })
            .and(&middle.der);
        let peer = verify_chain(&issued.chain, &trusting(&[&root.der]).context());
        assert_classes(&peer, &[Class::CertExpired]);
        let expected = format!("the certificate expired on {year:04}-02-01 00:00:00 UTC; renew it");
        assert_eq!(peer.faults[0].detail, expected);
    }
}
