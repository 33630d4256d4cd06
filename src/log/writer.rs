//! Writing log lines on a separate thread, so that logging never blocks.
//!
//! Standard error may be a pipe that is not read for a while. When the queue is full, lines are dropped and counted,
//! and probing continues. Existing crates for this do not report dropped lines where they are missing.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

/// Starts a thread that writes lines to `out`, and a `notice`, with its line break, of the
/// number of dropped lines.
pub(super) fn start(
    out: impl Write + Send + 'static,
    notice: impl Fn(u64) -> String + Send + 'static,
) -> io::Result<(Lines, Flush)> {
    let (sender, messages) = sync_channel(MAX_WAITING);
    let (done, ended) = sync_channel(1);
    let lost = Arc::new(AtomicU64::default());
    let counted = lost.clone();
    thread::Builder::new().spawn(move || {
        write_all(out, &messages, &counted, &notice);
        // The receiver may have timed out.
        let _ = done.try_send(());
    })?;
    Ok((Lines { sender: sender.clone(), lost }, Flush { sender, ended }))
}

/// The input of the writer thread.
#[derive(Clone, Debug)]
pub(super) struct Lines {
    sender: SyncSender<Message>,
    lost: Arc<AtomicU64>,
}

impl MakeWriter<'_> for Lines {
    type Writer = Line;

    fn make_writer(&self) -> Line {
        Line { text: Vec::new(), lines: self.clone() }
    }
}

/// A line that is sent when it is dropped.
#[derive(Debug)]
pub(super) struct Line {
    text: Vec<u8>,
    lines: Lines,
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let text = std::mem::take(&mut self.text);
        if !text.is_empty() && self.lines.sender.try_send(Message::Line(text)).is_err() {
            self.lines.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Guard that on drop waits until every line so far is written, for at most a second.
#[derive(Debug)]
pub struct Flush {
    sender: SyncSender<Message>,
    ended: Receiver<()>,
}

impl Drop for Flush {
    fn drop(&mut self) {
        if self.sender.try_send(Message::End).is_ok() {
            let _ = self.ended.recv_timeout(PATIENCE);
        }
    }
}

#[derive(Debug)]
enum Message {
    End,
    Line(Vec<u8>),
}

/// Writes lines until the end, and a notice before a line if lines were dropped.
fn write_all(mut out: impl Write, messages: &Receiver<Message>, lost: &AtomicU64, notice: &impl Fn(u64) -> String) {
    while let Ok(Message::Line(text)) = messages.recv() {
        let missing = lost.swap(0, Ordering::Relaxed);
        if missing > 0 {
            let _ = out.write_all(notice(missing).as_bytes());
        }
        // There is no place to report that the log cannot be written.
        let _ = out.write_all(&text);
    }
}

/// Maximum number of queued lines: a change of state of every target of a large site.
const MAX_WAITING: usize = 16 * 1024;

/// Maximum time to write the last lines.
const PATIENCE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Writes into memory once it is allowed to, and reports that it was called.
    struct Gate {
        reached: SyncSender<()>,
        opened: Receiver<()>,
        written: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.reached.try_send(());
            // A dropped opener keeps it open.
            let _ = self.opened.recv();
            self.written.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn unread_lines_are_dropped_and_counted() {
        let (reached, waits) = sync_channel(1);
        let (open, opened) = sync_channel(0);
        let written = Arc::new(Mutex::new(Vec::new()));
        let (lines, flush) =
            start(Gate { reached, opened, written: written.clone() }, |lost| format!("lines={lost}\n")).unwrap();
        writeln!(lines.make_writer(), "line 0").unwrap();
        waits.recv().unwrap();
        for number in 1..MAX_WAITING + 500 {
            writeln!(lines.make_writer(), "line {number}").unwrap();
        }
        let lost = lines.lost.load(Ordering::Relaxed);
        assert_eq!(lost, 499, "one is being written, the others fill the queue");
        drop(open);
        // Succeeds once there is room, which shows that writing continues.
        while lines.sender.try_send(Message::Line(b"last\n".to_vec())).is_err() {
            thread::yield_now();
        }
        while written.lock().unwrap().len() < 100_000 {
            thread::yield_now();
        }
        drop(flush);
        let text = String::from_utf8(written.lock().unwrap().clone()).unwrap();
        assert!(text.starts_with("line 0\n") && text.ends_with("last\n"), "{}", text.len());
        assert_eq!(text.matches(&format!("lines={lost}\n")).count(), 1);
    }
}
