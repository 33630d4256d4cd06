//! Whatever a peer says to the steps of a dialogue, and in whatever pieces, ends without a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|said: &[u8]| portprobe::fuzzing::dialogue(said));
