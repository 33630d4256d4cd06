//! What a number of probes has cost.

use std::time::Duration;

use nix::time::ClockId;

/// Probes, and the CPU and the time that they took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    pub(crate) probes: f64,
    pub(crate) cpu: Duration,
    pub(crate) wall: Duration,
}

impl Cost {
    /// Seconds of CPU for each probe.
    pub(crate) fn each(&self) -> f64 {
        self.cpu.as_secs_f64() / self.probes
    }

    /// Probes a second.
    pub(crate) fn rate(&self) -> f64 {
        self.probes / self.wall.as_secs_f64()
    }
}

/// CPU that this thread has used so far.
pub(crate) fn thread_cpu() -> Duration {
    ClockId::CLOCK_THREAD_CPUTIME_ID.now().unwrap().into()
}
