//! The log: logfmt or JSON lines for operators, on standard error.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, stderr};
use std::str::FromStr;

use tracing::{Level, Metadata, debug, info};
use tracing_subscriber::filter::{LevelFilter, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt as subscriber};

pub use self::writer::Flush;
use crate::board::{State, Transition};
use crate::clock;
use crate::duration;
use crate::outcome::{Failure, Fault, Report};
use crate::target::{TargetName, hide_query_values};

mod line;
mod writer;

/// The format of log lines.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Format {
    /// One JSON object per line.
    Json,
    /// `key=value` pairs.
    #[default]
    Logfmt,
}

impl FromStr for Format {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        match text {
            "json" => Ok(Self::Json),
            "logfmt" => Ok(Self::Logfmt),
            _ => Err(FormatError),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Json => "json",
            Self::Logfmt => "logfmt",
        })
    }
}

/// A text is not a log format.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("must be logfmt or json")]
pub struct FormatError;

/// Logs everything at `level` or above to standard error for the rest of the process. Dropping the returned value waits
/// until the lines so far are written. Fails if the thread that writes them cannot be started.
///
/// Libraries log only warnings, even at `debug`, because their lines about single probes would hide all others.
pub fn install(level: Level, format: Format) -> io::Result<Flush> {
    let shown = filter_fn(move |metadata: &Metadata<'_>| {
        let ours = metadata.target().starts_with(env!("CARGO_CRATE_NAME"));
        *metadata.level() <= if ours { level } else { level.min(Level::WARN) }
    })
    .with_max_level_hint(LevelFilter::from_level(level));
    let notice = move |lost: u64| {
        let message = "Log lines dropped because nothing read them";
        line::line(format, clock::now(), Level::WARN, message, [("lines", lost.into())])
    };
    let (lines, flush) = writer::start(stderr(), notice)?;
    // Fails only if a test has already installed a subscriber.
    let _ = Registry::default().with(layer(format, lines).with_filter(shown)).try_init();
    Ok(flush)
}

/// Formats events as lines.
fn layer<W>(format: Format, writer: W) -> impl Layer<Registry> + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    subscriber::layer().event_format(format).with_writer(writer)
}

/// Logs a confirmed change of state.
pub fn transition(transition: &Transition) {
    let target = &*shown(&transition.target.name);
    let (before, state) = (transition.from.as_str(), transition.to.as_str());
    let lasted = duration::display(transition.lasted);
    if let (Some(Failure { phase, class, detail }), State::Down) = (&transition.failure, transition.to) {
        let (phase, class) = (phase.as_str(), class.as_str());
        info!(target, state, class, phase, before, %lasted, detail, "Target is down");
    } else {
        info!(target, state, before, %lasted, "Target is up");
    }
}

/// Logs the first state of a target during a start, for debugging.
pub fn first_state(transition: &Transition) {
    debug!(target = &*shown(&transition.target.name), state = transition.to.as_str(), "Target has its first state");
}

/// Logs a failed probe, or a local fault, for debugging.
pub fn report(report: &Report) {
    let target = &*shown(&report.target.name);
    match &report.outcome.result {
        Ok(()) => {}
        Err(Fault::Failure(failure)) => debug!(target, %failure, "Probe failed"),
        Err(Fault::LocalFault(fault)) => debug!(target, %fault, "Cannot probe because of a local fault"),
    }
}

/// A name without the values of a query, if it is a URL.
fn shown(name: &TargetName) -> Cow<'_, str> {
    if name.as_str().contains("://") { hide_query_values(name.as_str()) } else { name.as_str().into() }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;
    use crate::clock::Timestamp;
    use crate::outcome::{Class, Facts, Outcome, Phase, Timings};
    use crate::target::{Settings, example};

    /// A writer that keeps the written lines.
    #[derive(Clone, Debug, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Returns the log of a failed probe and the change of state that it caused.
    fn logged(format: Format, detail: &str) -> String {
        let failure = Failure { phase: Phase::Tls, class: Class::CertNameMismatch, detail: detail.into() };
        let target = Arc::new(example("127.0.0.1:443", Settings::default()));
        let outcome = Outcome {
            result: Err(failure.clone().into()),
            duration: Duration::from_secs(1),
            timings: Timings::default(),
            resolution: None,
            attempts: Vec::new(),
            facts: Facts::default(),
            client_certificate_not_after: None,
        };
        let at = Timestamp::since_epoch(Duration::from_secs(1));
        let kept = Kept::default();
        let writer = kept.clone();
        tracing::subscriber::with_default(Registry::default().with(layer(format, move || writer.clone())), || {
            report(&Report { target: target.clone(), outcome, ended: Instant::now(), ended_at: at });
            let (from, to, lasted) = (State::Up, State::Down, Duration::from_secs(1));
            transition(&Transition { target, from, to, at, lasted, failure: Some(failure) });
        });
        let written = kept.0.lock().unwrap().clone();
        String::from_utf8(written).unwrap()
    }

    #[test]
    fn no_certificate_breaks_a_line() {
        let hostile = "it is for CN=a\nlevel=info msg=forged\r\n\u{1b}[2J\0\u{9b}0m\u{202e} \"x\" {\"a\": 1}";
        for format in [Format::Json, Format::Logfmt] {
            let text = logged(format, hostile);
            let lines: Vec<_> = text.split_terminator('\n').collect();
            assert_eq!(lines.len(), 2, "{text}");
            for line in lines {
                assert!(line.contains("forged") && !line.contains(['\r', '\u{1b}', '\0']), "{line:?}");
                assert!(!line.contains(['\u{9b}', '\u{202e}']), "{line:?}");
            }
        }
        let json = logged(Format::Json, hostile);
        let transition: serde_json::Value = serde_json::from_str(json.lines().nth(1).unwrap()).unwrap();
        assert_eq!((&transition["class"], &transition["detail"]), (&"cert_name_mismatch".into(), &hostile.into()));
    }

    #[test]
    fn values_of_queries_are_not_logged() {
        for (name, expected) in [
            ("https://a.example:443/?token=x", "https://a.example:443/?token=<hidden>"),
            ("is it up? yes", "is it up? yes"),
        ] {
            assert_eq!(shown(&TargetName::try_new(name).unwrap()), expected);
        }
    }
}
