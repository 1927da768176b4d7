//! libFuzzer on every part of the simulated Redis that reads bytes from the world: see `ci/fuzz`.
#![no_main]

// The tests play what the fuzzer kept by the same code.
#[path = "../../../sim/middleware/redis/tests/fuzz/hostile.rs"]
mod hostile;

libfuzzer_sys::fuzz_target!(|data: &[u8]| hostile::play(data));
