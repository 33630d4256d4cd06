//! Whatever a peer calls a certificate is read without a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|der: &[u8]| portprobe::fuzzing::certificate(der));
