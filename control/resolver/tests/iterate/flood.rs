//! Floods of questions whose servers are silent: bounded, and no harm to names that can be resolved.

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType::A;
use resolver::iterate::{Config, Limits, Outcome};

use crate::net::{COM, Net, config};

/// What came of a flood.
#[derive(Debug)]
pub(crate) struct Flood {
    /// Most questions that waited at once.
    pub(crate) outstanding_max: u64,
    /// Most messages in flight at once.
    pub(crate) exchanges_max: u64,
    /// Messages sent.
    pub(crate) sends: u64,
    /// Longest time from a question to its answer, in milliseconds: of the silent and of the live.
    pub(crate) silent_ms_max: u64,
    pub(crate) live_ms_max: u64,
    /// Live names that were asked.
    pub(crate) live: usize,
}

/// Asks `questions` names of `zones` zones on `servers` silent servers, all within a second, and
/// meanwhile and afterwards names that can be resolved. `look` is called while all wait.
pub(crate) fn flood(
    zones: usize,
    servers: usize,
    questions: usize,
    look: impl FnOnce(&Net),
) -> Flood {
    let mut net = Net::with(Config {
        limits: Limits {
            tickets_max: questions * 2,
            tasks_max: questions * 2,
            ..Limits::default()
        },
        ..config()
    });
    for zone in 0..zones {
        let server = zone % servers;
        let address = format!(
            "10.{}.{}.{}",
            1 + (server >> 16),
            server >> 8 & 0xff,
            server & 0xff
        );
        let lines = format!("dead{zone} NS ns.dead{zone}\n ns.dead{zone} A {address}");
        net.add(COM, "com.", &lines);
    }
    let (mut silent, mut live) = (Vec::new(), Vec::new());
    let mut found = Flood {
        outstanding_max: 0,
        exchanges_max: 0,
        sends: 0,
        silent_ms_max: 0,
        live_ms_max: 0,
        live: 0,
    };
    let mut look = Some(look);
    for slice in 0..60 {
        let (from, to) = (slice * questions / 10, (slice + 1) * questions / 10);
        for number in (from..to).filter(|number| *number < questions) {
            let qname = format!("n{number}.dead{}.com.", number % zones);
            silent.push((net.begin_plain(&qname, A), net.now_ms));
        }
        live.push((
            net.begin_plain(&format!("n{slice}.example.com."), A),
            net.now_ms,
        ));
        let statistics = net.resolver.statistics();
        found.outstanding_max = found.outstanding_max.max(statistics.tickets);
        if slice == 9
            && let Some(look) = look.take()
        {
            look(&net);
        }
        for _ in 0..10 {
            net.pass(10);
            let exchanges = net.resolver.statistics().exchanges;
            found.exchanges_max = found.exchanges_max.max(exchanges);
            found.sends += net.log.drain(..).len() as u64;
        }
    }
    net.run();
    found.live = live.len();
    found.silent_ms_max = longest_ms(&mut net, silent, |outcome| {
        outcome.rcode == ResponseCode::ServFail && !outcome.extended_errors.is_empty()
    });
    found.live_ms_max = longest_ms(&mut net, live, |outcome| {
        outcome.rcode == ResponseCode::NXDomain
    });
    found
}

fn longest_ms(net: &mut Net, asked: Vec<(u64, u64)>, is_right: fn(&Outcome) -> bool) -> u64 {
    let mut longest_ms = 0;
    for (ticket, at_ms) in asked {
        let done_ms = net.done_at(ticket).expect("every question is answered");
        longest_ms = longest_ms.max(done_ms - at_ms);
        let outcome = net.take(ticket);
        assert!(is_right(&outcome), "{outcome:?}");
    }
    longest_ms
}

#[test]
fn live_names_are_resolved_while_thousands_of_others_wait_for_silent_servers() {
    let limits = Limits::default();
    let found = flood(500, 500, 20_000, |_| {});
    assert!(found.outstanding_max > 5_000, "{found:?}");
    assert!(
        found.exchanges_max <= limits.exchanges_max as u64,
        "{found:?}"
    );
    assert!(
        found.silent_ms_max <= u64::from(limits.wall_ms_max),
        "{found:?}"
    );
    // Two servers at ten milliseconds each way, and the first has to be found.
    assert!(found.live_ms_max <= 100, "{found:?}");
    // A silent server costs messages by its count of questions under way, not by that of the flood.
    assert!(found.sends < 500 * 16 * 4, "{found:?}");
}

#[test]
fn live_names_are_resolved_while_thousands_of_zones_of_one_silent_server_are_asked() {
    let limits = Limits::default();
    let found = flood(5_000, 1, 10_000, |_| {});
    assert!(
        found.silent_ms_max <= u64::from(limits.wall_ms_max),
        "{found:?}"
    );
    assert!(found.live_ms_max <= 100, "{found:?}");
    // Each zone is found once by its parent; what comes on top goes to the silent server.
    assert!(found.sends < 5_000 + 1_000, "{found:?}");
}
