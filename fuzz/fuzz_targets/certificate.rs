//! No bytes that a peer sends as its certificate cause a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|der: &[u8]| portprobe::fuzzing::certificate(der));
