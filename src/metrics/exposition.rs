//! The exposition: all metrics in one format, one piece at a time.
//!
//! Families are written one after the other. For each family, a block of rows is copied and then encoded. No row is
//! locked while it is encoded, nothing is locked while a client reads, and memory does not grow with the number of
//! targets.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use metrics_process::collector;
use prometheus_client::encoding::prometheus_protobuf;
use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;
use tokio::time::Instant;

use super::audit::AUDITS;
use super::daemon::{DAEMON, DaemonReader};
use super::encode::Batch;
use super::family::{Family, Kind, RowReader, TargetFamily};
use super::process::PROCESS;
use super::sample::Sample;
use super::target::{GROUPS, TARGETS};
use super::{Format, Inputs};
use crate::board::{Row, View};

/// An exposition in progress.
#[derive(Debug)]
pub struct Exposition {
    inputs: Arc<Inputs>,
    format: Format,
    view: View,
    now: Instant,
    place: Place,
}

/// The position of an exposition.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// At a row of a family of targets.
    Targets { family: usize, row: usize, declaration: Declaration },
    /// At the families of groups, of portprobe itself and of the process, which are small.
    Rest,
    /// At the end.
    End,
}

/// Whether type and help of a family are written.
#[derive(Clone, Copy, Debug)]
enum Declaration {
    /// Not yet; they precede the first sample.
    Due,
    /// Already, before an earlier sample.
    Written,
}

impl Exposition {
    /// Starts an exposition of the current view.
    pub(super) fn new(inputs: Arc<Inputs>, format: Format) -> Self {
        let view = inputs.board.view();
        let place = Place::Targets { family: 0, row: 0, declaration: Declaration::Due };
        Self { inputs, format, view, now: Instant::now(), place }
    }

    /// Writes the next piece of at least 64 KiB, or less at the end; returns `None` after the end.
    ///
    /// A call takes about a millisecond, so it must not run on the thread that probes.
    pub fn next_piece(&mut self) -> Result<Option<Vec<u8>>, fmt::Error> {
        let mut piece = Vec::with_capacity(PIECE_BYTES * 2);
        while piece.len() < PIECE_BYTES {
            match self.place {
                Place::Targets { family, row, declaration } => self.block(family, row, declaration, &mut piece)?,
                Place::Rest => {
                    self.rest(&mut piece)?;
                    self.place = Place::End;
                }
                Place::End if piece.is_empty() => return Ok(None),
                Place::End => break,
            }
        }
        Ok(Some(piece))
    }

    /// Writes the next block of rows of one family.
    fn block(&mut self, family: usize, row: usize, declaration: Declaration, piece: &mut Vec<u8>) -> fmt::Result {
        let Some(TargetFamily { family: name, read }) = TARGETS.get(family) else {
            self.place = Place::Rest;
            return Ok(());
        };
        let end = self.view.rows.len().min(row + block_rows(name));
        let mut samples = Vec::with_capacity(end - row);
        self.copy(row..end, *read, &mut samples);
        let after = if samples.is_empty() { declaration } else { Declaration::Written };
        self.write(name, samples, declaration, piece)?;
        self.place = if end < self.view.rows.len() {
            Place::Targets { family, row: end, declaration: after }
        } else {
            Place::Targets { family: family + 1, row: 0, declaration: Declaration::Due }
        };
        Ok(())
    }

    fn copy(&self, block: Range<usize>, read: fn(&Row, &mut RowReader<'_>), samples: &mut Vec<Sample>) {
        let now = self.now;
        self.view
            .rows
            .for_each_in(block, |target, row| read(row, &mut RowReader { samples: &mut *samples, now, target }));
    }

    /// Writes the families that are not those of targets.
    fn rest(&self, piece: &mut Vec<u8>) -> fmt::Result {
        let groups = self.view.rows.groups();
        for family in GROUPS {
            let samples = groups.iter().filter_map(|status| family.sample(status)).collect();
            self.write(&family.family, samples, Declaration::Due, piece)?;
        }
        let reader = DaemonReader { inputs: &self.inputs, view: &self.view };
        for family in DAEMON.iter().chain(AUDITS) {
            self.write(&family.family, (family.read)(&reader), Declaration::Due, piece)?;
        }
        let process = collector::collect();
        for family in PROCESS {
            let sample = (family.read)(&process).map(|value| reader.sample(Vec::new(), value));
            self.write(&family.family, sample.into_iter().collect(), Declaration::Due, piece)?;
        }
        if self.format == Format::OpenMetrics {
            text::encode_eof(&mut Appended { piece, head: Head::Over })?;
        }
        Ok(())
    }

    /// Encodes samples of one family. Text formats declare a family once. In protobuf each block is a message with its
    /// own declaration, which Prometheus accepts. A family without samples is omitted.
    fn write(
        &self,
        family: &'static Family,
        samples: Vec<Sample>,
        declaration: Declaration,
        piece: &mut Vec<u8>,
    ) -> fmt::Result {
        if samples.is_empty() {
            return Ok(());
        }
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Batch { family, format: self.format, samples }));
        if self.format == Format::Protobuf {
            let encoded = prometheus_protobuf::encode_to_vec(&registry).map_err(|_| fmt::Error)?;
            piece.extend_from_slice(&encoded);
            return Ok(());
        }
        let head = match declaration {
            Declaration::Due => Head::Over,
            Declaration::Written => Head::LineBegins,
        };
        text::encode_registry(&mut Appended { piece, head }, &registry)
    }
}

/// Appends encoded text to a piece; skips its leading comment lines if they are already written.
struct Appended<'a> {
    piece: &'a mut Vec<u8>,
    head: Head,
}

/// The state of skipping the leading comment lines.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Head {
    LineBegins,
    InComment,
    Over,
}

impl fmt::Write for Appended<'_> {
    fn write_str(&mut self, mut text: &str) -> fmt::Result {
        while self.head != Head::Over && !text.is_empty() {
            if self.head == Head::LineBegins && !text.starts_with('#') {
                self.head = Head::Over;
            } else if let Some((_, rest)) = text.split_once('\n') {
                (self.head, text) = (Head::LineBegins, rest);
            } else {
                (self.head, text) = (Head::InComment, "");
            }
        }
        self.piece.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

/// Returns the number of rows whose series of this family fill about one piece.
const fn block_rows(family: &Family) -> usize {
    match family.kind {
        Kind::Counter | Kind::Gauge => 512,
        Kind::Histogram => 64,
    }
}

/// Large enough for few system calls, small enough for many clients at the same time.
const PIECE_BYTES: usize = 64 * 1024;
