//! What a number of probes has cost.

use std::time::Duration;

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
