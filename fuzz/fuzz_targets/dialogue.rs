//! No data from the peer of a dialogue, in any segmentation, causes a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| portprobe::fuzzing::dialogue(data));
