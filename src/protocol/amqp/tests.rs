use proptest::prelude::*;

use super::super::testing::{Script, assert_survives, summary, talk};
use super::*;

fn text(name: &str, value: &str) -> Vec<u8> {
    let (name_length, length) = (u8::try_from(name.len()).unwrap(), u32::try_from(value.len()).unwrap());
    [&[name_length], name.as_bytes(), b"S", &length.to_be_bytes(), value.as_bytes()].concat()
}

fn framed(method: &[u8]) -> Vec<u8> {
    let size = u32::try_from(method.len()).unwrap().to_be_bytes();
    [&b"\x01\0\0"[..], &size, method, b"\xce"].concat()
}

/// Returns a Connection.Start of RabbitMQ with some of its properties, the first of which is a table.
fn start(product: &str, version: &str) -> Vec<u8> {
    let capabilities = b"\x0ccapabilitiesF\0\0\0\x15\x12publisher_confirmst\x01";
    let properties = [&capabilities[..], &text("product", product), &text("version", version)].concat();
    let size = u32::try_from(properties.len()).unwrap().to_be_bytes();
    framed(&[&b"\0\x0a\0\x0a\0\x09"[..], &size, &properties, b"\0\0\0\x05PLAIN\0\0\0\x05en_US"].concat())
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_after_start() {
    for (product, version, expected) in [
        ("RabbitMQ", "3.10.8", Some("RabbitMQ 3.10.8")),
        ("LavinMQ", "2.1.0-rc.1", Some("LavinMQ 2.1.0")),
        ("of my own, at 12:30", "1.2", Some("1.2")),
        ("of my own", "none", None),
    ] {
        let script = Script::listens().responds(start(product, version));
        let (found, sent) = talk(&Amqp, "amqp://a", &script).await;
        assert_eq!((found.unwrap().version.as_deref(), &*sent), (expected, HEADER));
        assert_survives(&Amqp, "amqp://a", &script).await;
    }
}

#[tokio::test(start_paused = true)]
async fn each_response_has_a_class() {
    for (response, expected) in [
        (b"AMQP\0\x01\0\0".to_vec(), "ok"),
        (framed(b"\0\x0a\0\x32\x01\x40\x09no memory\0\0\0\0"), "rejected: Connection.Close: 320 no memory"),
        (
            framed(b"\0\x0a\0\x1e"),
            "unexpected: expected Connection.Start, received \"\\x01\\x00\\x00\\x00\\x00\\x00\\x04\\x00\\n\\x00\\x1e\\xce\": it is neither Connection.Start nor Connection.Close",
        ),
        (
            b"\x01\0\x01\0\0\0\x04".to_vec(),
            "unexpected: expected Connection.Start, received \"\\u{1}\\0\\u{1}\\0\\0\\0\\u{4}\": it is not on channel 0",
        ),
        (
            b"\x01\0\0\xff\xff\xff\xff".to_vec(),
            "unexpected: expected Connection.Start, received \"\\x01\\x00\\x00\\xff\\xff\\xff\\xff\": its length 4294967303 is invalid",
        ),
        (
            b"AMPQ".to_vec(),
            "unexpected: expected Connection.Start, received \"AMPQ\": it is neither a frame nor a header",
        ),
        (Vec::new(), "closed: Connection.Start"),
    ] {
        assert_eq!(summary(talk(&Amqp, "amqp://a", &Script::listens().responds(response)).await.0), expected);
    }
}

proptest! {
    #[test]
    fn any_bytes_can_be_parsed(bytes in any::<Vec<u8>>()) {
        let _ = (response(&bytes), response(&framed(&bytes)), opening(&bytes));
        let _ = response(&framed(&[&b"\0\x0a\0\x0a\0\x09"[..], &bytes].concat()));
    }
}
