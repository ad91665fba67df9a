//! What the responder says, keeps and refuses.

use std::net::Ipv4Addr;
use std::panic::AssertUnwindSafe;

use resolver::zone::TsigKeys;

use super::*;
use crate::zones::Zones;

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const SECRETS: guard::Secrets = guard::Secrets {
    current: [7; 16],
    previous: None,
};
const OTHER: &str = "\
@ 60 SOA ns.example. hostmaster 1 3600 600 86400 60
@ 60 NS ns.example.
back 60 CNAME big.example.
";
const ZONE: &str = "\
@ 60 SOA ns hostmaster 1 3600 600 86400 60
@ 60 NS ns
ns 60 A 192.0.2.1
* 60 TXT \"0123456789012345678901234567890123456789\"
alias 60 CNAME back.other.
big 60 TXT ( \"0123456789012345678901234567890123456789012345678901234567890123456789\"
  \"1123456789012345678901234567890123456789012345678901234567890123456789\"
  \"2123456789012345678901234567890123456789012345678901234567890123456789\"
  \"3123456789012345678901234567890123456789012345678901234567890123456789\"
  \"4123456789012345678901234567890123456789012345678901234567890123456789\"
  \"5123456789012345678901234567890123456789012345678901234567890123456789\"
  \"6123456789012345678901234567890123456789012345678901234567890123456789\"
  \"7123456789012345678901234567890123456789012345678901234567890123456789\" )
";

/// The zones of these names and texts in files of a folder.
fn serve(texts: &[(&str, &str)]) -> (tempfile::TempDir, Zones, Responders) {
    let folder = tempfile::tempdir().unwrap();
    let configured = texts.iter().map(|(name, text)| {
        let file = folder.path().join(name);
        std::fs::write(&file, text).unwrap();
        config::Zone {
            name: (*name).to_owned(),
            file: Some(file),
            allow_transfer: Networks::local(),
            ..config::Zone::default()
        }
    });
    let keys = TsigKeys::default();
    let zones = Zones::load(configured.collect(), keys, Arc::default()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.unwrap();
    let (front, _) = crate::front::inbox(&Arc::default()).unwrap();
    let policy = Policy {
        allow: Networks::local(),
        views: Networks::default(),
        chaos: Chaos::new("box".into(), "1".into()),
        cookies: Some(CookieKeeper::new(SECRETS, false)),
        tap: Tap::default(),
        copied: CopiedZones::default(),
        updates: Updates::new(None, runtime.handle().clone(), front),
        extension: Extension::default(),
    };
    let responders = Responders {
        zones: zones.shared(),
        policy: Arc::new(policy),
        counters: Arc::default(),
    };
    (folder, zones, responders)
}

fn responders() -> Responders {
    serve(&[("example.", ZONE), ("other.", OTHER)]).2
}

/// Header and one question; name in wire form.
fn query(name: &[u8], qtype: u16, qclass: u16) -> Vec<u8> {
    let mut message = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    message.extend_from_slice(name);
    message.extend_from_slice(&qtype.to_be_bytes());
    message.extend_from_slice(&qclass.to_be_bytes());
    message
}

fn check(responder: &mut Responder, message: &[u8], via: Via) {
    let mut buffer = vec![0xa5; 65_535];
    let room = match via {
        Via::Udp => 1904,
        Via::Tcp => 65_535,
    };
    let bytes = message.len().min(room);
    buffer[..bytes].copy_from_slice(&message[..bytes]);
    let limit = Query::parse(&message[..bytes])
        .map_or(512, |query| query.response_limit(UDP_PAYLOAD_BYTES_MAX));
    match responder.respond(&mut buffer[..room], bytes, CLIENT, via) {
        Verdict::Answer {
            bytes: answer_bytes,
            keep,
        } => {
            assert!(answer_bytes <= room);
            assert_eq!(buffer[..2], message[..2], "the id comes back");
            assert!(buffer[2] & 0x80 != 0, "QR is set");
            if via == Via::Udp {
                assert!(
                    answer_bytes <= usize::from(limit),
                    "{answer_bytes} > {limit}"
                );
            }
            assert!(keep.is_none(), "nothing is kept without a dataplane");
        }
        Verdict::Update(_) => panic!("no zone here takes updates"),
        Verdict::Silent => {
            assert!(
                bytes < 12 || message[2] & 0x80 != 0,
                "silence is for responses alone"
            );
        }
        Verdict::Resolve(resolve) => {
            let mut room = buffer[..bytes].to_vec();
            room.resize(bytes + 64, 0);
            assert!(responder.overloaded(&mut room, bytes, &resolve.query) > 0);
        }
        Verdict::Transfer(_) => assert_eq!(via, Via::Tcp),
    }
}

#[test]
fn any_bytes_get_a_bounded_answer_or_silence() {
    let responders = AssertUnwindSafe(responders());
    bolero::check!()
        .with_iterations(20_000)
        .for_each(|message: &[u8]| {
            let mut responder = responders.responder();
            check(&mut responder, message, Via::Udp);
            check(&mut responder, message, Via::Tcp);
        });
}

#[test]
fn any_question_gets_a_bounded_answer() {
    let responders = AssertUnwindSafe(responders());
    let names: [&[u8]; 6] = [
        b"\x05ALIAS\x07example\0",
        b"\x07example\0",
        b"\x03BIG\x07example\0",
        b"\x01x\x07example\0",
        b"\0",
        b"\x02id\x06server\0",
    ];
    bolero::check!()
        .with_iterations(20_000)
        .with_type::<(u8, u8, u16, u8, u16, bool, bool)>()
        .for_each(|&(name, class, qtype, flags, size, edns, cookie)| {
            let name = names[usize::from(name) % names.len()];
            // Mostly the types and classes that mean something.
            let qtype = if qtype & 1 == 0 { qtype } else { qtype % 260 };
            let mut message = query(name, qtype, u16::from(class % 5));
            message[2] = flags & 0x01;
            if edns {
                message[11] = 1;
                message.extend_from_slice(&[0, 0, 41]);
                message.extend_from_slice(&size.to_be_bytes());
                let option = [0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8];
                let option = if cookie { &option[..] } else { &[] };
                let length = u8::try_from(option.len()).unwrap();
                message.extend_from_slice(&[0, 0, flags & 0x80, 0, 0, length]);
                message.extend_from_slice(option);
            }
            let mut responder = responders.responder();
            check(&mut responder, &message, Via::Udp);
            check(&mut responder, &message, Via::Tcp);
        });
}

#[test]
fn an_answer_that_is_cut_for_one_client_is_not_kept_for_others() {
    let region = exchange::Region::create(&exchange::RegionConfig::default()).unwrap();
    let mut responder = responders().responder();
    responder.set_generations(Some(&region));
    let mut ask = |name: &[u8]| {
        let message = query(name, 16, 1);
        let mut buffer = [0; 1904];
        buffer[..message.len()].copy_from_slice(&message);
        match responder.respond(&mut buffer, message.len(), CLIENT, Via::Udp) {
            Verdict::Answer { keep, .. } => (keep.is_some(), buffer[2] & 0x02 != 0),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(ask(b"\x01x\x07example\0"), (true, false));
    assert_eq!(ask(b"\x03big\x07example\0"), (false, true));
}

#[test]
fn what_makes_responders_holds_no_zone_that_was_replaced() {
    let (folder, zones, responders) = serve(&[("example.", ZONE)]);
    let snapshot = Arc::downgrade(&responders.zones.load_full());
    std::fs::write(
        folder.path().join("example."),
        format!("{ZONE}y 60 A 192.0.2.2\n"),
    )
    .unwrap();
    assert!(zones.reload(None).unwrap().zones[0].changed);
    assert_eq!(snapshot.strong_count(), 0);
    assert_eq!(responders.responder().zones().iter().count(), 1);
}

#[test]
fn a_zone_without_a_number_in_the_dataplane_is_not_kept() {
    let config = exchange::RegionConfig {
        zones_max: 1,
        ..exchange::RegionConfig::default()
    };
    let region = exchange::Region::create(&config).unwrap();
    let mut responder = responders().responder();
    responder.set_generations(Some(&region));
    let message = query(b"\x01x\x07example\0", 16, 1);
    let mut buffer = [0; 1904];
    buffer[..message.len()].copy_from_slice(&message);
    let verdict = responder.respond(&mut buffer, message.len(), CLIENT, Via::Udp);
    assert!(matches!(verdict, Verdict::Answer { keep: None, .. }));
}

#[test]
fn host_whose_certificate_is_known_has_its_hash_in_the_extension_of_who_asks() {
    let responders = responders();
    let extension = responders.policy.extension.clone();
    extension.set_node(1);
    let name = b"\x02ns\x07example\x00".to_vec();
    extension.set_certificate(name, 0x0a0b_0c0d, crate::clock::unix_secs() + 60, || true);
    let ask = |qname: &[u8]| {
        let mut message = query(qname, 1, 1);
        message[11] = 1;
        // OPT (RFC 6891 §6.1.2) with the option, 16 bytes of zeros.
        message.extend_from_slice(&[0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 20, 0xfe, 0x1d, 0, 16]);
        message.extend_from_slice(&[0; 16]);
        let mut buffer = vec![0; 4096];
        buffer[..message.len()].copy_from_slice(&message);
        let mut responder = responders.responder();
        let verdict = responder.respond(&mut buffer, message.len(), CLIENT, Via::Udp);
        let Verdict::Answer { bytes, .. } = verdict else {
            panic!("no answer");
        };
        let found = buffer[..bytes]
            .windows(20)
            .find(|part| part.starts_with(&[0xfe, 0x1d, 0, 16]));
        found.unwrap()[16..].to_vec()
    };
    assert_eq!(ask(b"\x02NS\x07example\x00"), [10, 11, 12, 13]);
    assert_eq!(ask(b"\x03big\x07example\x00"), [0; 4]);
}
