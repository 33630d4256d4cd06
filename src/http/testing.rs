//! A locked row for tests, to detect requests that block on it.

use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};

use super::AppState;
use crate::board::Board;
use crate::histogram::Buckets;
use crate::metrics::Metrics;
use crate::options::HistogramOptions;
use crate::target::{Settings, Shard, example};

/// The lock of the only row, held on another thread.
pub(super) struct HeldRow {
    unlock: mpsc::Sender<()>,
    holder: JoinHandle<()>,
}

impl HeldRow {
    /// Returns the state of a daemon with one target whose row is locked.
    pub(super) fn of_app_state() -> (AppState, Self) {
        let options = HistogramOptions { buckets: Buckets::default(), native: false, phases: Vec::new() };
        let board = Arc::new(Board::new(options));
        board.replace(&[Arc::new(example("127.0.0.1:1", Settings::default()))]);
        let metrics = Metrics::new(board.clone(), Arc::default(), None, Arc::default(), Shard::default());
        let (locked, is_locked) = mpsc::channel();
        let (unlock, may_unlock) = mpsc::channel();
        let rows = board.rows();
        let holder = thread::spawn(move || {
            rows.for_each(|_| {
                locked.send(()).unwrap();
                may_unlock.recv().unwrap();
            });
        });
        is_locked.recv().unwrap();
        (AppState::new(board, metrics, None), Self { unlock, holder })
    }

    pub(super) fn release(self) {
        self.unlock.send(()).unwrap();
        self.holder.join().unwrap();
    }
}
