//! The cost of a number of probes.

use std::time::Duration;

use nix::time::ClockId;

/// A number of probes, and the CPU time and duration that they took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    pub(crate) probes: f64,
    pub(crate) cpu: Duration,
    pub(crate) wall: Duration,
}

impl Cost {
    /// CPU seconds per probe.
    pub(crate) fn each(&self) -> f64 {
        self.cpu.as_secs_f64() / self.probes
    }

    /// Probes per second.
    pub(crate) fn rate(&self) -> f64 {
        self.probes / self.wall.as_secs_f64()
    }
}

/// CPU time of this thread so far.
pub(crate) fn thread_cpu() -> Duration {
    ClockId::CLOCK_THREAD_CPUTIME_ID.now().unwrap().into()
}
