use proptest::prelude::*;

use super::super::testing::{Script, assert_survives, summary, talk};
use super::*;

fn truth(name: &str, value: bool) -> Vec<u8> {
    [b"\x08", name.as_bytes(), &[0, u8::from(value)]].concat()
}

fn number(name: &str, value: i32) -> Vec<u8> {
    [b"\x10", name.as_bytes(), b"\0", &value.to_le_bytes()].concat()
}

fn text(name: &str, value: &str) -> Vec<u8> {
    let length = i32::try_from(value.len() + 1).unwrap().to_le_bytes();
    [b"\x02", name.as_bytes(), b"\0", &length, value.as_bytes(), b"\0"].concat()
}

fn ok(value: f64) -> Vec<u8> {
    [b"\x01ok\0", &value.to_le_bytes()[..]].concat()
}

/// An answer with these fields (the manual's page on `hello`).
fn answer(fields: &[Vec<u8>]) -> Vec<u8> {
    let fields = fields.concat();
    let document = [&i32::try_from(fields.len() + 5).unwrap().to_le_bytes()[..], &fields, b"\0"].concat();
    let length = i32::try_from(HEADER + FLAGS_AND_KIND + document.len()).unwrap().to_le_bytes();
    let header = [length, 7_i32.to_le_bytes(), REQUEST.to_le_bytes(), OP_MSG.to_le_bytes()].concat();
    [&header[..], &[0; FLAGS_AND_KIND], &document].concat()
}

fn unknown(command: &str) -> Vec<u8> {
    answer(&[ok(0.0), text("errmsg", &format!("no such command: '{command}'")), number("code", 59)])
}

#[test]
fn a_request_knows_its_lengths() {
    let request = request("hello");
    assert_eq!(
        request,
        b"\x34\0\0\0trop\0\0\0\0\xdd\x07\0\0\0\0\0\0\0\x1f\0\0\0\x10hello\0\x01\0\0\0\x02$db\0\x06\0\0\0admin\0\0"
    );
    assert_eq!(request.len(), 0x34);
}

#[tokio::test(start_paused = true)]
async fn a_serving_member_has_role_and_version() {
    for (fields, role) in [
        (vec![truth("isWritablePrimary", true), truth("secondary", false)], "primary"),
        (vec![truth("isWritablePrimary", false), truth("secondary", true)], "secondary"),
        (vec![truth("isWritablePrimary", false), truth("arbiterOnly", true)], "arbiter"),
        (vec![truth("isWritablePrimary", true), text("msg", "isdbgrid")], "mongos"),
    ] {
        let script = Script::hears().answers(answer(&[fields, vec![number("maxWireVersion", 21), ok(1.0)]].concat()));
        let (found, said) = talk(&Mongodb, "mongodb://a", &script).await;
        let expected = ServiceReply { version: Some("21".to_owned()), role: Some(role.to_owned()) };
        assert_eq!((found.unwrap(), said), (expected, request("hello")));
        assert_survives(&Mongodb, "mongodb://a", &script).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_old_server_gets_the_old_command() {
    let primary = answer(&[truth("ismaster", true), number("maxWireVersion", 8), ok(1.0)]);
    let script = Script::hears().answers(unknown("hello")).answers(primary);
    let (found, said) = talk(&Mongodb, "mongodb://a", &script).await;
    let expected = ServiceReply { version: Some("8".to_owned()), role: Some("primary".to_owned()) };
    assert_eq!((found.unwrap(), said), (expected, [request("hello"), request("isMaster")].concat()));
}

#[tokio::test(start_paused = true)]
async fn each_answer_has_its_class() {
    let recovering = answer(&[truth("isWritablePrimary", false), truth("secondary", false), ok(1.0)]);
    let shutting_down = answer(&[ok(0.0), text("errmsg", "interrupted at shutdown"), number("code", 11600)]);
    for (script, expected) in [
        (Script::hears().answers(recovering), "rejected: it is neither primary nor secondary, arbiter or mongos"),
        (Script::hears().answers(shutting_down), "rejected: interrupted at shutdown"),
        (Script::hears().answers(answer(&[])), "rejected: its answer to hello is not ok"),
        (
            Script::hears().answers(unknown("hello")).answers(unknown("isMaster")),
            "rejected: no such command: 'isMaster'",
        ),
        (
            Script::hears().answers("HTTP/1.0 200 OK\r\n"),
            "unexpected: expected the answer to hello, but \"HTTP/1.0 200 OK\\r\\n\" came: it answers another request",
        ),
        (Script::hears().answers(""), "closed: the answer to hello"),
    ] {
        assert_eq!(summary(talk(&Mongodb, "mongodb://a", &script).await.0), expected);
    }
}

proptest! {
    #[test]
    fn any_bytes_are_borne(bytes in any::<Vec<u8>>()) {
        let _ = (hello(&bytes), hello(&answer(std::slice::from_ref(&bytes))));
    }
}
