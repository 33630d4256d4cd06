//! Entry points for fuzz targets, which fail by a panic or a hang.

use tokio::io::{AsyncReadExt as _, join, sink};
use tokio::runtime;
use tokio::time::Instant;

use super::certificate::{constrained_names, masked, may_need_mask, read_with_restrictions};
use super::exchange::script::ScriptRunner;
use crate::outcome::Phase;
use crate::target::{Cadence, Dialogue, Expectation, Part, Pattern, Step, Template};

/// Parses bytes as a certificate, in each form that is used.
pub fn certificate(der: &[u8]) {
    let _ = read_with_restrictions(der);
    let _ = constrained_names(der);
    if let Some(copy) = masked(der) {
        assert_eq!(copy.der.len(), der.len());
        assert!(copy.signed.end <= der.len());
        assert!(copy.der == der || may_need_mask(der));
    }
}

/// Runs a dialogue with a peer that sends these bytes in two pieces. The first byte is the length of the first piece.
pub fn dialogue(input: &[u8]) {
    let Some((cut, sent)) = input.split_first() else { return };
    let (first, second) = sent.split_at(usize::from(*cut).min(sent.len()));
    let mut stream = join(first.chain(second), sink());
    let runtime = runtime::Builder::new_current_thread().enable_time().build();
    let Ok(runtime) = runtime else { return };
    let talk = async {
        let deadline = Instant::now() + Cadence::DEFAULT_TIMEOUT;
        let mut script = ScriptRunner::new(deadline);
        let _ = script.run(Phase::Protocol, &steps(), &mut stream).await;
        let _ = script.labels();
    };
    runtime.block_on(talk);
}

/// Returns a dialogue with a step of each kind.
fn steps() -> Dialogue {
    let expect = |expression| {
        Pattern::try_new(expression)
            .map(|pattern| Step::Expect(Expectation { pattern, labels: Vec::new() }))
            .ok()
    };
    let echo = Step::Send(Template([Part::Bytes(b"x".as_slice().into()), Part::Group(1)].into()));
    let bytes = Step::ExpectBytes(b"\0\x01".as_slice().into());
    let steps = [expect(r"^(\w+) .*$"), Some(echo), expect("^$"), Some(bytes), expect("a|b+c{2}")];
    Dialogue(steps.into_iter().flatten().collect())
}
