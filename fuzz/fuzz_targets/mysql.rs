//! No data from a MySQL server, in any segmentation, causes a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| portprobe::fuzzing::converse("mysql", data));
