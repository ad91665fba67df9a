//! Control alone, as any DNS resolver: an ordinary process of an ordinary user, out of one file.

use std::fs::{self, Permissions};
use std::net::{Ipv4Addr, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::thread;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;
use node::admin::{Request, Response};
use resolver::zone::Zone;
use wire::query::Query;

use crate::common::{Node, data, extended_errors, own_address, query, rcode, with_edns};

/// `nobody` on most systems.
const NOBODY: u32 = 65_534;
/// Signed from 2024 to 2037.
const ROOT: &str = include_str!("../../../resolver/tests/iterate/data/root.zone");
const ANCHOR: &str = include_str!("../../../resolver/tests/iterate/data/root.ds");
const BEFORE: u64 = 1_600_000_000;
const WITHIN: u64 = 1_800_000_000;
const SIGNATURE_NOT_YET_VALID: u16 = 8;

/// A root server on a loopback address; `None` if this user may not have one.
fn root_server() -> Option<Ipv4Addr> {
    let address = own_address();
    let socket = match UdpSocket::bind((address, 53)) {
        Ok(socket) => socket,
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            eprintln!("skipped: only privileged users can be a root server on port 53");
            return None;
        }
        Err(error) => panic!("{address}:53: {error}"),
    };
    let mut no_include = |_: &str, path: &str| Err(format!("no {path}"));
    let (root, _) = Zone::read(&[0], ROOT.as_bytes(), "root.zone", &mut no_include).unwrap();
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok((bytes, client)) = socket.recv_from(&mut buffer) {
            let Ok(query) = Query::parse(&buffer[..bytes]) else {
                continue;
            };
            // The address that the zone gives its server is not ours: nobody is to learn it.
            if query.qtype == u16::from(RecordType::NS) {
                buffer[2..4].copy_from_slice(&[0x80, 5]); // QR, REFUSED.
                let _ = socket.send_to(&buffer[..bytes], client);
                continue;
            }
            let limit = buffer.len();
            let outcome = root.answer(&query, &mut buffer, limit);
            let _ = socket.send_to(&buffer[..outcome.total_bytes], client);
        }
    });
    Some(address)
}

/// `rolls_over`: whether the anchor's keys are asked for at the start.
fn node(root: Ipv4Addr, validation_time: u64, rolls_over: bool) -> Node {
    let mut node = Node::new("");
    let (ip, dir) = (node.address, node.folder.path().display());
    let text = format!(
        "node: {{data_dir: {dir}}}\n\
         dataplane: {{ports: {{dns: 5353}}}}\n\
         resolver:\n  \
           listen: [{ip}]\n  \
           allow: [loopback]\n  \
           root_hints: root.hints\n  \
           trust_anchors: root.ds\n  \
           validation_time: {validation_time}\n  \
           trust_anchor_roll_over: {rolls_over}\n  \
           qname_minimisation: strict\n\
         api: {{listen: \"{ip}:8053\", socket: control.sock}}\n"
    );
    node.write(
        "nexus.yaml",
        &text.replace("control.sock", &format!("{dir}/control.sock")),
    );
    node.write("root.hints", &format!(". NS a.root.\na.root. A {root}\n"));
    node.write("root.ds", ANCHOR);
    if rustix::process::geteuid().is_root() {
        let program = node.path("nexus-control");
        let built = Path::new(env!("CARGO_BIN_EXE_nexus-control"));
        fs::hard_link(built, &program)
            .or_else(|_| fs::copy(built, &program).map(drop))
            .unwrap();
        for place in ["", "notify.sock"] {
            fs::set_permissions(node.path(place), Permissions::from_mode(0o777)).unwrap();
        }
        node.user = Some(NOBODY);
    }
    node.spawn();
    node
}

#[test]
fn an_unprivileged_process_resolves_and_validates_out_of_one_file() {
    let Some(root) = root_server() else { return };
    let node = node(root, WITHIN, true);
    if let Some(user) = node.user {
        let status = fs::read_to_string(format!("/proc/{}/status", node.pid())).unwrap();
        assert!(
            status.contains(&format!("\nUid:\t{user}\t{user}")),
            "{status}"
        );
    }
    let found = node.ask(&with_edns(query("a.root.", RecordType::A), 1232));
    assert_eq!(data(&found), ["198.51.100.1"]);
    assert!(!found.metadata.authentic_data, "it was not asked for");
    let mut asks_for_ad = query("missing.", RecordType::A);
    asks_for_ad.metadata.authentic_data = true;
    let missing = node.ask(&asks_for_ad);
    assert_eq!(rcode(&missing), ResponseCode::NXDomain);
    assert!(missing.metadata.authentic_data);
    // Nor could the control itself tell without asking for it.
    let found = node.admin_ok(&Request::Lookup {
        name: "missing.".to_owned(),
        record_type: "A".to_owned(),
        trace: false,
    });
    let Response::Lookup(found) = found else {
        panic!("{found:?}");
    };
    assert!(found.flags.contains(&"ad".to_owned()), "{found:?}");
    assert_eq!(
        data(&node.tcp().ask(&query("a.root.", RecordType::A))),
        ["198.51.100.1"]
    );
}

#[test]
fn signatures_are_checked_at_the_time_of_the_configuration() {
    let Some(root) = root_server() else { return };
    let node = node(root, BEFORE, false);
    let early = node.ask(&with_edns(query("a.root.", RecordType::A), 1232));
    assert_eq!(rcode(&early), ResponseCode::ServFail);
    let codes = extended_errors(&early);
    assert!(codes.contains(&SIGNATURE_NOT_YET_VALID), "{codes:?}");
}

/// The interpreter that a 64-bit little-endian ELF file asks for (PT_INTERP).
fn interpreter(elf: &[u8]) -> Option<String> {
    const PT_INTERP: u64 = 3;
    let number = |at: usize, bytes: usize| -> Option<u64> {
        let field = elf.get(at..at + bytes)?.iter().rev();
        Some(field.fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
    };
    let index = |at: usize, bytes: usize| usize::try_from(number(at, bytes)?).ok();
    assert_eq!(elf.get(..6)?, b"\x7fELF\x02\x01");
    let (table, size, count) = (index(0x20, 8)?, index(0x36, 2)?, index(0x38, 2)?);
    let mut headers = (0..count).map(|header| table + header * size);
    let header = headers.find(|header| number(*header, 4) == Some(PT_INTERP))?;
    let (start, length) = (index(header + 8, 8)?, index(header + 32, 8)?);
    let path = elf.get(start..start + length)?.split_last()?.1;
    String::from_utf8(path.to_vec()).ok()
}

/// What harnesses put in front of it by LD_PRELOAD, false clocks say, then has its effect.
#[test]
fn the_program_is_linked_dynamically_and_allocates_by_the_c_library() {
    let elf = fs::read(env!("CARGO_BIN_EXE_nexus-control")).unwrap();
    let interpreter = interpreter(&elf).expect("linked statically");
    assert!(Path::new(&interpreter).exists(), "{interpreter}");
    let has = |text: &[u8]| elf.windows(text.len()).any(|window| window == text);
    for symbol in [&b"\0libc.so"[..], b"\0malloc\0", b"\0clock_gettime\0"] {
        assert!(has(symbol), "{}", String::from_utf8_lossy(symbol));
    }
}
