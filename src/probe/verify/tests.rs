use rcgen::{
    CertificateParams, CidrSubnet, CustomExtension, DnType, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, KeyPair,
    NameConstraints, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256, RsaKeySize, SerialNumber,
};

use super::*;
use crate::clock::Utc;
use crate::probe::testing::{Authority, DAY, Issued, Trusting, now, trusting, valid};

mod clients;

/// Verifies a chain for the host `host.example`.
fn verify_chain(chain: &[CertificateDer<'static>], context: &TlsContext) -> Arc<PeerCertificates> {
    verify_for(chain, "host.example", context)
}

fn verify_for(chain: &[CertificateDer<'static>], name: &str, context: &TlsContext) -> Arc<PeerCertificates> {
    ChainVerifier::default().verify(
        &VerifyRequest { presented: &presented(chain), name: &name.parse().unwrap(), pins: &[], context },
        now(),
    )
}

fn presented(chain: &[CertificateDer<'static>]) -> PresentedChain {
    PresentedChain { leaf: chain[0].clone(), intermediates: chain[1..].to_vec() }
}

fn classes(peer: &PeerCertificates) -> Vec<Class> {
    peer.faults.iter().map(|fault| fault.class).collect()
}

/// Asserts the classes and prints all details if they differ.
#[track_caller]
fn assert_classes(peer: &PeerCertificates, expected: &[Class]) {
    assert_eq!(classes(peer), expected, "{:#?}", peer.faults);
}

fn nothing(_: &mut CertificateParams) {}

fn expired(params: &mut CertificateParams) {
    valid(params, -30 * DAY, -3 * DAY);
}

fn future(params: &mut CertificateParams) {
    valid(params, 3 * DAY, 30 * DAY);
}

const HOST: &[&str] = &["host.example"];

/// Returns a root, an intermediate below it, and a context that trusts the root.
fn hierarchy() -> (Authority, Authority, TlsContext) {
    let root = Authority::root("Root");
    let middle = root.below("Middle", nothing);
    let context = trusting(&[&root.der]).context();
    (root, middle, context)
}

#[test]
fn only_the_path_determines_the_expiry() {
    let root = Authority::root("Root");
    let middle = root.below("Middle", |params| valid(params, -DAY, 5 * DAY));
    let context = trusting(&[&root.der]).context();
    // An expired certificate outside the path is sent, too.
    let stray = Authority::root("Other").below("Stray", |params| valid(params, -9 * DAY, -8 * DAY));
    let issued = middle.leaf(HOST, nothing).and(&middle.der).and(&stray.der).and(&root.der);
    let peer = verify_chain(&issued.chain, &context);
    assert_classes(&peer, &[]);
    assert_eq!(peer.chain_not_after, Some(now() + 5 * DAY));
    assert_eq!(peer.intermediates.len(), 3);
    assert_eq!(peer.leaf.content.as_ref().unwrap().not_after, now() + 10 * DAY);
}

#[test]
fn every_kind_of_key_is_verified() {
    let (_, middle, context) = hierarchy();
    for (key, expected) in [
        (KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384), "ECDSA P-384"),
        (KeyPair::generate_for(&PKCS_ED25519), "Ed25519"),
        (KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048), "RSA 2048"),
    ] {
        let issued = middle.leaf_with_key(key.unwrap(), HOST, nothing).and(&middle.der);
        let peer = verify_chain(&issued.chain, &context);
        assert_classes(&peer, &[]);
        assert_eq!(peer.leaf.content.as_ref().unwrap().key, expected);
    }
}

#[test]
fn dates_are_checked_to_the_second() {
    let (_, middle, context) = hierarchy();
    let issued = middle.leaf(HOST, |params| valid(params, -DAY, DAY)).and(&middle.der);
    let presented = presented(&issued.chain);
    let name = "host.example".parse().unwrap();
    let request = VerifyRequest { presented: &presented, name: &name, pins: &[], context: &context };
    let verifier = ChainVerifier::default();
    for (moment, expected) in [
        (now() - DAY - 1, &[Class::CertNotYetValid][..]),
        (now() - DAY, &[]),
        (now() + DAY, &[]),
        (now() + DAY + 1, &[Class::CertExpired]),
    ] {
        assert_classes(&verifier.verify(&request, moment), expected);
    }
    let fault = &verifier.verify(&request, now() + 5 * DAY).faults[0];
    let end = Utc::of_seconds(now() + DAY);
    assert_eq!(fault.detail, format!("the certificate expired on {end} UTC; renew it"));
}

#[test]
fn an_expired_leaf_has_its_other_faults() {
    let (_, middle, context) = hierarchy();
    let foreign = Authority::root("Foreign");
    for (edit, class) in [(expired as fn(&mut CertificateParams), Class::CertExpired), (future, Class::CertNotYetValid)]
    {
        let issued = middle.leaf(HOST, edit).and(&middle.der);
        assert_classes(&verify_chain(&issued.chain, &context), &[class]);
        assert_classes(&verify_for(&issued.chain, "other", &context), &[class, Class::CertNameMismatch]);
        let issued = foreign.leaf(HOST, edit);
        assert_classes(&verify_chain(&issued.chain, &context), &[class, Class::CertUntrusted]);
        let issued = Issued::self_signed(HOST, edit);
        assert_classes(&verify_chain(&issued.chain, &context), &[class, Class::CertUntrusted]);
    }
}

#[test]
fn an_expired_intermediate_is_named() {
    let root = Authority::root("Root");
    let middle = root.below("Middle\n", expired);
    let context = trusting(&[&root.der]).context();
    let issued = middle.leaf(HOST, nothing).and(&middle.der);
    let peer = verify_chain(&issued.chain, &context);
    assert_classes(&peer, &[Class::CertExpired]);
    let end = Utc::of_seconds(now() - 3 * DAY);
    let expected =
        format!("the intermediate \"CN=Middle\\n\" expired on {end} UTC; configure the server to send a valid one");
    assert_eq!(peer.faults[0].detail, expected);
    assert_eq!(peer.chain_not_after, Some(now() - 3 * DAY));

    let stranger = trusting(&[&Authority::root("Stranger").der]).context();
    assert_classes(&verify_chain(&issued.chain, &stranger), &[Class::CertExpired, Class::CertUntrusted]);

    // Never valid at the same time.
    let issued = middle.leaf(HOST, |params| valid(params, -DAY, DAY)).and(&middle.der);
    assert_classes(&verify_chain(&issued.chain, &context), &[Class::CertExpired]);

    let middle = root.below("Middle", future);
    let issued = middle.leaf(HOST, nothing).and(&middle.der);
    assert_classes(&verify_chain(&issued.chain, &context), &[Class::CertNotYetValid]);
}

#[test]
fn an_expired_cross_signature_is_ignored() {
    let (root, middle, context) = hierarchy();
    let old = Authority::root("Old Root");
    let crossed = middle.cross_signed_by(&old, expired);
    for both in [trusting(&[&root.der, &old.der]).context(), context] {
        let issued = middle.leaf(HOST, nothing).and(&crossed).and(&middle.der);
        let peer = verify_chain(&issued.chain, &both);
        assert_classes(&peer, &[]);
        assert_eq!(peer.chain_not_after, Some(now() + 10 * DAY));
    }
    let only_old = trusting(&[&old.der]).context();
    let issued = middle.leaf(HOST, |params| valid(params, -20 * DAY, 9 * DAY)).and(&crossed);
    assert_classes(&verify_chain(&issued.chain, &only_old), &[Class::CertExpired]);
}

#[test]
fn an_expired_root_counts_only_without_another() {
    let root = Authority::root("Root");
    let other = Authority::root("Other root");
    let outdated = root.cross_signed_by(&root, expired);
    let early = root.cross_signed_by(&root, future);
    let issued = root.leaf(HOST, |params| valid(params, -20 * DAY, 5 * DAY));
    let peer = verify_chain(&issued.chain, &trusting(&[&outdated]).context());
    assert_classes(&peer, &[Class::CertExpired]);
    let detail = &peer.faults[0].detail;
    assert!(detail.starts_with("the root \"CN=Root\" in the file ca.pem expired on "), "{detail}");
    assert_classes(&verify_chain(&issued.chain, &trusting(&[&early]).context()), &[Class::CertNotYetValid]);
    assert_classes(&verify_chain(&issued.chain, &trusting(&[&outdated, &root.der]).context()), &[]);
    // The same name and key signed by a valid root is another path.
    let crossed = issued.and(&root.cross_signed_by(&other, nothing));
    assert_classes(&verify_chain(&crossed.chain, &trusting(&[&outdated, &other.der]).context()), &[]);
}

#[test]
fn a_result_is_cached_until_a_root_expires() {
    let root = Authority::root("Root");
    let ending = root.cross_signed_by(&root, |params| valid(params, -30 * DAY, DAY));
    let context = trusting(&[&ending]).context();
    let issued = root.leaf(HOST, nothing);
    let (verifier, presented, name) =
        (ChainVerifier::default(), presented(&issued.chain), "host.example".parse().unwrap());
    let request = VerifyRequest { presented: &presented, name: &name, pins: &[], context: &context };
    let before = verifier.verify(&request, now());
    assert_classes(&before, &[]);
    assert!(Arc::ptr_eq(&before, &verifier.verify(&request, now() + DAY)));
    assert_classes(&verifier.verify(&request, now() + DAY + 1), &[Class::CertExpired]);
}

#[test]
fn an_untrusted_chain_reports_the_missing_certificate() {
    let (root, middle, context) = hierarchy();
    let foreign = Authority::root("Foreign");
    let below = foreign.below("Below", nothing);
    let rotated = Authority::root("Root");
    for (chain, expected) in [
        (Issued::self_signed(HOST, nothing).chain, "the certificate is self-signed and not in the file ca.pem;"),
        (
            middle.leaf(HOST, nothing).chain,
            "the server does not send the certificate of \"CN=Middle\", which issued the certificate,",
        ),
        (
            below.leaf(HOST, nothing).and(&below.der).chain,
            "the server does not send the certificate of \"CN=Foreign\", which issued the intermediate \"CN=Below\",",
        ),
        (
            below.leaf(HOST, nothing).and(&below.der).and(&foreign.der).chain,
            "the chain ends in \"CN=Foreign\", which is not in the file ca.pem;",
        ),
        (
            rotated.leaf(HOST, nothing).chain,
            "the certificate names the issuer \"CN=Root\", but the CA of that name in the file ca.pem did not sign it",
        ),
        (
            root.below("Middle", nothing).leaf(HOST, nothing).and(&middle.der).chain,
            "the certificate of \"CN=Middle\" that the server sends did not sign the certificate: it has another key,",
        ),
    ] {
        let peer = verify_chain(&chain, &context);
        assert_classes(&peer, &[Class::CertUntrusted]);
        let detail = &peer.faults[0].detail;
        assert!(detail.starts_with(expected), "{detail}");
    }
}

#[test]
fn a_sent_issuer_is_not_called_missing() {
    let (root, middle, context) = hierarchy();
    // rcgen writes a name as UTF8String unless told otherwise.
    let printable = |params: &mut CertificateParams| {
        let name = rcgen::string::PrintableString::try_from("Middle").unwrap();
        params
            .distinguished_name
            .push(DnType::CommonName, rcgen::DnValue::PrintableString(name));
    };
    let other = root.below("Middle", printable);
    let circle = [Authority::root("A"), Authority::root("B")];
    let crossed = [circle[0].cross_signed_by(&circle[1], nothing), circle[1].cross_signed_by(&circle[0], nothing)];
    let mut damaged = root.below("Middle", nothing).der.to_vec();
    let version = damaged.windows(5).position(|bytes| bytes == [0xa0, 3, 2, 1, 2]).unwrap();
    damaged[version + 4] = 1;
    let anchored = trusting(&[&other.der]).context();
    let encodings = "but the two write this name in different encodings (such as UTF8String and PrintableString), which \
                     makes it another name for many clients; issue one of the two again";
    let issued = "the certificate of \"CN=Middle\", which issued the certificate,";
    for (chain, context, expected) in [
        (middle.leaf(HOST, nothing).and(&other.der).chain, &context, format!("the server sends {issued} {encodings}")),
        (middle.leaf(HOST, nothing).chain, &anchored, format!("the file ca.pem has {issued} {encodings}")),
        (
            middle.leaf(HOST, nothing).and(&damaged.into()).chain,
            &context,
            format!("the server sends {issued} but it cannot be used"),
        ),
        (
            circle[0].leaf(HOST, nothing).and(&crossed[0]).and(&crossed[1]).chain,
            &context,
            "the intermediates issued each other, and none of them is in the file ca.pem".to_owned(),
        ),
    ] {
        let peer = verify_chain(&chain, context);
        assert_eq!(peer.faults[0].class, Class::CertUntrusted);
        assert_eq!(peer.faults[0].detail, expected);
    }
}

#[test]
fn a_chain_of_seven_intermediates_is_too_long() {
    for (count, class) in [(6, None), (7, Some(Class::CertInvalid)), (12, Some(Class::CertInvalid))] {
        let root = Authority::root("Root");
        let context = trusting(&[&root.der]).context();
        let mut intermediates = vec![root.below("Intermediate 1", nothing)];
        for number in 2..=count {
            let below = intermediates[number - 2].below(&format!("Intermediate {number}"), nothing);
            intermediates.push(below);
        }
        let leaf = intermediates[count - 1].leaf(HOST, nothing);
        let issued = intermediates
            .iter()
            .rev()
            .fold(leaf, |issued, authority| issued.and(&authority.der));
        let peer = verify_chain(&issued.chain, &context);
        assert_classes(&peer, class.as_slice());
        if let [fault] = &*peer.faults {
            assert!(fault.detail.starts_with("the chain has more than 6 intermediates"), "{}", fault.detail);
        }
    }
}

#[test]
fn a_leaf_in_ca_file_is_trusted() {
    for is_ca in [IsCa::NoCa, IsCa::ExplicitNoCa, IsCa::Ca(rcgen::BasicConstraints::Unconstrained)] {
        let issued = Issued::self_signed(HOST, |params| params.is_ca = is_ca);
        let context = trusting(&[&issued.chain[0]]).context();
        let peer = verify_chain(&issued.chain, &context);
        assert_classes(&peer, &[]);
        assert_eq!(peer.chain_not_after, Some(now() + 10 * DAY));
        assert_classes(&verify_for(&issued.chain, "other", &context), &[Class::CertNameMismatch]);
        let stranger = trusting(&[&Authority::root("Root").der]).context();
        assert_classes(&verify_chain(&issued.chain, &stranger), &[Class::CertUntrusted]);
    }
    let issued = Issued::self_signed(HOST, expired);
    let context = trusting(&[&issued.chain[0]]).context();
    assert_classes(&verify_chain(&issued.chain, &context), &[Class::CertExpired]);
}

#[test]
fn a_server_with_a_ca_certificate_is_invalid() {
    let (root, middle, context) = hierarchy();
    let ca = |params: &mut CertificateParams| params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let issued = middle.leaf(HOST, ca).and(&middle.der);
    assert_classes(&verify_chain(&issued.chain, &context), &[Class::CertInvalid]);
    let issued = middle.leaf(HOST, ca);
    assert_classes(&verify_chain(&issued.chain, &context), &[Class::CertUntrusted, Class::CertInvalid]);
    // A trusted leaf may be a CA certificate.
    let issued = root.leaf(HOST, ca);
    let direct = trusting(&[&issued.chain[0]]).context();
    assert_classes(&verify_chain(&issued.chain, &direct), &[]);
}

#[test]
fn violated_constraints_of_a_ca_are_invalid() {
    let (root, middle, context) = hierarchy();
    let constrained = root.below("Constrained", |params| {
        params.name_constraints = Some(NameConstraints {
            permitted_subtrees: vec![
                GeneralSubtree::DnsName("allowed.example".to_owned()),
                GeneralSubtree::IpAddress(CidrSubnet::from_v4_prefix([10, 0, 0, 0], 8)),
            ],
            excluded_subtrees: Vec::new(),
        });
    });
    let issued = constrained.leaf(HOST, nothing).and(&constrained.der);
    assert_classes(&verify_chain(&issued.chain, &context), &[Class::CertInvalid]);
    let issued = constrained
        .leaf(&["a.allowed.example", "10.1.2.3"], nothing)
        .and(&constrained.der);
    assert_classes(&verify_for(&issued.chain, "10.1.2.3", &context), &[]);

    let client = |params: &mut CertificateParams| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    };
    let issued = middle.leaf(HOST, client).and(&middle.der);
    assert_classes(&verify_chain(&issued.chain, &context), &[Class::CertInvalid]);
    let issued = middle.leaf(HOST, client);
    assert_classes(&verify_chain(&issued.chain, &context), &[Class::CertUntrusted, Class::CertInvalid]);

    let narrow = root.below("Narrow", |params| params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Constrained(0)));
    let below = narrow.below("Below", nothing);
    let issued = below.leaf(HOST, nothing).and(&below.der).and(&narrow.der);
    assert_classes(&verify_chain(&issued.chain, &context), &[Class::CertInvalid]);

    let no_ca = root.below("No CA", |params| params.is_ca = IsCa::ExplicitNoCa);
    let issued = no_ca.leaf(HOST, nothing).and(&no_ca.der);
    assert_classes(&verify_chain(&issued.chain, &context), &[Class::CertInvalid]);

    let odd = |params: &mut CertificateParams| {
        let mut extension = CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![5, 0]);
        extension.set_criticality(true);
        params.custom_extensions.push(extension);
    };
    let issued = middle.leaf(HOST, odd).and(&middle.der);
    let peer = verify_chain(&issued.chain, &context);
    assert_classes(&peer, &[Class::CertInvalid]);
    assert!(peer.faults[0].detail.contains("critical extension"), "{:?}", peer.faults);
    assert!(peer.leaf.content.is_some());
}

#[test]
fn names_follow_the_rules_of_webpki() {
    let (_, middle, context) = hierarchy();
    let names = ["*.wild.example", "exact.example", "xn--mnchen-3ya.example", "192.0.2.7", "2001:db8::7"];
    let issued = middle.leaf(&names, nothing).and(&middle.der);
    for (name, is_valid) in [
        ("exact.example", true),
        ("EXACT.example.", true),
        ("a.wild.example", true),
        ("wild.example", false),
        ("a.b.wild.example", false),
        ("münchen.example", true),
        ("192.0.2.7", true),
        ("192.0.2.8", false),
        ("2001:db8::7", true),
        ("leaf", false),
    ] {
        let expected = if is_valid { &[][..] } else { &[Class::CertNameMismatch] };
        let peer = verify_for(&issued.chain, name, &context);
        assert_eq!(classes(&peer), expected, "{name}: {:?}", peer.faults);
    }
}

#[test]
fn a_name_mismatch_lists_some_presented_names() {
    let (_, middle, context) = hierarchy();
    let names: Vec<_> = (0..150).map(|number| format!("name-{number}.example")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let issued = middle.leaf(&names, nothing).and(&middle.der);
    let peer = verify_chain(&issued.chain, &context);
    assert_classes(&peer, &[Class::CertNameMismatch]);
    let expected = "the certificate is for \"name-0.example\", \"name-1.example\", \"name-2.example\", \
                    \"name-3.example\", \"name-4.example\" and 145 more; expected \"host.example\"; \
                    if another name is correct, set tls.server_name";
    assert_eq!(peer.faults[0].detail, expected);
    assert_eq!(peer.leaf.content.as_ref().unwrap().name_count, 150);

    let issued = middle.leaf(&[], nothing).and(&middle.der);
    let peer = verify_chain(&issued.chain, &context);
    assert!(
        peer.faults[0]
            .detail
            .starts_with("the certificate is for no name (a common name does not count); expected"),
        "{:?}",
        peer.faults
    );
}

#[test]
fn one_matching_pin_is_sufficient() {
    let (_, middle, context) = hierarchy();
    let issued = middle.leaf(HOST, nothing).and(&middle.der);
    let presented = presented(&issued.chain);
    let name = "host.example".parse().unwrap();
    let verifier = ChainVerifier::default();
    let verified =
        verifier.verify(&VerifyRequest { presented: &presented, name: &name, pins: &[], context: &context }, now());
    let (certificate, key) = (verified.leaf.fingerprint, verified.leaf.content.as_ref().unwrap().public_key);
    let wrong = Sha256Digest::new([7; 32]);
    for (pins, expected) in [(&[certificate][..], &[][..]), (&[wrong, key], &[]), (&[wrong], &[Class::CertPinMismatch])]
    {
        let peer =
            verifier.verify(&VerifyRequest { presented: &presented, name: &name, pins, context: &context }, now());
        assert_classes(&peer, expected);
        if let [fault] = peer.faults.as_slice() {
            assert!(fault.detail.contains(&certificate.to_string()) && fault.detail.contains(&key.to_string()));
        }
    }
}

#[test]
fn a_revocation_does_not_hide_other_faults() {
    let root = Authority::root("Root");
    let middle = root.below("Middle", |params| params.serial_number = Some(SerialNumber::from_slice(&[5])));
    let numbered = |params: &mut CertificateParams| params.serial_number = Some(SerialNumber::from_slice(&[9]));
    let issued = middle.leaf(HOST, numbered).and(&middle.der);
    let rotated = Authority::root("Middle");
    for (crls, expected) in [
        (vec![middle.revoking(&[9])], &[Class::CertRevoked][..]),
        (vec![root.revoking(&[5])], &[Class::CertRevoked]),
        (vec![root.revoking(&[9]), middle.revoking(&[5])], &[]),
        // A list of another CA with the same name has no effect and does not hide other lists.
        (vec![rotated.revoking(&[9])], &[]),
        (vec![rotated.revoking(&[8]), middle.revoking(&[9])], &[Class::CertRevoked]),
    ] {
        let context = Trusting { crls, ..trusting(&[&root.der]) }.context();
        assert_classes(&verify_chain(&issued.chain, &context), expected);
    }
    let context = Trusting { crls: vec![middle.revoking(&[9])], ..trusting(&[&root.der]) }.context();
    let issued = middle
        .leaf(&["other.example"], |params| {
            numbered(params);
            expired(params);
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        })
        .and(&middle.der);
    let all = [Class::CertExpired, Class::CertRevoked, Class::CertNameMismatch, Class::CertInvalid];
    assert_classes(&verify_chain(&issued.chain, &context), &all);
}

#[test]
fn unparsable_certificates_are_kept() {
    let (_, middle, context) = hierarchy();
    let garbage = CertificateDer::from(vec![0x30, 0x03, 1, 2, 3]);
    let issued = middle.leaf(HOST, nothing).and(&garbage).and(&middle.der).and(&garbage);
    let peer = verify_chain(&issued.chain, &context);
    assert_classes(&peer, &[]);
    assert_eq!(
        peer.intermediates
            .iter()
            .filter(|certificate| certificate.content.is_none())
            .count(),
        2
    );

    let issued = middle.leaf(HOST, nothing).and(&garbage);
    assert_classes(&verify_chain(&issued.chain, &context), &[Class::CertUntrusted, Class::CertInvalid]);

    let peer = verify_chain(&[garbage], &context);
    assert_classes(&peer, &[Class::CertInvalid]);
    assert_eq!((peer.chain_not_after, &peer.leaf.content), (None, &None));
}

#[test]
fn earlier_generations_of_a_ca_are_ignored() {
    let (root, middle, context) = hierarchy();
    for earlier in 1..=5 {
        let generations = (0..earlier).map(|_| root.below("Middle", nothing).der);
        let issued = generations
            .fold(middle.leaf(HOST, nothing), |issued, der| issued.and(&der))
            .and(&middle.der);
        assert_classes(&verify_chain(&issued.chain, &context), &[]);
    }
}

#[test]
fn long_or_complex_chains_are_verified() {
    let (root, middle, context) = hierarchy();
    let mut issued = middle.leaf(HOST, nothing);
    for number in 0..48 {
        issued = issued.and(&Authority::root(&format!("Stray {number}")).der);
    }
    let issued = issued.and(&middle.der);
    let peer = verify_chain(&issued.chain, &context);
    assert_classes(&peer, &[]);
    assert_eq!(peer.intermediates.len(), 49);

    // Any of them could have signed any other.
    let tangled: Vec<_> = (0..30).map(|_| root.below("Root", nothing)).collect();
    let stranger = trusting(&[&Authority::root("Stranger").der]).context();
    let issued = tangled
        .iter()
        .fold(tangled[0].leaf(HOST, nothing), |issued, other| issued.and(&other.der));
    assert_classes(&verify_chain(&issued.chain, &stranger), &[Class::CertUntrusted]);

    let garbage = CertificateDer::from(vec![0]);
    let issued = (0..2000).fold(middle.leaf(HOST, nothing), |issued, _| issued.and(&garbage));
    assert_eq!(verify_chain(&issued.chain, &context).intermediates.len(), MAX_INTERMEDIATES);
}

#[test]
fn a_result_is_cached_until_something_changes() {
    let (root, middle, context) = hierarchy();
    let issued = middle.leaf(HOST, nothing).and(&middle.der);
    let other = middle.leaf(HOST, nothing).and(&middle.der);
    let (first_chain, other) = (presented(&issued.chain), presented(&other.chain));
    let name = "host.example".parse().unwrap();
    let request = VerifyRequest { presented: &first_chain, name: &name, pins: &[], context: &context };
    let verifier = ChainVerifier::default();
    let first = verifier.verify(&request, now());
    assert!(Arc::ptr_eq(&first, &verifier.verify(&request, now() + DAY)));
    assert!(Arc::ptr_eq(&first, &verifier.verify(&request, now() + 10 * DAY)));
    let after = verifier.verify(&request, now() + 10 * DAY + 1);
    assert_classes(&after, &[Class::CertExpired]);
    assert!(Arc::ptr_eq(&after, &verifier.verify(&request, now() + 20 * DAY)));
    // The clock was set back.
    assert_classes(&verifier.verify(&request, now()), &[]);

    let renewed = Trusting { generation: 2, ..trusting(&[&root.der]) }.context();
    let again = verifier.verify(&VerifyRequest { context: &renewed, ..request }, now());
    assert!(!Arc::ptr_eq(&first, &again));
    assert!(Arc::ptr_eq(&first.leaf, &again.leaf));
    let neighbour = verifier.verify(&VerifyRequest { presented: &other, ..request }, now());
    assert!(Arc::ptr_eq(&first.intermediates[0], &neighbour.intermediates[0]));
    let elsewhere = "elsewhere.example".parse().unwrap();
    assert_classes(&verifier.verify(&VerifyRequest { name: &elsewhere, ..request }, now()), &[Class::CertNameMismatch]);
    let pins = [Sha256Digest::new([1; 32])];
    assert_classes(&verifier.verify(&VerifyRequest { pins: &pins, ..request }, now()), &[Class::CertPinMismatch]);
}

#[test]
fn a_fault_of_the_handshake_is_added_once() {
    let (_, middle, context) = hierarchy();
    let issued = middle.leaf(HOST, expired).and(&middle.der);
    let peer = verify_chain(&issued.chain, &context);
    let more = with_invalid(&peer, "another key");
    assert_classes(&more, &[Class::CertExpired, Class::CertInvalid]);
    assert!(Arc::ptr_eq(&more, &with_invalid(&more, "again")));
}

#[test]
fn texts_from_peers_stay_on_one_line() {
    let root = Authority::root("Root");
    let context = trusting(&[&root.der]).context();
    let strange = Authority::root("a\u{0}b\r\n\u{1b}[31m\u{202e}evil").below("x", nothing);
    let issued = strange
        .leaf(HOST, |params| params.distinguished_name.push(DnType::OrganizationName, "line\nbreak"))
        .and(&strange.der);
    let peer = verify_chain(&issued.chain, &context);
    assert_classes(&peer, &[Class::CertUntrusted]);
    assert!(!peer.faults[0].detail.contains(char::is_control), "{:?}", peer.faults);
    assert!(peer.leaf.content.as_ref().unwrap().subject.contains("line\nbreak"));
}

#[test]
fn every_changed_byte_is_a_fault() {
    let (_, middle, context) = hierarchy();
    assert_changes_are_faults(&middle.leaf(HOST, nothing).and(&middle.der), &context);
}

#[track_caller]
fn assert_changes_are_faults(issued: &Issued, context: &TlsContext) {
    assert_classes(&verify_chain(&issued.chain, context), &[]);
    for (which, original) in issued.chain.iter().enumerate() {
        for place in 0..original.len() {
            let mut chain = issued.chain.clone();
            let mut der = original.to_vec();
            der[place] ^= 1;
            chain[which] = der.into();
            assert_ne!(verify_chain(&chain, context).faults, [], "byte {place} of certificate {which}");
        }
    }
}
