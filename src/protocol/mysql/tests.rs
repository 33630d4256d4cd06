use proptest::prelude::*;

use super::super::Parsed;
use super::super::testing::{Script, assert_survives, summary, talk, upgrade};
use super::*;

/// Returns a greeting of MariaDB 10.11, with or without `SSL` among its capabilities.
fn greeting_of(version: &str, has_tls: bool, method: &str) -> Vec<u8> {
    let low: u16 = if has_tls { 0xfffe } else { 0xf7fe };
    let payload = [
        &b"\x0a"[..],
        version.as_bytes(),
        b"\0\x1f\0\0\0`O[S)Z\\:\0",
        &low.to_le_bytes(),
        b"\x2d\x02\0\xff\x81\x15\0\0\0\0\0\0\x1d\0\0\0",
        b"}d'rr6Dh|{0^\0",
        method.as_bytes(),
        b"\0",
    ];
    framed(0, &payload.concat())
}

fn mariadb() -> Vec<u8> {
    greeting_of("5.5.5-10.11.6-MariaDB-0+deb12u1", true, "mysql_native_password")
}

/// A recorded greeting.
const RECORDED: &[u8] =
    b"d\0\0\0\x0a5.5.5-10.11.19-MariaDB-0+deb12u1\0\x14\0\0\0m~SbtA'<\0\xfe\xff\x08\x02\0\xff\x81\x15\
    \0\0\0\0\0\0\x1d\0\0\x007@|qC8/!Wtbo\0mysql_native_password\0";

#[tokio::test(start_paused = true)]
async fn a_recorded_greeting_is_parsed() {
    let script = Script::greets(RECORDED).responds(denied(2));
    let (found, _) = talk(&Mysql, "mysql://a", &script).await;
    assert_eq!(found.unwrap().version.as_deref(), Some("10.11.19-MariaDB"));
    assert_survives(&Mysql, "mysql://a", &script).await;
}

fn error(number: u8, code: u16, text: &str) -> Vec<u8> {
    framed(number, &[&b"\xff"[..], &code.to_le_bytes(), text.as_bytes()].concat())
}

const OK: &[u8] = b"\x07\0\0\x02\0\0\0\x02\0\0\0";

fn denied(number: u8) -> Vec<u8> {
    error(number, 1045, "#28000Access denied for user 'portprobe'@'localhost' (using password: NO)")
}

#[tokio::test(start_paused = true)]
async fn any_login_result_means_success() {
    let quit = framed(0, COM_QUIT);
    for (version, response, goodbye, expected) in [
        ("5.5.5-10.11.6-MariaDB-0+deb12u1", OK.to_vec(), &*quit, Some("10.11.6-MariaDB")),
        ("11.4.2-MariaDB-log", denied(2), b"", Some("11.4.2-MariaDB")),
        ("8.0.36-0ubuntu0.22.04.1", denied(2), b"", Some("8.0.36")),
        ("of my own", denied(2), b"", None),
    ] {
        let script = Script::greets(greeting_of(version, true, "mysql_native_password")).responds(response);
        let (found, sent) = talk(&Mysql, "mysql://a", &script).await;
        let login = b"\x41\0\0\x01\x01\x82\x08\0\0\0\0\x01\x21\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0portprobe\0\0mysql_native_password\0";
        assert_eq!(found.unwrap().version.as_deref(), expected);
        assert_eq!(sent, [&login[..], goodbye].concat());
        assert_survives(&Mysql, "mysql://a", &script).await;
    }
}

#[tokio::test(start_paused = true)]
async fn every_login_is_completed() {
    for (method, response) in [
        (&b"\xfe"[..], &b""[..]),
        (b"\xfemysql_native_password\0salt", b""),
        (b"\xfecaching_sha2_password\0salt", b"\0"),
        (b"\xfeclient_ed25519\0salt", &[0; 64]),
    ] {
        let script = Script::greets(mariadb()).responds(framed(2, method)).responds(denied(4));
        let (found, sent) = talk(&Mysql, "mysql://a", &script).await;
        assert!(found.is_ok() && sent.ends_with(&framed(3, response)), "{found:?} {sent:?}");
    }
    let parsec = Script::greets(mariadb()).responds(framed(2, b"\xfeparsec\0salt"));
    let (found, sent) =
        talk(&Mysql, "mysql://a", &parsec.responds(framed(4, b"\x01P\x02salt")).responds(denied(6))).await;
    let expected = [framed(3, b""), framed(5, &[0; 96])].concat();
    assert!(found.is_ok() && sent.ends_with(&expected), "{found:?} {sent:?}");
    // One without end.
    let mut script = Script::greets(mariadb());
    for number in [2, 4, 6, 8] {
        script = script.responds(framed(number, b"\x01?"));
    }
    assert!(talk(&Mysql, "mysql://a", &script).await.0.is_ok());
}

#[tokio::test(start_paused = true)]
async fn each_response_has_a_class() {
    let login_refused = |code, text| Script::greets(mariadb()).responds(error(2, code, text));
    for (script, expected) in [
        (Script::greets(error(0, 1040, "Too many connections")), "rejected: 1040 Too many connections"),
        (Script::greets(error(0, 1040, "#08004Too many connections")), "rejected: 1040 Too many connections"),
        (
            Script::greets(error(0, 1129, "Host 'a' is blocked because of many connection errors")),
            "rejected: 1129 Host 'a' is blocked because of many connection errors",
        ),
        (Script::greets(error(0, 1130, "Host 'a' is not allowed to connect")), "ok"),
        (
            Script::greets(error(0, 2003, "#HY000Can't connect to remote MySQL server for client")),
            "rejected: 2003 Can't connect to remote MySQL server for client",
        ),
        (login_refused(1040, "#08004Too many connections"), "rejected: 1040 Too many connections"),
        (login_refused(1053, "#08S01Server shutdown in progress"), "rejected: 1053 Server shutdown in progress"),
        (login_refused(3159, "#HY000Connections using insecure transport are prohibited"), "ok"),
        (
            Script::greets(error(0, 1105, "(proxy) all backends are down")),
            "rejected: 1105 (proxy) all backends are down",
        ),
        (login_refused(1105, "#28000Missing user name prefix"), "ok"),
        (login_refused(9001, "#HY000Max connect timeout reached"), "rejected: 9001 Max connect timeout reached"),
        (
            Script::greets(framed(0, b"\x09old\0")),
            "unexpected: expected a greeting, received \"\\u{5}\\0\\0\\0\\told\\0\": its version is not 10",
        ),
        (Script::greets(b"\0\0\0\0"), "unexpected: expected a greeting, received \"\\0\\0\\0\\0\": it is empty"),
        (
            Script::greets("SSH-2.0-OpenSSH_9.2p1\r\n"),
            "unexpected: expected a greeting, received \"SSH-2.0-OpenSSH_9.2p1\\r\\n\": its length 4739927 is invalid",
        ),
        (
            Script::greets(mariadb()).responds(framed(2, b"?")),
            "unexpected: expected the response to a login, received \"\\u{1}\\0\\0\\u{2}?\": it is not a response to a login",
        ),
        (Script::greets(""), "closed: a greeting"),
        (Script::greets(mariadb()).responds(""), "closed: the response to a login"),
    ] {
        assert_eq!(summary(talk(&Mysql, "mysql://a", &script).await.0), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn only_offered_tls_is_requested() {
    let (upgraded, sent) = upgrade(&Mysql, "mysql+starttls://a", &Script::greets(mariadb())).await;
    assert!(upgraded.is_ok());
    assert_eq!(sent, ssl_request());
    let without = Script::greets(greeting_of("8.0.36", false, "caching_sha2_password"));
    for (script, expected) in [
        (without.clone().responds(denied(2)), "refused: the greeting does not offer TLS"),
        (without.responds(error(2, 1040, "#08004Too many")), "rejected: 1040 Too many"),
        (Script::greets(error(0, 1040, "Too many connections")), "rejected: 1040 Too many connections"),
        (
            Script::greets(error(0, 1130, "Host 'a' is not allowed")),
            "refused: received an error instead of a greeting: 1130 Host 'a' is not allowed",
        ),
    ] {
        assert_eq!(summary(upgrade(&Mysql, "mysql+starttls://a", &script).await.0), expected);
    }
}

#[test]
fn a_login_within_tls_continues_packet_numbers() {
    let Parsed::Complete(Ok(greeting), _) = greeting(&mariadb()) else { panic!("a greeting is one") };
    let login = login(&greeting, 2);
    assert_eq!(login.get(3..8), Some(&b"\x02\x01\x8a\x08\0"[..]));
}

proptest! {
    #[test]
    fn any_bytes_can_be_parsed(bytes in any::<Vec<u8>>()) {
        let _ = (greeting(&bytes), reply(&bytes), greeting(&framed(0, &bytes)), reply(&framed(2, &bytes)));
        let _ = greeting(&framed(0, &[&b"\x0a5.5\0"[..], &bytes].concat()));
    }
}

#[test]
fn only_an_error_about_a_login_means_success() {
    let serves = |code| Refusal { code, state: None, text: String::new() }.verify().is_ok();
    for code in [1044, 1045, 1049, 1130, 1251, 1698, 3118, 3159, 3955, 4151] {
        assert!(serves(code), "{code}");
    }
    for code in [0, 1040, 1041, 1043, 1053, 1105, 1129, 1135, 1203, 1226, 2003, 2013, 3032, 9001, 65535] {
        assert!(!serves(code), "{code}");
    }
}
