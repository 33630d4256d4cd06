//! The size of the binary.

use std::fs;

use super::process::BINARY;
use super::report::{Aim, Figure, Report, Unit};

/// Reports the size of the binary under test.
pub(crate) fn size(report: &mut Report) {
    let bytes = fs::metadata(BINARY).unwrap().len() as f64;
    report.section("Binary".to_owned());
    report.add(&Figure::new("size", Unit::Megabytes, [bytes]).aim(Aim::Under(12e6)));
}
