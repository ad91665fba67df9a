//! Tests of notices, with secondaries on loopback sockets.

use hickory_proto::op::{Message, OpCode};
use resolver::zone::TsigKeys;

use super::*;
use crate::access::Access;

const APEX: &[u8] = b"\x04test\0";

fn served(serial: u32, secondaries: &[&UdpSocket]) -> ServedZone {
    let text =
        format!("@ 60 SOA ns host {serial} 3600 600 86400 60\n@ 60 NS ns\nns 60 A 192.0.2.1\n");
    let zone = Zone::read(
        APEX,
        text.as_bytes(),
        "zone",
        &mut |_, _| Err(String::new()),
    );
    let addresses = secondaries
        .iter()
        .map(|socket| socket.local_addr().unwrap());
    let configured = config::Zone {
        notify: addresses.map(config::Upstream).collect(),
        ..config::Zone::default()
    };
    ServedZone {
        number: 1,
        name: "test.".to_owned(),
        zone: Arc::new(zone.unwrap().0),
        digest: 0,
        journal: Arc::default(),
        access: Arc::new(Access::new(&configured, &TsigKeys::default())),
        is_agreed: false,
        loaded_ms: 0,
    }
}

/// The serial that a secondary is told; it answers with a response code, or not at all.
async fn hear(secondary: &UdpSocket, code: Option<u8>) -> u32 {
    let mut buffer = [0; 512];
    let (bytes, from) = secondary.recv_from(&mut buffer).await.unwrap();
    let message = Message::from_vec(&buffer[..bytes]).unwrap();
    assert_eq!(message.metadata.op_code, OpCode::Notify);
    assert!(message.metadata.authoritative && message.queries.len() == 1);
    if let Some(code) = code {
        // An answer to something else is passed over.
        buffer[2] |= 0x80;
        buffer[0] ^= 1;
        secondary.send_to(&buffer[..bytes], from).await.unwrap();
        buffer[0] ^= 1;
        buffer[3] = code;
        secondary.send_to(&buffer[..bytes], from).await.unwrap();
    }
    match &message.answers[0].data {
        hickory_proto::rr::RData::SOA(soa) => soa.serial,
        data => panic!("{data}"),
    }
}

async fn until(counter: &crate::counters::Counter, value: u64) {
    while counter.get() < value {
        tokio::task::yield_now().await;
    }
}

#[test]
fn a_notice_is_sent_again_until_it_is_answered_and_changes_meanwhile_are_one() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(async {
        let bind = || UdpSocket::bind((Ipv4Addr::LOCALHOST, 0));
        let (deaf, refusing) = (bind().await.unwrap(), bind().await.unwrap());
        let counters: Arc<Counters> = Arc::default();
        let notifier = Notifier::new(Handle::current(), Arc::clone(&counters), &[]);
        notifier.tell(&served(1, &[&deaf, &refusing]));
        assert_eq!(hear(&deaf, None).await, 1);
        assert_eq!(hear(&refusing, Some(5)).await, 1);
        until(&counters.notices_failed, 1).await;
        for serial in 2..100 {
            notifier.tell(&served(serial, &[&deaf]));
        }
        assert_eq!(hear(&deaf, Some(0)).await, 99);
        until(&counters.notices_confirmed, 1).await;
        // When all is told, nothing is kept, and the next change is told anew.
        while !notifier.latest().is_empty() {
            tokio::task::yield_now().await;
        }
        notifier.tell(&served(100, &[&deaf]));
        assert_eq!(hear(&deaf, Some(0)).await, 100);
        assert_eq!(counters.notices_failed.get(), 1);
    });
}
