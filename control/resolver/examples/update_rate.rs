//! How many small updates a second a zone takes, beside its size: `cargo run --release -p resolver --example update_rate`.

use std::io::Write;
use std::time::Instant;

use resolver::zone::{Update, Zone, ZoneContents};

const APEX: &[u8] = b"\x07example\0";
const UPDATES: u32 = 200_000;

fn main() -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    for names in [100_u32, 10_000, 1_000_000] {
        let mut text =
            "@ 60 SOA ns host 7 3600 600 86400 60\n@ 60 NS ns\nns 60 A 192.0.2.1\n".to_owned();
        for name in 0..names {
            text.push_str(&format!("h{name} 60 A 192.0.2.1\n"));
        }
        let read = Zone::read(
            APEX,
            text.as_bytes(),
            "zone",
            &mut |_, _| Err(String::new()),
        );
        let Ok((zone, _)) = read else {
            return Err(std::io::Error::other("a zone without faults"));
        };
        let mut contents = ZoneContents::from_zone(&zone);
        let updates: Vec<Vec<u8>> = (0..UPDATES).map(|index| message(index, names)).collect();
        let began = Instant::now();
        for update in &updates {
            let update = Update::parse(update).map_err(std::io::Error::other)?;
            let bytes = update.encode().map_err(std::io::Error::other)?;
            let update = Update::decode(&bytes).map_err(std::io::Error::other)?;
            let applied = contents.apply(&update).map_err(std::io::Error::other)?;
            std::hint::black_box(applied.delta());
        }
        let rate = f64::from(UPDATES) / began.elapsed().as_secs_f64();
        let began = Instant::now();
        let built = contents.build().map_err(std::io::Error::other)?;
        let build_ms = began.elapsed().as_secs_f64() * 1e3;
        let began = Instant::now();
        let copy = contents.clone();
        let clone_ms = began.elapsed().as_secs_f64() * 1e3;
        std::hint::black_box((built, copy));
        writeln!(
            out,
            "{names} names: {rate:.0} updates/s; build {build_ms:.1} ms, clone {clone_ms:.2} ms"
        )?;
    }
    Ok(())
}

/// Replaces the address of one host, as a lease does: the set goes, a record comes, if the name is in use.
fn message(index: u32, names: u32) -> Vec<u8> {
    let mut out = vec![0, 1, 0x28, 0, 0, 1, 0, 1, 0, 2, 0, 0];
    out.extend_from_slice(APEX);
    out.extend_from_slice(&[0, 6, 0, 1]);
    let label = format!("h{}", index.wrapping_mul(2_654_435_761) % names);
    let owner = [
        &[u8::try_from(label.len()).unwrap_or(0)],
        label.as_bytes(),
        &[0xc0, 12],
    ]
    .concat();
    out.extend_from_slice(&owner);
    out.extend_from_slice(&[0, 255, 0, 255, 0, 0, 0, 0, 0, 0]);
    out.extend_from_slice(&owner);
    out.extend_from_slice(&[0, 1, 0, 255, 0, 0, 0, 0, 0, 0]);
    out.extend_from_slice(&owner);
    out.extend_from_slice(&[0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
    out.extend_from_slice(&index.to_be_bytes());
    out
}
