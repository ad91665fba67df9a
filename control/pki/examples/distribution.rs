//! How long verdicts take, as a distribution: `cargo run --release -p pki --example distribution`.
//!
//! The processor's caches are overwritten before each, so that it is as cold as after other work. Beside the time on the wall
//! stands that of the thread on its processor, which others on the same machine do not lengthen.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measurement is printed, or there is none"
)]

#[path = "../../ct/tests/certificates/pki.rs"]
mod pki;
#[path = "../tests/judge/responder.rs"]
mod responder;
#[path = "../tests/judge/sample.rs"]
mod sample;
#[path = "../../ct/tests/support/mod.rs"]
mod support;
#[path = "../tests/judge/world.rs"]
mod world;

use std::hint::black_box;
use std::time::Instant;

use hdrhistogram::Histogram;
use rustix::time::{ClockId, clock_gettime};
use sample::Sample;

const VERDICTS: usize = 2_000;
/// More than caches of the third level hold.
const SWEPT_BYTES: usize = 64 << 20;

fn main() {
    for (name, algorithm) in [
        ("p256", &rcgen::PKCS_ECDSA_P256_SHA256),
        ("rsa2048", &rcgen::PKCS_RSA_SHA256),
    ] {
        let sample = Sample::new(algorithm);
        let mut swept = vec![0_u8; SWEPT_BYTES];
        let mut wall = Histogram::<u64>::new(3).unwrap();
        let mut thread = Histogram::<u64>::new(3).unwrap();
        for round in 0..VERDICTS {
            for byte in swept.iter_mut().step_by(64) {
                *byte = byte.wrapping_add(u8::try_from(round % 251).unwrap());
            }
            black_box(&swept);
            let (begun, thread_begun) = (Instant::now(), thread_ns());
            black_box(sample.judge());
            let taken = u64::try_from(begun.elapsed().as_nanos()).unwrap();
            thread.record(thread_ns() - thread_begun).unwrap();
            wall.record(taken).unwrap();
        }
        print(name, "wall", &wall);
        print(name, "thread", &thread);
    }
}

fn thread_ns() -> u64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    u64::try_from(now.tv_sec * 1_000_000_000 + now.tv_nsec).unwrap()
}

fn print(name: &str, clock: &str, nanos: &Histogram<u64>) {
    let micros = |quantile| nanos.value_at_quantile(quantile) / 1_000;
    println!(
        "{name}, {clock}: mean {:.0} us, p50 {} us, p99 {} us, p99.9 {} us, max {} us of {VERDICTS}",
        nanos.mean() / 1_000.0,
        micros(0.5),
        micros(0.99),
        micros(0.999),
        nanos.max() / 1_000,
    );
}
