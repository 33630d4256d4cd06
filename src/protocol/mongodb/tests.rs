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

/// Returns a response with these fields (see the page on `hello` in the manual).
fn response(fields: &[Vec<u8>]) -> Vec<u8> {
    let fields = fields.concat();
    let document = [&i32::try_from(fields.len() + 5).unwrap().to_le_bytes()[..], &fields, b"\0"].concat();
    let length = i32::try_from(HEADER + FLAGS_AND_KIND + document.len()).unwrap().to_le_bytes();
    let header = [length, 7_i32.to_le_bytes(), REQUEST.to_le_bytes(), OP_MSG.to_le_bytes()].concat();
    [&header[..], &[0; FLAGS_AND_KIND], &document].concat()
}

fn unknown(command: &str) -> Vec<u8> {
    error(59, &format!("no such command: '{command}'"))
}

fn error(code: i32, message: &str) -> Vec<u8> {
    response(&[ok(0.0), text("errmsg", message), number("code", code)])
}

#[test]
fn a_request_contains_its_lengths() {
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
        let script =
            Script::listens().responds(response(&[fields, vec![number("maxWireVersion", 21), ok(1.0)]].concat()));
        let (found, sent) = talk(&Mongodb, "mongodb://a", &script).await;
        let expected = ServiceReply { version: Some("21".to_owned()), role: Some(role.to_owned()) };
        assert_eq!((found.unwrap(), sent), (expected, request("hello")));
        assert_survives(&Mongodb, "mongodb://a", &script).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_old_server_receives_the_old_command() {
    let primary = response(&[truth("ismaster", true), number("maxWireVersion", 8), ok(1.0)]);
    let script = Script::listens().responds(unknown("hello")).responds(primary);
    let (found, sent) = talk(&Mongodb, "mongodb://a", &script).await;
    let expected = ServiceReply { version: Some("8".to_owned()), role: Some("primary".to_owned()) };
    assert_eq!((found.unwrap(), sent), (expected, [request("hello"), request("isMaster")].concat()));
}

#[tokio::test(start_paused = true)]
async fn any_other_refusal_leads_to_the_old_command() {
    let primary = response(&[truth("ismaster", true), ok(1.0)]);
    let without_code = response(&[ok(0.0), text("errmsg", "unsupported command")]);
    let as_double = response(&[ok(0.0), [&b"\x01code\0"[..], &115_f64.to_le_bytes()].concat()]);
    for refusal in
        [error(115, "not supported"), error(238, "not implemented"), error(303, "disabled"), without_code, as_double]
    {
        let script = Script::listens().responds(refusal).responds(&primary);
        let (found, sent) = talk(&Mongodb, "mongodb://a", &script).await;
        assert_eq!(found.unwrap().role.as_deref(), Some("primary"));
        assert_eq!(sent, [request("hello"), request("isMaster")].concat());
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_about_a_login_means_success() {
    let as_double = response(&[ok(0.0), [&b"\x01code\0"[..], &13_f64.to_le_bytes()].concat()]);
    for refusal in [error(13, "command hello requires authentication"), error(18, "failed"), as_double] {
        for script in
            [Script::listens().responds(&refusal), Script::listens().responds(unknown("hello")).responds(&refusal)]
        {
            let (found, _) = talk(&Mongodb, "mongodb://a", &script).await;
            assert_eq!(found.unwrap(), ServiceReply::default());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stops_or_recovers_is_rejected() {
    for code in NOT_SERVING {
        // Without a second command.
        let script = Script::listens().responds(error(code, "not now"));
        let (found, sent) = talk(&Mongodb, "mongodb://a", &script).await;
        assert_eq!((summary(found), sent), ("rejected: not now".to_owned(), request("hello")));
    }
}

#[tokio::test(start_paused = true)]
async fn each_response_has_a_class() {
    let recovering = response(&[truth("isWritablePrimary", false), truth("secondary", false), ok(1.0)]);
    let shutting_down = response(&[ok(0.0), text("errmsg", "interrupted at shutdown"), number("code", 11600)]);
    for (script, expected) in [
        (Script::listens().responds(recovering), "rejected: it is neither primary, secondary, arbiter nor mongos"),
        (Script::listens().responds(shutting_down), "rejected: interrupted at shutdown"),
        (
            Script::listens().responds(response(&[])).responds(response(&[])),
            "rejected: its response to hello is not ok",
        ),
        (
            Script::listens().responds(unknown("hello")).responds(unknown("isMaster")),
            "rejected: no such command: 'isMaster'",
        ),
        (
            Script::listens().responds("HTTP/1.0 200 OK\r\n"),
            "unexpected: expected the response to hello, received \"HTTP/1.0 200 OK\\r\\n\": it responds to another request",
        ),
        (Script::listens().responds(""), "closed: the response to hello"),
    ] {
        assert_eq!(summary(talk(&Mongodb, "mongodb://a", &script).await.0), expected);
    }
}

proptest! {
    #[test]
    fn any_bytes_can_be_parsed(bytes in any::<Vec<u8>>()) {
        let _ = (hello(&bytes), hello(&response(std::slice::from_ref(&bytes))));
    }
}
