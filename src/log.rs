//! The log: one line for what an operator wants to know, in logfmt or JSON, on standard error.

use std::fmt;
use std::io::stderr;
use std::str::FromStr;

use tracing::{Level, Metadata, debug, info};
use tracing_subscriber::filter::{LevelFilter, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt as subscriber};

pub use self::writer::Flush;
use crate::board::{State, Transition};
use crate::duration;
use crate::outcome::{Failure, Report, Verdict};

mod writer;

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Format {
    /// One JSON object a line.
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

/// A text is no log format.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("is no log format; the formats are logfmt and json")]
pub struct FormatError;

/// Sends everything at `level` or above to standard error, for the life of the process. The lines so far are written
/// when the returned value is dropped.
///
/// Of the libraries underneath only warnings are shown, and at `debug` not more either: what they say of single probes
/// would drown the rest.
pub fn install(level: Level, format: Format) -> Flush {
    let shown = filter_fn(move |metadata: &Metadata<'_>| {
        let ours = metadata.target().starts_with(env!("CARGO_CRATE_NAME"));
        *metadata.level() <= if ours { level } else { level.min(Level::WARN) }
    })
    .with_max_level_hint(LevelFilter::from_level(level));
    let (lines, flush) = writer::start(
        stderr(),
        match format {
            Format::Json => |lost| format!(r#"{{"level":"WARN","message":"{LOST}","lines":{lost}}}"#),
            Format::Logfmt => |lost| format!(r#"level=warn message="{LOST}" lines={lost}"#),
        },
    );
    let layer: Box<dyn Layer<Registry> + Send + Sync> = match format {
        Format::Json => subscriber::layer().json().flatten_event(true).with_writer(lines).with_target(false).boxed(),
        Format::Logfmt => tracing_logfmt::builder().with_target(false).layer().with_writer(lines).boxed(),
    };
    // Fails only where a test has installed another before.
    let _ = Registry::default().with(layer.with_filter(shown)).try_init();
    flush
}

/// One line for a confirmed change of state.
pub fn transition(transition: &Transition) {
    let target = transition.target.name.as_str();
    let (before, state) = (transition.from.as_str(), transition.to.as_str());
    let lasted = duration::display(transition.lasted);
    if let (Some(Failure { phase, class, detail }), State::Down) = (&transition.failure, transition.to) {
        let (phase, class) = (phase.as_str(), class.as_str());
        info!(target, state, class, phase, before, %lasted, detail, "Target is down");
    } else {
        info!(target, state, before, %lasted, "Target is {state}");
    }
}

/// A failed probe, or one that this machine could not make: of interest to whoever debugs.
pub fn report(report: &Report) {
    let target = report.target.name.as_str();
    match &report.outcome.verdict {
        Verdict::Failed(failure) => debug!(target, %failure, "Probe failed"),
        Verdict::Good => {}
        Verdict::LocalFault(fault) => debug!(target, %fault, "This machine could not probe"),
    }
}

/// Said in place of lines that found no room.
const LOST: &str = "Log lines were lost, for nobody read them";
