//! The standard process metrics of Prometheus client libraries.

use metrics_process::collector::Metrics;

use super::family::Family;
use super::sample::Value;

/// A family with one series of the process.
#[derive(Clone, Copy, Debug)]
pub(super) struct ProcessFamily {
    pub(super) family: Family,
    /// Reads the value; `None` if the operating system does not provide it.
    pub(super) read: fn(&Metrics) -> Option<Value>,
}

/// Every family of the process.
pub(super) const PROCESS: &[ProcessFamily] = &[
    ProcessFamily {
        family: Family::counter("process_cpu_seconds_total", "Total user and system CPU time spent in seconds"),
        read: |metrics| metrics.cpu_seconds_total.map(Value::Real),
    },
    ProcessFamily {
        family: Family::gauge("process_open_fds", "Number of open file descriptors"),
        read: |metrics| metrics.open_fds.map(Value::Count),
    },
    ProcessFamily {
        family: Family::gauge("process_max_fds", "Maximum number of open file descriptors"),
        read: |metrics| metrics.max_fds.map(Value::Count),
    },
    ProcessFamily {
        family: Family::gauge("process_virtual_memory_bytes", "Virtual memory size in bytes"),
        read: |metrics| metrics.virtual_memory_bytes.map(Value::Count),
    },
    ProcessFamily {
        family: Family::gauge(
            "process_virtual_memory_max_bytes",
            "Maximum amount of virtual memory available in bytes",
        ),
        // Zero means unlimited.
        read: |metrics| metrics.virtual_memory_max_bytes.filter(|limit| *limit > 0).map(Value::Count),
    },
    ProcessFamily {
        family: Family::gauge("process_resident_memory_bytes", "Resident memory size in bytes"),
        read: |metrics| metrics.resident_memory_bytes.map(Value::Count),
    },
    ProcessFamily {
        family: Family::gauge("process_start_time_seconds", "Start time of the process since unix epoch in seconds"),
        read: |metrics| metrics.start_time_seconds.map(Value::Count),
    },
    ProcessFamily {
        family: Family::gauge("process_threads", "Number of OS threads in the process"),
        read: |metrics| metrics.threads.map(Value::Count),
    },
];
