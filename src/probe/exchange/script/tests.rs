use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex, join, repeat, sink};
use tokio::runtime;
use tokio::time::sleep;

use super::*;
use crate::target::Pattern;

const TIMEOUT: Duration = Duration::from_secs(5);

fn bytes(text: &str) -> Part {
    Part::Bytes(text.as_bytes().into())
}

fn send(text: &str) -> Step {
    Step::Send(Template([bytes(text)].into()))
}

fn expect(expression: &str) -> Step {
    labelled(expression, &[])
}

fn labelled(expression: &str, labels: &[(&str, usize)]) -> Step {
    let labels = labels
        .iter()
        .map(|(name, group)| (LabelName::try_new(name).unwrap(), Template([Part::Group(*group)].into())));
    Step::Expect(Expectation { pattern: Pattern::try_new(expression).unwrap(), labels: labels.collect() })
}

fn expect_bytes(bytes: &[u8]) -> Step {
    Step::ExpectBytes(bytes.into())
}

fn class(fault: &Fault) -> Class {
    match fault {
        Fault::Failure(failure) => failure.class,
        Fault::LocalFault(fault) => panic!("{fault}"),
    }
}

/// The result of steps.
struct Ran {
    result: Result<(), Fault>,
    labels: Vec<(String, String)>,
    unread: usize,
    took: Duration,
}

impl Ran {
    fn class(&self) -> Option<Class> {
        self.result.as_ref().err().map(class)
    }
}

/// Runs the steps with this peer. Time passes only while both sides wait.
async fn run_steps<F: Future<Output = ()>>(steps: Vec<Step>, peer: impl FnOnce(DuplexStream) -> F) -> Ran {
    let (mut near, far) = duplex(1 << 20);
    let started = Instant::now();
    let mut script = ScriptRunner::new(started + TIMEOUT);
    let dialogue = Dialogue(steps.into());
    let running = async {
        let result = script.run(Phase::Protocol, &dialogue, &mut near).await;
        (result, started.elapsed())
    };
    let ((result, took), ()) = tokio::join!(running, peer(far));
    let labels = script.labels().unwrap_or_default();
    let labels = labels
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), value.clone()))
        .collect();
    Ran { result, labels, unread: script.unread(), took }
}

/// Sends pieces, each after a pause in milliseconds, and keeps the connection open.
async fn send_pieces(mut far: DuplexStream, pieces: &[(u64, &[u8])]) {
    for (pause, piece) in pieces {
        sleep(Duration::from_millis(*pause)).await;
        far.write_all(piece).await.unwrap();
    }
    sleep(2 * TIMEOUT).await;
}

/// Sends bytes and closes the connection.
async fn send_and_end(mut far: DuplexStream, bytes: &[u8]) {
    far.write_all(bytes).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_match_consumes_its_whole_line() {
    let ran = run_steps(vec![expect("^220 ")], |far| send_pieces(far, &[(0, b"220-a\r\n220 mail ESMTP\r\n250")])).await;
    assert_eq!((ran.result, ran.unread, ran.took), (Ok(()), 3, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_prompt_is_tried_after_a_pause() {
    let steps = vec![expect("login: $"), send("me\n")];
    let ran = run_steps(steps, |far| send_pieces(far, &[(0, b"Welcome\nlogin: ")])).await;
    assert_eq!((ran.result, ran.unread, ran.took), (Ok(()), 0, PAUSE));
}

#[tokio::test(start_paused = true)]
async fn an_incomplete_line_waits_for_its_rest() {
    // A pause of 90 ms is too short for a try: `o$` must not match inside a word.
    let pieces: &[(u64, &[u8])] = &[(0, b"hello"), (90, b" wo"), (90, b"rld\n"), (0, b"so\n")];
    let ran = run_steps(vec![expect("o$")], |far| send_pieces(far, pieces)).await;
    assert_eq!((ran.result, ran.unread), (Ok(()), 0));
}

#[tokio::test(start_paused = true)]
async fn an_incomplete_line_is_tried_at_the_end() {
    let ran = run_steps(vec![expect("^bye$")], |far| send_and_end(far, b"bye")).await;
    assert_eq!((ran.result, ran.took), (Ok(()), Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn the_end_is_not_an_empty_line() {
    let steps = || vec![expect("^HTTP/1"), expect("^$")];
    let head: &[(u64, &[u8])] = &[(0, b"HTTP/1.1 200 OK\r\nServer: x\r\n"), (300, b"\r\nbody")];
    let ran = run_steps(steps(), |far| send_pieces(far, head)).await;
    assert_eq!((ran.result, ran.unread, ran.took), (Ok(()), 4, Duration::from_millis(300)));
    let ran = run_steps(steps(), |far| send_pieces(far, &[(0, b"HTTP/1.1 200 OK\r\nServer: x\r\n")])).await;
    assert_eq!(ran.class(), Some(Class::UnexpectedResponse));
}

#[tokio::test(start_paused = true)]
async fn expected_bytes_may_arrive_in_pieces() {
    let steps = vec![expect_bytes(b"\x00\x01\x02"), expect_bytes(b"\xff")];
    let ran = run_steps(steps, |far| send_pieces(far, &[(0, b"\x00"), (150, b"\x01"), (150, b"\x02\xffrest")])).await;
    assert_eq!((ran.result, ran.unread), (Ok(()), 4));
}

#[tokio::test(start_paused = true)]
async fn bytes_are_sent_unchanged() {
    let steps = vec![send("\x00a\n"), send("b"), expect_bytes(b"!")];
    let peer = async |mut far: DuplexStream| {
        let mut received = [0; 4];
        far.read_exact(&mut received).await.unwrap();
        assert_eq!(&received, b"\x00a\nb");
        far.write_all(b"!").await.unwrap();
        assert_eq!(far.read(&mut received).await.unwrap(), 0, "nothing is appended");
    };
    let (mut near, far) = duplex(64);
    let script = async {
        let mut script = ScriptRunner::new(Instant::now() + TIMEOUT);
        script.run(Phase::Protocol, &Dialogue(steps.into()), &mut near).await.unwrap();
        drop(near);
    };
    tokio::join!(script, peer(far));
}

#[tokio::test(start_paused = true)]
async fn groups_are_sent_and_become_labels() {
    let steps = vec![
        labelled(r"^NONCE (\w+)( opt)?$", &[("nonce", 1), ("option", 2)]),
        Step::Send(Template([bytes("re:"), Part::Group(1), Part::Group(2), bytes(".")].into())),
        labelled("^VERSION (.*)$", &[("release", 1)]),
    ];
    let peer = async |mut far: DuplexStream| {
        far.write_all(b"NONCE x7\n").await.unwrap();
        let mut received = [0; 6];
        far.read_exact(&mut received).await.unwrap();
        assert_eq!(&received, b"re:x7.");
        far.write_all(b"VERSION 1.\xff2\r\n").await.unwrap();
    };
    let ran = run_steps(steps, peer).await;
    assert_eq!(ran.result, Ok(()));
    let expected = [("nonce", "x7"), ("option", ""), ("release", "1.\u{fffd}2")];
    assert_eq!(ran.labels, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
}

#[tokio::test(start_paused = true)]
async fn silence_and_other_bytes_have_different_classes() {
    let bytes = || expect_bytes(b"OK");
    for step in [expect("^OK"), bytes()] {
        let silent = run_steps(vec![step.clone()], |far| send_pieces(far, &[])).await;
        assert_eq!((silent.class(), silent.took), (Some(Class::Stalled), TIMEOUT));
        let ended = run_steps(vec![step.clone()], |far| send_and_end(far, b"")).await;
        assert_eq!(ended.class(), Some(Class::Disconnected));
        let other = run_steps(vec![step.clone()], |far| send_and_end(far, b"NO\r\n")).await;
        assert_eq!(other.class(), Some(Class::UnexpectedResponse));
        let incomplete = run_steps(vec![step], |far| send_pieces(far, &[(0, b"N")])).await;
        assert_eq!(incomplete.class(), Some(Class::UnexpectedResponse));
    }
    let half = run_steps(vec![bytes()], |far| send_pieces(far, &[(0, b"O")])).await;
    assert_eq!((half.class(), half.took), (Some(Class::UnexpectedResponse), TIMEOUT));
    let other = run_steps(vec![bytes()], |far| send_pieces(far, &[(0, b"ON")])).await;
    assert_eq!(other.took, Duration::ZERO, "other bytes fail at once");
    let detail = "expected the bytes \"OK\", received \"ON\"";
    assert_eq!(other.result, Err(Fault::failure(Phase::Protocol, Class::UnexpectedResponse, detail)));
}

#[tokio::test(start_paused = true)]
async fn groups_are_the_received_bytes() {
    for line in ["<gr\u{f6}\u{df}e>\n".as_bytes(), b"<gr\xf6\xdfe>\n"] {
        let (mut near, mut far) = duplex(1024);
        let mut script = ScriptRunner::new(Instant::now() + TIMEOUT);
        let answer = Step::Send(Template([Part::Group(1), bytes("\n")].into()));
        let dialogue = Dialogue([expect("^<((?i)GR.ße)>$"), answer].into());
        far.write_all(line).await.unwrap();
        script.run(Phase::Protocol, &dialogue, &mut near).await.unwrap();
        drop(near);
        let mut sent = Vec::new();
        far.read_to_end(&mut sent).await.unwrap();
        assert_eq!(sent, [&line[1..line.len() - 2], b"\n"].concat());
    }
}

#[tokio::test(start_paused = true)]
async fn early_bytes_are_kept_for_later_steps() {
    let steps = vec![expect("^one$"), expect("^two$"), send("x"), expect("^three$")];
    let ran = run_steps(steps, |far| send_and_end(far, b"one\ntwo\nthree\n")).await;
    // The peer has closed when the third step sends.
    assert_eq!(ran.class(), Some(Class::Disconnected));
    let steps = vec![expect("^one$"), expect("^two$"), expect("^three$")];
    assert_eq!(run_steps(steps, |far| send_and_end(far, b"one\ntwo\nthree\n")).await.result, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn an_endless_stream_ends_at_64_kib() {
    for piece in [&b"aaaaaaaaaaaaaaa\n"[..], b"a"] {
        let peer = async |mut far: DuplexStream| while far.write_all(piece).await.is_ok() {};
        let (mut near, far) = duplex(1024);
        let mut script = ScriptRunner::new(Instant::now() + TIMEOUT);
        let dialogue = Dialogue([expect("^b")].into());
        let endless = async {
            let result = script.run(Phase::Protocol, &dialogue, &mut near).await;
            drop(near);
            result
        };
        let (result, ()) = tokio::join!(endless, peer(far));
        assert_eq!(class(&result.unwrap_err()), Class::UnexpectedResponse);
        assert!(script.unread() <= MAX_UNREAD + 4096);
    }
}

#[test]
fn many_lines_take_no_quadratic_time() {
    let (mut tries, mut received, mut tried) = (Tries::default(), Vec::new(), 0);
    for _ in 0..MAX_UNREAD / 2 {
        received.extend_from_slice(b"a\n");
        tried += tries.lines(&received);
    }
    assert!(tried <= MAX_SPENT, "{tried}");
    assert!(!tries.is_all_tried(&received), "the rest is tried after a pause");
}

#[test]
fn an_excerpt_is_one_short_line() {
    assert_eq!(excerpt(b"a\r\n\"b\"\0"), "a\\r\\n\\\"b\\\"\\0");
    assert_eq!(excerpt("grün".as_bytes()), "grün");
    assert_eq!(excerpt(b"\xff\xfe"), "\\xff\\xfe");
    assert!(excerpt(&[b'x'; 1000]).len() < 110);
}

proptest! {
    #[test]
    fn pieces_do_not_change_the_result(
        said in "[ab \r\n]{0,40}",
        cuts in prop::collection::vec(0..40_usize, 0..5),
        expression in "(\\^)?[ab]{1,3}(\\$)?",
    ) {
        let runtime = runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let at_once = runtime.block_on(run_steps(vec![expect(&expression)], |far| send_and_end(far, said.as_bytes())));
        let pieces = runtime.block_on(run_steps(vec![expect(&expression)], async |mut far: DuplexStream| {
            let mut cuts: Vec<_> = cuts.iter().map(|cut| (*cut).min(said.len())).collect();
            cuts.sort_unstable();
            let mut start = 0;
            for cut in cuts.into_iter().chain([said.len()]) {
                far.write_all(&said.as_bytes()[start..cut]).await.unwrap();
                sleep(Duration::from_millis(10)).await;
                start = cut;
            }
        }));
        prop_assert_eq!(at_once.class(), pieces.class());
    }
}

#[tokio::test]
async fn an_endless_peer_does_not_block_others() {
    let dialogue = Dialogue([expect("^220")].into());
    let mut script = ScriptRunner::new(Instant::now() + TIMEOUT);
    let mut peer = join(repeat(b'\n'), sink());
    let mut running = pin!(script.run(Phase::Protocol, &dialogue, &mut peer));
    assert!(running.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
}

#[tokio::test]
async fn an_endless_peer_ends_at_the_deadline() {
    let dialogue = Dialogue([expect("^220")].into());
    let mut script = ScriptRunner::new(Instant::now());
    let fault = script
        .run(Phase::Protocol, &dialogue, &mut join(repeat(b'\n'), sink()))
        .await
        .unwrap_err();
    assert_eq!(class(&fault), Class::UnexpectedResponse);
    assert!(script.unread() < MAX_UNREAD, "{}", script.unread());
}
