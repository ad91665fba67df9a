//! A hundred thousand questions for names whose servers are silent: what they cost in memory, and
//! what happens to others meanwhile.
//!
//!     cargo run --release -p resolver --example outstanding [QUESTIONS [ZONES [SERVERS]]]
#![expect(clippy::print_stdout, reason = "its purpose")]
#![expect(clippy::unwrap_used, reason = "the simulated internet is a test")]

#[path = "../tests/iterate/authority.rs"]
#[expect(dead_code, reason = "shared with the tests")]
mod authority;
#[path = "../tests/iterate/flood.rs"]
mod flood;
#[path = "../tests/iterate/net.rs"]
#[expect(dead_code, reason = "shared with the tests")]
mod net;

fn resident_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * 4096)
}

fn main() {
    let mut numbers = std::env::args().skip(1).map(|text| text.parse());
    let mut number = |default| numbers.next().and_then(Result::ok).unwrap_or(default);
    let (questions, zones) = (number(100_000), number(1_000));
    let servers = number(zones);
    let before = resident_bytes().unwrap_or(0);
    let mut grown = 0;
    let started = std::time::Instant::now();
    let found = flood::flood(zones, servers, questions, |_| {
        grown = resident_bytes().unwrap_or(0).saturating_sub(before);
    });
    println!("questions                  {questions} of {zones} zones on {servers} silent servers");
    println!("waiting at once, most      {}", found.outstanding_max);
    println!("messages in flight, most   {}", found.exchanges_max);
    println!("messages sent              {}", found.sends);
    println!("longest until SERVFAIL     {} ms", found.silent_ms_max);
    println!(
        "longest of {} live names   {} ms",
        found.live, found.live_ms_max
    );
    println!(
        "memory                     {} MiB, {} bytes a question, the test's own included",
        grown >> 20,
        grown / questions as u64
    );
    println!(
        "computed in                {:.1} s",
        started.elapsed().as_secs_f64()
    );
}
