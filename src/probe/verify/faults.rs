//! The faults found so far.

use crate::outcome::{CertificateFault, Class};

/// Faults, each class once.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<CertificateFault>);

impl Faults {
    /// Adds a fault; a second of its class becomes a further part of the first one's sentence.
    pub(super) fn add(&mut self, class: Class, detail: impl Into<String>) {
        let detail = detail.into();
        match self.0.iter_mut().find(|fault| fault.class == class) {
            Some(fault) => {
                fault.detail.push_str("; ");
                fault.detail.push_str(&detail);
            }
            None => self.0.push(CertificateFault { class, detail }),
        }
    }

    /// Every fault, the weightiest first.
    pub(super) fn into_sorted(mut self) -> Vec<CertificateFault> {
        self.0.sort_by_key(|fault| std::cmp::Reverse(fault.class.weight()));
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_class_stands_once_and_the_weightiest_first() {
        let mut faults = Faults::default();
        faults.add(Class::CertInvalid, "a");
        faults.add(Class::CertExpired, "b");
        faults.add(Class::CertInvalid, "c");
        let shown: Vec<_> = faults.into_sorted().into_iter().map(|fault| (fault.class, fault.detail)).collect();
        assert_eq!(shown, [(Class::CertExpired, "b".to_owned()), (Class::CertInvalid, "a; c".to_owned())]);
    }
}
