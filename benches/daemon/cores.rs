//! Assignment of work to cores.

use std::process::{Child, Command, Stdio};
use std::thread::available_parallelism;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::{Pid, gettid};

/// The number of cores.
pub(crate) fn count() -> usize {
    available_parallelism().map_or(1, usize::from)
}

/// Binds this thread to one core.
pub(crate) fn keep_to(core: usize) {
    let mut cores = CpuSet::new();
    cores.set(core).unwrap();
    sched_setaffinity(Pid::from_raw(0), &cores).unwrap();
}

/// Whether [`come_first`] is allowed.
pub(crate) fn may_come_first() -> bool {
    Command::new("chrt")
        .args(["--fifo", "50", "true"])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Gives this thread priority over all others.
pub(crate) fn come_first() {
    let status = Command::new("chrt")
        .args(["--fifo", "--pid", "50", &gettid().to_string()])
        .status()
        .unwrap();
    assert!(status.success(), "the thread must be allowed to have priority");
}

/// Runs something on one core; processes that it starts stay there.
pub(crate) fn on<T>(core: usize, start: impl FnOnce() -> T) -> T {
    let all = sched_getaffinity(Pid::from_raw(0)).unwrap();
    keep_to(core);
    let started = start();
    sched_setaffinity(Pid::from_raw(0), &all).unwrap();
    started
}

/// A process that uses all the CPU time it can get; it is killed with this value.
#[derive(Debug)]
pub(crate) struct Busy(Child);

impl Busy {
    pub(crate) fn start() -> Self {
        let mut shell = Command::new("sh");
        Self(shell.args(["-c", "while :; do :; done"]).stdin(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
