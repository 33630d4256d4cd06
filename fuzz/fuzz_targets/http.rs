//! Whatever a peer says to a client of HTTP, and in whatever pieces, ends without a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| portprobe::fuzzing::converse("http", data));
