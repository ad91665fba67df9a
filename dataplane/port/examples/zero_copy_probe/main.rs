//! Asks a running nexus-dataplane from a raw socket and compares every frame that comes back, byte
//! for byte, with one that is made here by other code than the data plane's.
//!
//! It plays both ends: the client on the wire, and control behind the unix socket, so that misses
//! are answered and it is known which answers came from a cache. `scripts/zero-copy-lab` runs it:
//! `zero_copy_probe INTERFACE SERVER_MAC SOCKET MODE`.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{Write as _, stdout};
use std::path::Path;
use std::time::{Duration, Instant};

mod control;
mod link;
mod packet;

use control::Control;
use link::Link;
use packet::{AA, Ends, OPCODE_STATUS, QR, RA, RD, TTL_SECS, answer, error, query};

/// An emulated machine is slow; an answer that does come ends the wait at once.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(20);
/// Workers must have seen control's heartbeat before they hand anything over.
const WARM_UP: Duration = Duration::from_secs(1);
const BULK_QUERIES: u16 = 2000;
const BULK_WINDOW: usize = 32;

const NAME: &[u8] = b"\x03www\x07example\x04test\x00";
const NAME_IN_CAPITALS: &[u8] = b"\x03wWw\x07EXAMPLE\x04tesT\x00";
const OTHER_NAME: &[u8] = b"\x05edns0\x07example\x04test\x00";
const ROOT: &[u8] = b"\x00";
const SERVFAIL: u16 = 2;
const NOTIMP: u16 = 4;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// What must come back.
#[derive(Clone, Copy)]
enum Expected {
    /// Control's answer, sent on by the worker.
    FromControl,
    /// The same from the worker's memory, its TTL lowered by the time since.
    FromMemory,
    /// An error of the worker's own.
    Error(u16),
}

struct Probe {
    link: Link,
    server: [u8; 6],
    control: Option<Control>,
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [interface, server, socket, mode] = arguments.as_slice() else {
        return Err("usage: zero_copy_probe INTERFACE SERVER_MAC SOCKET MODE".into());
    };
    let mut probe = Probe {
        link: Link::open(interface)?,
        server: hardware_address(server)?,
        control: None,
    };
    let plain = Ends::default();
    let tagged = Ends {
        tag: Some([0x81, 0x00, 0x00, 0x2a]),
        ..plain
    };
    let ipv6 = Ends {
        is_ipv6: true,
        ..plain
    };
    let edns = query(7, RD, OTHER_NAME, Some(4096));

    let first = query(1, RD, NAME, None);
    probe.ask(
        "no control: SERVFAIL",
        &plain,
        &first,
        Expected::Error(SERVFAIL),
    )?;
    probe.attach(Path::new(socket), mode)?;
    probe.ask(
        "miss: control's answer",
        &plain,
        &first,
        Expected::FromControl,
    )?;
    let again = query(2, RD, NAME_IN_CAPITALS, None);
    probe.ask("hit: own id and case", &plain, &again, Expected::FromMemory)?;
    probe.ask("hit over IPv6", &ipv6, &again, Expected::FromMemory)?;
    probe.ask("hit in a VLAN", &tagged, &again, Expected::FromMemory)?;
    let tagged_ipv6 = Ends {
        is_ipv6: true,
        ..tagged
    };
    probe.ask(
        "hit over IPv6 in a VLAN",
        &tagged_ipv6,
        &again,
        Expected::FromMemory,
    )?;
    probe.ask(
        "miss with EDNS over IPv6",
        &ipv6,
        &edns,
        Expected::FromControl,
    )?;
    probe.ask("hit with EDNS", &plain, &edns, Expected::FromMemory)?;
    // 59 bytes: padded to the 60 that Ethernet wants.
    let root = query(3, 0, ROOT, None);
    probe.ask(
        "miss in a padded frame",
        &plain,
        &root,
        Expected::FromControl,
    )?;
    probe.ask("hit in a padded frame", &plain, &root, Expected::FromMemory)?;
    let status = query(4, OPCODE_STATUS, NAME, None);
    probe.ask(
        "other opcode: NOTIMP",
        &plain,
        &status,
        Expected::Error(NOTIMP),
    )?;
    probe.ask_many(&plain)
}

impl Probe {
    fn attach(&mut self, socket: &Path, mode: &str) -> Result<()> {
        let mut control = Control::attach(socket)?;
        let found = control.mode();
        if found != mode {
            return Err(format!("the dataplane says it runs in mode {found}, not {mode}").into());
        }
        let until = Instant::now() + WARM_UP;
        while Instant::now() < until {
            control.serve()?;
            std::thread::sleep(POLL);
        }
        self.control = Some(control);
        report(&format!("mode {mode}"))
    }

    /// Sends one query and compares what comes back.
    fn ask(&mut self, what: &str, ends: &Ends, query: &[u8], expected: Expected) -> Result<()> {
        let served = self.served();
        self.link
            .send(&ends.query_frame(self.link.address, self.server, query))?;
        let until = Instant::now() + ANSWER_WAIT_MAX;
        while Instant::now() < until {
            let Some(frame) = self.receive()? else {
                continue;
            };
            self.compare(&frame, ends, query, expected)
                .map_err(|error| format!("{what}: {error}"))?;
            let asked = self.served() - served;
            if asked != u64::from(matches!(expected, Expected::FromControl)) {
                return Err(format!("{what}: control was asked {asked} times").into());
            }
            return report(what);
        }
        Err(format!("{what}: no answer").into())
    }

    /// Many hits, a window at a time; every one must come back.
    fn ask_many(&mut self, ends: &Ends) -> Result<()> {
        let mut waiting = BTreeMap::new();
        let mut unasked = 0..BULK_QUERIES;
        let mut until = Instant::now() + ANSWER_WAIT_MAX;
        loop {
            while waiting.len() < BULK_WINDOW
                && let Some(id) = unasked.next()
            {
                let query = query(id, RD, NAME, None);
                self.link
                    .send(&ends.query_frame(self.link.address, self.server, &query))?;
                waiting.insert(id, query);
            }
            if waiting.is_empty() {
                return report(&format!("{BULK_QUERIES} queries, no loss"));
            }
            if Instant::now() > until {
                return Err(format!("{} of {BULK_QUERIES} queries lost", waiting.len()).into());
            }
            let Some(frame) = self.receive()? else {
                continue;
            };
            until = Instant::now() + ANSWER_WAIT_MAX;
            let id = packet::message_of(&frame).and_then(|message| message.first_chunk());
            let id = u16::from_be_bytes(*id.ok_or("an answer without an id")?);
            let query = waiting
                .remove(&id)
                .ok_or("an answer that nobody waits for")?;
            self.compare(&frame, ends, &query, Expected::FromMemory)?;
        }
    }

    /// The next frame from the server's port 53, if one comes soon. Lets control work meanwhile.
    fn receive(&mut self) -> Result<Option<Vec<u8>>> {
        if let Some(control) = &mut self.control {
            control.serve()?;
        }
        let Some(frame) = self.link.receive(POLL)? else {
            return Ok(None);
        };
        let is_ours = frame[..6] == self.link.address && frame[6..12] == self.server;
        Ok((is_ours && packet::message_of(&frame).is_some()).then_some(frame))
    }

    fn compare(&self, frame: &[u8], ends: &Ends, query: &[u8], expected: Expected) -> Result<()> {
        let message = match expected {
            Expected::Error(code) => error(query, code),
            Expected::FromControl => answer(query, QR | AA | RA, TTL_SECS),
            Expected::FromMemory => {
                let found = packet::message_of(frame)
                    .and_then(packet::ttl_of)
                    .ok_or("no TTL")?;
                let stored = self
                    .control
                    .as_ref()
                    .map_or(Duration::ZERO, Control::attached_for);
                let oldest = u32::try_from(stored.as_secs())? + 1;
                if !(TTL_SECS.saturating_sub(oldest)..=TTL_SECS).contains(&found) {
                    return Err(format!("TTL {found} after at most {oldest} s").into());
                }
                answer(query, QR | AA | RA, found)
            }
        };
        let expected = ends.answer_frame(self.server, self.link.address, &message);
        if frame == expected {
            return Ok(());
        }
        Err(format!("got\n{frame:02x?}\nexpected\n{expected:02x?}").into())
    }

    fn served(&self) -> u64 {
        self.control.as_ref().map_or(0, |control| control.served)
    }
}

fn report(what: &str) -> Result<()> {
    Ok(writeln!(stdout(), "probe: ok: {what}")?)
}

fn hardware_address(text: &str) -> Result<[u8; 6]> {
    let bytes: std::result::Result<Vec<u8>, _> = text
        .trim()
        .split(':')
        .map(|part| u8::from_str_radix(part, 16))
        .collect();
    bytes?
        .try_into()
        .map_err(|_| format!("{text} is no hardware address").into())
}
