use proptest::prelude::*;
use rcgen::{
    CertificateParams, CustomExtension, DistinguishedName, DnType, DnValue, KeyPair, PKCS_ECDSA_P256_SHA256,
    PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256, PKCS_RSA_SHA512, RsaKeySize, SanType, SerialNumber,
    date_time_ymd,
};

use super::*;

fn self_signed(key: &KeyPair, edit: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
    let mut params = CertificateParams::new(vec!["host.example".to_owned()]).unwrap();
    edit(&mut params);
    params.self_signed(key).unwrap().der().to_vec()
}

fn content_of(edit: impl FnOnce(&mut CertificateParams)) -> CertificateContent {
    read(&self_signed(&KeyPair::generate().unwrap(), edit)).content.unwrap()
}

#[test]
fn a_certificate_is_formatted_like_by_openssl() {
    let key = KeyPair::generate().unwrap();
    let der = self_signed(&key, |params| {
        let mut name = DistinguishedName::new();
        name.push(DnType::CountryName, "DE");
        name.push(DnType::OrganizationName, "Example, Inc.");
        name.push(DnType::CommonName, DnValue::BmpString("M\u{fc}nchen".try_into().unwrap()));
        name.push(DnType::CustomDnType(vec![1, 2, 3, 4]), "odd");
        params.distinguished_name = name;
        params.serial_number = Some(SerialNumber::from_slice(&[0, 0x0a, 0xbc]));
        params.not_before = date_time_ymd(2026, 1, 1);
        params.not_after = date_time_ymd(2027, 1, 1);
    });
    let certificate = read(&der);
    let content = certificate.content.unwrap();
    assert_eq!(certificate.fingerprint, sha256(&der));
    assert_eq!(content.subject, "1.2.3.4=odd,CN=M\u{fc}nchen,O=Example\\, Inc.,C=DE");
    assert_eq!(content.issuer, content.subject);
    assert!(content.is_self_issued);
    assert_eq!(content.serial, "abc");
    assert_eq!((content.not_before, content.not_after), (1_767_225_600, 1_798_761_600));
    assert_eq!((content.names, content.name_count), (vec!["host.example".to_owned()], 1));
    let public_key = rcgen::PublicKeyData::subject_public_key_info(&key);
    assert_eq!(content.public_key, sha256(&public_key));
}

#[test]
fn keys_and_signatures_have_their_usual_names() {
    let rsa = |algorithm, size| KeyPair::generate_rsa_for(algorithm, size).unwrap();
    for (pair, key, signature) in [
        (rsa(&PKCS_RSA_SHA256, RsaKeySize::_2048), "RSA 2048", "sha256WithRSAEncryption"),
        (rsa(&PKCS_RSA_SHA512, RsaKeySize::_3072), "RSA 3072", "sha512WithRSAEncryption"),
        (KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap(), "ECDSA P-256", "ecdsa-with-SHA256"),
        (KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap(), "ECDSA P-384", "ecdsa-with-SHA384"),
        (KeyPair::generate_for(&PKCS_ED25519).unwrap(), "Ed25519", "Ed25519"),
    ] {
        let content = read(&self_signed(&pair, |_| {})).content.unwrap();
        assert_eq!((content.key.as_str(), content.signature.as_str()), (key, signature));
    }
    assert_eq!(signature("1.2.3"), "1.2.3");
    assert_eq!(signature("1.2.840.113549.1.1.5"), "sha1WithRSAEncryption");
}

#[test]
fn distant_dates_are_parsed() {
    let content = content_of(|params| {
        params.not_before = date_time_ymd(1950, 1, 1);
        params.not_after = date_time_ymd(9999, 12, 31);
    });
    assert_eq!((content.not_before, content.not_after), (-631_152_000, 253_402_214_400));
}

#[test]
fn names_of_every_type_are_text() {
    let content = content_of(|params| {
        params.subject_alt_names = vec![
            SanType::DnsName("*.example".try_into().unwrap()),
            SanType::IpAddress("192.0.2.1".parse().unwrap()),
            SanType::IpAddress("2001:db8::1".parse().unwrap()),
            SanType::Rfc822Name("dba@example.com".try_into().unwrap()),
            SanType::URI("spiffe://example/db".try_into().unwrap()),
            SanType::OtherName((vec![1, 2, 3], "x".into())),
        ];
    });
    let expected =
        ["*.example", "192.0.2.1", "2001:db8::1", "dba@example.com", "spiffe://example/db", "1.2.3 of another kind"];
    assert_eq!(content.names, expected);
    assert_eq!(content.name_count, expected.len());
    assert_eq!(content_of(|params| params.subject_alt_names.clear()).name_count, 0);
}

#[test]
fn long_texts_and_long_lists_are_cut() {
    let content = content_of(|params| {
        params.distinguished_name.push(DnType::CommonName, "\u{20ac}".repeat(1000));
        let name = |number| SanType::DnsName(format!("{number:0>90}.example").try_into().unwrap());
        params.subject_alt_names = (0..150).map(name).collect();
    });
    assert!((1022..=1024).contains(&content.subject.len()));
    assert_eq!(content.name_count, 150);
    assert_eq!(content.names.len(), MAX_NAMES_BYTES / 98);
    let content = content_of(|params| {
        params.subject_alt_names = vec![SanType::DnsName("x".repeat(5000).try_into().unwrap())];
    });
    assert_eq!(content.names[0].len(), 1024);
    let content = content_of(|params| {
        params.subject_alt_names = vec![SanType::DnsName("".try_into().unwrap()); 30_000];
    });
    assert_eq!((content.names.len(), content.name_count), (MAX_NAMES, 30_000));
}

#[test]
fn invalid_characters_are_replaced_or_escaped() {
    let mut der = self_signed(&KeyPair::generate().unwrap(), |params| {
        params.distinguished_name.push(DnType::CommonName, "a\0b\nc");
    });
    let place = der.windows(12).position(|window| window == b"host.example").unwrap();
    der[place] = 0xff;
    let content = read(&der).content.unwrap();
    assert_eq!(content.names, ["\u{fffd}ost.example"]);
    assert_eq!(content.subject, "CN=a\\00b\nc");
}

#[test]
fn an_invalid_extension_does_not_affect_the_rest() {
    let content = content_of(|params| {
        let broken = |oid: &[u64]| CustomExtension::from_oid_content(oid, vec![0xff, 0xff, 0xff]);
        params.subject_alt_names.clear();
        params.custom_extensions = vec![broken(&[2, 5, 29, 17]), broken(&[2, 5, 29, 15]), broken(&[2, 5, 29, 30])];
    });
    assert_eq!(content.name_count, 0);
    assert_eq!(content.key, "ECDSA P-256");
}

#[test]
fn changed_or_cut_bytes_never_panic() {
    let mut der = self_signed(&KeyPair::generate().unwrap(), |params| {
        params.subject_alt_names.push(SanType::IpAddress("192.0.2.1".parse().unwrap()));
    });
    for place in 0..der.len() {
        assert_eq!(read(&der[..place]).content, None);
        let original = der[place];
        for value in [0, 1, 0x7f, 0x80, 0xff, original ^ 0x20, original.wrapping_add(1)] {
            der[place] = value;
            assert_eq!(read(&der).fingerprint, sha256(&der));
        }
        der[place] = original;
    }
    assert!(read(&der).content.is_some());
}

#[test]
fn only_unusual_certificates_need_a_mask() {
    let extension = |id: u64, critical: bool| {
        let mut extension = CustomExtension::from_oid_content(&[2, 5, 29, id], vec![0x30, 0]);
        extension.set_criticality(critical);
        extension
    };
    let needs_mask = |set: &dyn Fn(&mut CertificateParams)| {
        let der = self_signed(&KeyPair::generate().unwrap(), set);
        let changes = masked(&der).is_some_and(|copy| copy.der != der);
        assert_eq!(changes, may_need_mask(&der));
        changes
    };
    assert!(!needs_mask(&|_| {}));
    assert!(needs_mask(&|params| params.not_before = date_time_ymd(1955, 1, 1)));
    assert!(needs_mask(&|params| params.not_before = date_time_ymd(1940, 1, 1)));
    assert!(!needs_mask(&|params| params.not_before = date_time_ymd(1970, 1, 1)));
    assert!(needs_mask(&|params| params.custom_extensions.push(extension(30, false))));
    for policies in [32, 33, 36, 54] {
        assert!(!needs_mask(&|params| params.custom_extensions.push(extension(policies, false))));
        assert!(needs_mask(&|params| params.custom_extensions.push(extension(policies, true))));
    }
}

proptest! {
    #[test]
    fn any_change_can_be_masked(place in any::<prop::sample::Index>(), byte: u8) {
        let mut der = self_signed(&KeyPair::generate().unwrap(), |params| params.not_before = date_time_ymd(1950, 1, 1));
        let place = place.index(der.len());
        der[place] = byte;
        prop_assert!(masked(&der).is_none_or(|copy| copy.der.len() == der.len() && copy.signed.end <= der.len()));
        prop_assert!(masked(&der).is_none_or(|copy| copy.der == der || may_need_mask(&der)));
    }

    #[test]
    fn any_bytes_can_be_read(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert_eq!(read(&bytes).fingerprint, sha256(&bytes));
    }
}
