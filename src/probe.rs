//! Probing over the network: from a target to an outcome.
//!
//! One probe is resolve, then connect, under one deadline. `locate` finds where to connect (`resolve` turns a name into
//! addresses, `order` sorts them), `attempt` tries the addresses (`connect` makes one handshake, `tcp_info` has the
//! kernel's figures), `errno` says what an error code means.

use std::sync::Arc;

use tokio::time::Instant;

use self::attempt::{Attempted, attempt};
use self::locate::{Unlocated, locate};
use self::resolve::Resolver;
pub use self::resolve::{NameServing, SystemFiles};
use crate::outcome::{Outcome, Prober, Timings};
use crate::target::Target;

mod attempt;
mod connect;
mod errno;
mod locate;
mod order;
mod resolve;
mod socket;
mod tcp_info;

/// Probes targets over the network.
///
/// Made once and shared: it holds what is known of the machine's own name resolution, and nothing of any target.
#[derive(Debug)]
pub struct NetworkProber {
    resolver: Resolver,
}

impl NetworkProber {
    /// A prober that resolves names as this machine does. Touches no file before the first name.
    pub fn new(serving: NameServing) -> Self {
        Self::with_system_files(serving, SystemFiles::default())
    }

    /// A prober that takes name servers, search domains and hosts from these files.
    pub fn with_system_files(serving: NameServing, files: SystemFiles) -> Self {
        Self { resolver: Resolver::new(serving, files) }
    }
}

impl Prober for NetworkProber {
    async fn probe(&self, target: &Arc<Target>, deadline: Instant) -> Outcome {
        let started = Instant::now();
        let located = match locate(&self.resolver, target, deadline).await {
            Ok(located) => located,
            Err(Unlocated { verdict, resolution }) => {
                let duration = started.elapsed();
                return Outcome { verdict, duration, timings: Timings::default(), resolution, attempts: Vec::new() };
            }
        };
        let Attempted { attempts, verdict, timings, connection } =
            attempt(located.destinations, &target.settings, deadline).await;
        let timings = located.timings.and(timings);
        let duration = started.elapsed();
        if let Some(connection) = connection {
            connection.close();
        }
        Outcome { verdict, duration, timings, resolution: located.resolution, attempts }
    }
}
