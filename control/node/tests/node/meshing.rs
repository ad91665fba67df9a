//! A mesh of one node: what the command line asks of it.

use consensus::PublicKey;
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;
use node::admin::{
    ClusterStatus, Failure, FailureCode, MemberChange, MeshRequest, Reply, Request, Response,
    ZoneChanged, ZoneText,
};
use node::mesh::Identity;

use crate::common::{Node, data, query, rcode, wait_until};

const SOA: &str = "@ 60 SOA ns host 1 3600 600 86400 60\n@ 60 NS ns\nns 60 A 192.0.2.1\n";

/// Another than the usual one, where a test may listen on all addresses.
const PORT: u16 = 4854;

/// A member whose vote is a quorum.
fn start(more: &str) -> Node {
    let mut node = Node::new("");
    let own = format!("node: {{data_dir: {}}}\n", node.folder.path().display());
    let config = config::Config::parse(&own, &node.path("nexus.yaml")).unwrap();
    let identity = Identity::load_or_create(&config.node).unwrap();
    let key = identity.public_key();
    node.configure(&format!(
        "{own}consensus: {{members: [{{key: {key}, role: authority, address: \"{{ip}}:{PORT}\"}}]}}\n\
         ports, consensus: {PORT}\n{more}"
    ));
    node.spawn();
    node
}

fn ask(node: &Node, request: MeshRequest) -> Result<Response, Failure> {
    match node.admin(&Request::Mesh(request)) {
        Reply::Ok(response) => Ok(response),
        Reply::Error(failure) => Err(failure),
    }
}

fn status(node: &Node) -> ClusterStatus {
    match ask(node, MeshRequest::ClusterStatus {}) {
        Ok(Response::ClusterStatus(status)) => *status,
        other => panic!("{other:?}"),
    }
}

fn change(node: &Node, request: MeshRequest) -> ZoneChanged {
    match ask(node, request) {
        Ok(Response::ZoneChanged(changed)) => changed,
        other => panic!("{other:?}"),
    }
}

fn create(zone: &str, text: &str, replace: bool) -> MeshRequest {
    MeshRequest::ZoneCreate {
        zone: zone.to_owned(),
        text: text.to_owned(),
        replace,
    }
}

fn show(node: &Node, zone: &str) -> Result<ZoneText, Failure> {
    let request = MeshRequest::ZoneShow {
        zone: zone.to_owned(),
        linearizable: true,
    };
    match ask(node, request)? {
        Response::ZoneText(text) => Ok(text),
        other => panic!("{other:?}"),
    }
}

fn add(owner: &str, address: &str) -> MeshRequest {
    MeshRequest::ZoneAdd {
        zone: "new.example".to_owned(),
        owner: owner.to_owned(),
        ttl_secs: 300,
        record_type: "A".to_owned(),
        data: address.to_owned(),
    }
}

fn delete(owner: &str, record_type: Option<&str>, data: Option<&str>) -> MeshRequest {
    MeshRequest::ZoneDeleteRecords {
        zone: "new.example".to_owned(),
        owner: owner.to_owned(),
        record_type: record_type.map(str::to_owned),
        data: data.map(str::to_owned),
    }
}

#[test]
fn node_without_members_has_no_cluster() {
    let node = Node::start("");
    let failure = ask(&node, MeshRequest::ClusterStatus {}).unwrap_err();
    assert_eq!(failure.code, FailureCode::Unavailable);
}

#[test]
fn only_member_leads_and_is_its_own_quorum() {
    let node = start("");
    let status = status(&node);
    assert_eq!((status.voters, status.quorum, status.answering), (1, 1, 1));
    assert_eq!((&status.primary, status.problems.len()), (&status.node, 0));
    assert!(status.members[0].is_self && status.members[0].said.is_some());
    let Ok(Response::Peers { peers }) = ask(&node, MeshRequest::PeerList {}) else {
        panic!()
    };
    assert_eq!(peers[0].node, status.node);
    let by = |prefix: &str| {
        let node_prefix = prefix.to_owned();
        ask(&node, MeshRequest::PeerShow { node: node_prefix })
    };
    let Ok(Response::Peer(peer)) = by(&status.node[..3].to_uppercase()) else {
        panic!()
    };
    assert_eq!(peer.assessment.node, status.node);
    assert_eq!(by("x").unwrap_err().code, FailureCode::NotFound);
    assert_eq!(by("").unwrap_err().code, FailureCode::BadRequest);
}

#[test]
fn zone_of_the_command_line_is_served_changed_and_gone_without_a_word_in_the_configuration() {
    let node = start("");
    let made = change(&node, create("New.example", SOA, false));
    assert_eq!((made.serial_before, made.serial), (None, Some(1)));
    let answer = |name: &str| node.ask(&query(name, RecordType::A));
    assert_eq!(data(&answer("ns.new.example.")), ["192.0.2.1"]);
    let failure = ask(&node, create("new.example", SOA, false)).unwrap_err();
    assert_eq!(failure.code, FailureCode::Invalid);

    let changed = change(&node, add("www", "192.0.2.7"));
    assert_eq!((changed.serial_before, changed.serial), (Some(1), Some(2)));
    assert_eq!(data(&answer("www.new.example.")), ["192.0.2.7"]);
    let changed = change(&node, delete("www", Some("A"), Some("192.0.2.8")));
    assert_eq!((changed.serial_before, changed.serial), (Some(2), Some(2)));
    let text = show(&node, "new.example").unwrap();
    assert_eq!((text.serial, text.records), (2, 4));
    assert!(text.text.contains("www.new.example. 300 IN A 192.0.2.7\n"));
    change(&node, delete("www.new.example", None, None));
    assert_eq!(rcode(&answer("www.new.example.")), ResponseCode::NXDomain);

    let changed = change(&node, create("new.example", SOA, true));
    assert_eq!(changed.serial, Some(4));
    let Response::Zones { zones } = node.admin_ok(&Request::ZoneList {}) else {
        panic!()
    };
    assert_eq!(
        (&*zones[0].name, &*zones[0].file),
        ("new.example.", "(agreed)")
    );

    let zone = "new.example".to_owned();
    assert_eq!(change(&node, MeshRequest::ZoneRemove { zone }).serial, None);
    assert_eq!(
        show(&node, "new.example").unwrap_err().code,
        FailureCode::NotFound
    );
    assert_eq!(
        ask(&node, add("www", "192.0.2.7")).unwrap_err().code,
        FailureCode::NotFound
    );
}

#[test]
fn what_can_be_no_zone_or_record_changes_nothing() {
    let node = start("");
    let failure = ask(&node, create("new.example", "@ 60 A 192.0.2.1\n", false)).unwrap_err();
    assert_eq!(failure.code, FailureCode::Invalid);
    change(&node, create("new.example", SOA, false));
    for request in [
        add("www", "192.0.2.256"),
        add("www.example.org.", "192.0.2.1"),
        delete("www", Some("NOTYPE"), None),
    ] {
        let failure = ask(&node, request).unwrap_err();
        assert_eq!(failure.code, FailureCode::BadRequest, "{failure}");
    }
    assert_eq!(show(&node, "new.example").unwrap().serial, 1);
}

#[test]
fn zone_that_is_too_large_for_one_command_comes_in_parts() {
    let node = start("");
    let name = |number: u32| format!("host-{number}-of-a-long-list-of-hosts");
    let records = (0..12_000_u32).map(|number| {
        let [_, a, b, c] = number.to_be_bytes();
        format!("{} 60 A 10.{a}.{b}.{c}\n", name(number))
    });
    let text: String = [SOA.to_owned()].into_iter().chain(records).collect();
    let made = change(&node, create("new.example", &text, false));
    assert!(made.serial > Some(1), "{made:?}");
    let last = format!("{}.new.example.", name(11_999));
    wait_until("the last part is served", || {
        data(&node.ask(&query(&last, RecordType::A))) == ["10.0.46.223"]
    });
    assert_eq!(show(&node, "new.example").unwrap().records, 12_003);
}

#[test]
fn file_of_an_agreed_zone_is_its_first_contents() {
    let node =
        start("zones: [{name: example.com., agreed: true, file: \"{dir}/example.com.zone\"}]");
    wait_until("the zone is served", || {
        data(&node.ask(&query("www.example.com.", RecordType::A))) == ["192.0.2.1"]
    });
    assert_eq!(show(&node, "example.com").unwrap().serial, 1);
}

#[test]
fn metrics_of_the_mesh_have_values() {
    let node = start("");
    change(&node, create("new.example", SOA, false));
    for (name, value) in [
        ("nexus_consensus_epoch", 0),
        ("nexus_consensus_stopped", 0),
        ("nexus_mesh_signatures_total{result=\"checked\"}", 0),
        ("nexus_ledger_zones", 1),
        ("nexus_ledger_isolated_members", 0),
        ("nexus_ledger_proposals", 0),
    ] {
        assert_eq!(node.metric(name), Some(value), "{name}");
    }
    assert!(node.metric("nexus_consensus_executed_sequence") > Some(0));
}

#[test]
fn change_of_members_is_made_and_a_quorum_that_is_missing_then_is_said() {
    let node = start("");
    let propose = |wanted: MemberChange| ask(&node, MeshRequest::Propose { wanted });
    let bad = propose(MemberChange::Add {
        key: "1234".to_owned(),
        role: "authority".to_owned(),
        address: "192.0.2.5:4853".parse().unwrap(),
    });
    assert_eq!(bad.unwrap_err().code, FailureCode::BadRequest);
    let own = status(&node).node;
    let nothing = propose(MemberChange::Alter {
        node: own.clone(),
        role: None,
        address: None,
    });
    assert_eq!(nothing.unwrap_err().code, FailureCode::Invalid);
    let done = propose(MemberChange::Add {
        key: PublicKey([7; 32]).to_string(),
        role: "authority".to_owned(),
        address: "192.0.2.5:4853".parse().unwrap(),
    });
    let Ok(Response::Proposed(done)) = done else {
        panic!("{done:?}")
    };
    assert!(done.done && done.change.starts_with("add "), "{done:?}");
    let status = status(&node);
    assert_eq!((status.voters, status.quorum, status.answering), (2, 2, 1));
    let problem = "1 of 2 voters answers; 2 are needed: nothing is committed";
    assert_eq!(status.problems, [problem]);
    let Ok(Response::Proposals { proposals }) = ask(&node, MeshRequest::ProposalList {}) else {
        panic!()
    };
    assert_eq!(proposals, []);
}
