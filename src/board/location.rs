//! The addresses of a name and the result of each.

use std::net::IpAddr;

use crate::outcome::{Attempt, Fault, Outcome};
use crate::target::AddressMode;

/// The last result of one address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct AddressResult {
    /// The address.
    pub address: IpAddr,
    /// Whether it succeeded.
    pub success: bool,
}

/// The addresses of a target.
#[derive(Debug, Default)]
pub(super) struct Location {
    pub(super) resolved_addresses: Option<u32>,
    pub(super) address: Option<IpAddr>,
    pub(super) addresses: Box<[AddressResult]>,
}

impl Location {
    /// Applies the outcome of a probe.
    pub(super) fn note(&mut self, outcome: &Outcome, mode: AddressMode) {
        if let Some(resolution) = &outcome.resolution {
            self.resolved_addresses = Some(u32::try_from(resolution.addresses.len()).unwrap_or(u32::MAX));
        }
        self.address = outcome.address().or(self.address);
        match mode {
            AddressMode::Any => self.addresses = Box::default(),
            AddressMode::All if outcome.attempts.is_empty() => {}
            AddressMode::All => {
                self.addresses = outcome
                    .attempts
                    .iter()
                    .filter_map(|attempt| self.address_result(attempt))
                    .collect();
            }
        }
    }

    /// Returns the result of an address; after a local fault, its previous result.
    fn address_result(&self, attempt: &Attempt) -> Option<AddressResult> {
        match attempt.result {
            Err(Fault::LocalFault(_)) => {
                self.addresses.iter().find(|before| before.address == attempt.address).copied()
            }
            Ok(()) | Err(Fault::Failure(_)) => {
                Some(AddressResult { address: attempt.address, success: attempt.result.is_ok() })
            }
        }
    }
}
