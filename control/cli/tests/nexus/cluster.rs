//! Commands about the mesh against a scripted control plane.

use cli::exit::Exit;
use node::admin::{
    ClusterStatus, FailureCode, MemberChange, MemberStatus, MemberWord, MeshRequest,
    PeerAssessment, PeerDetail, PeerEvent, PeerIndicator, PhaseStatus, ProposalStatus, Proposed,
    Request, Response, StoreStatus,
};

use crate::support::{Fake, refusal};

fn member(node: &str, connected: bool) -> MemberStatus {
    let word = MemberWord {
        epoch: 0,
        view: 2,
        is_changing: false,
        executed: 1_233,
        stable: 1_000,
        lag: 1,
    };
    MemberStatus {
        node: node.to_owned(),
        is_self: node.starts_with('a'),
        role: "authority".to_owned(),
        address: "192.0.2.1:4853".parse().unwrap(),
        connected,
        round_trip_us: connected.then_some(350),
        said: connected.then_some(word),
        score: Some(0.5),
        isolated_until_ms: None,
        shut_out: false,
    }
}

fn status() -> ClusterStatus {
    let mut liar = member("c3", true);
    liar.isolated_until_ms = Some(61_000);
    liar.shut_out = true;
    ClusterStatus {
        node: "a1".to_owned(),
        role: Some("authority".to_owned()),
        cluster: "feed".to_owned(),
        epoch: 1,
        view: 2,
        is_changing: false,
        primary: "b2".to_owned(),
        executed: 1_234,
        stable: 1_000,
        highest_claimed: 1_235,
        lag: 1,
        is_catching_up: false,
        pending: 2,
        lanes_busy: 1,
        waiting: 0,
        store: StoreStatus {
            history: Some((1, 1_234)),
            history_bytes: 4_096,
            snapshot: None,
        },
        failure: None,
        voters: 4,
        quorum: 3,
        answering: 3,
        problems: vec![],
        members: vec![
            member("a1", true),
            member("b2", true),
            liar,
            member("d4", false),
        ],
        phases: vec![PhaseStatus {
            phase: "committed".to_owned(),
            path: Some("fast".to_owned()),
            count: 1_000,
            median_us: 1_500,
            p99_us: 9_000,
            max_us: 20_000,
        }],
        now_ms: 1_000,
    }
}

fn assessment() -> PeerAssessment {
    PeerAssessment {
        node: "c3".to_owned(),
        is_self: false,
        role: "authority".to_owned(),
        address: "192.0.2.3:4853".parse().unwrap(),
        score: 0.2,
        average: 0.45,
        trust: 0.3,
        class: "poor".to_owned(),
        isolated_until_ms: Some(61_000),
        shut_out: true,
        latency_us: Some(2_000),
        participation: Some(0.995),
        uptime: Some(1.0),
        signatures: Some(1.0),
        accuracy: None,
        confidence: 0.75,
        indicators: vec![PeerIndicator {
            kind: "contradicted".to_owned(),
            text: "its own signatures contradict each other at batch 7".to_owned(),
        }],
    }
}

#[test]
fn status_of_a_well_cluster_shows_members_and_phases() {
    let fake = Fake::new(vec![Response::ClusterStatus(Box::new(status())).into()]);
    let (exit, text) = fake.output(&["cluster", "status"]);
    assert_eq!(exit, Exit::Success);
    let expected = "\
node      a1 (authority)
cluster   feed, epoch 1
view      2, primary b2
executed  1,234, stable 1,000, highest claimed 1,235, lag 1
requests  2 pending, 1 of this node on their way, 0 waiting
store     batches 1 to 1,234 (4 KiB), no snapshot

MEMBER  ROLE                 ADDRESS         LINK        RTT  VIEW  EXECUTED  LAG  SCORE  ISOLATION
a1      authority            192.0.2.1:4853  itself  0.35 ms     2     1,233    1   0.50
b2      authority (primary)  192.0.2.1:4853  up      0.35 ms     2     1,233    1   0.50
c3      authority            192.0.2.1:4853  up      0.35 ms     2     1,233    1   0.50  shut out for 1 min
d4      authority            192.0.2.1:4853  DOWN          -     -         -    -   0.50

PHASE      PATH  COUNT   MEDIAN      P99       MAX
committed  fast  1,000  1.50 ms  9.00 ms  20.00 ms

3 of 4 voters answer; 3 are needed
";
    assert_eq!(text, expected);
    assert_eq!(
        fake.requests(),
        [Request::Mesh(MeshRequest::ClusterStatus {})]
    );
}

#[test]
fn problem_of_a_cluster_is_the_last_word_and_a_failure() {
    let mut status = status();
    status.problems = vec!["2 of 4 voters answer; 3 are needed: nothing is committed".to_owned()];
    let reply = || Response::ClusterStatus(Box::new(status.clone())).into();
    let fake = Fake::new(vec![reply(), reply()]);
    let (exit, text) = fake.output(&["cluster", "status"]);
    assert_eq!(exit, Exit::Failure);
    assert!(
        text.ends_with("PROBLEM: 2 of 4 voters answer; 3 are needed: nothing is committed\n"),
        "{text}"
    );
    let (exit, text) = fake.output(&["cluster", "status", "--json"]);
    assert_eq!(exit, Exit::Failure);
    assert_eq!(
        serde_json::from_str::<ClusterStatus>(&text).unwrap(),
        status
    );
}

#[test]
fn node_that_stands_alone_says_so() {
    let text = "this node stands alone";
    let fake = Fake::new(vec![refusal(FailureCode::Unavailable, text)]);
    let (exit, _) = fake.run(&["cluster", "status"]);
    let error = exit.unwrap_err();
    assert_eq!(Exit::of(&error), Exit::Failure);
    assert!(error.to_string().contains(text));
}

#[test]
fn peers_are_listed_with_what_stands_out() {
    let reply = || {
        Response::Peers {
            peers: vec![assessment()],
        }
        .into()
    };
    let fake = Fake::new(vec![reply(), reply()]);
    let (exit, text) = fake.output(&["peers"]);
    assert_eq!(exit, Exit::Success);
    let expected = "\
NODE  ROLE       SCORE  AVERAGE  CLASS  LATENCY   VOTES   UPTIME  SIGNATURES  ANSWERS  SURE  REMARKS
c3    authority   0.20     0.45  poor   2.00 ms  99.5 %  100.0 %     100.0 %        -  0.75  shut out, contradicted
";
    assert_eq!(text, expected);
    let (_, text) = fake.output(&["peers", "list", "--json"]);
    assert_eq!(
        serde_json::from_str::<PeerAssessment>(&text).unwrap(),
        assessment()
    );
}

#[test]
fn peer_is_shown_with_the_events_behind_its_score() {
    let detail = PeerDetail {
        assessment: assessment(),
        events: vec![PeerEvent {
            time_ms: 500,
            kind: "evidence".to_owned(),
            text: "two signatures".to_owned(),
            count: 1,
            change: -0.15,
            score: 0.2,
            reporters: vec!["a1".to_owned(), "b2".to_owned()],
        }],
        now_ms: 1_500,
    };
    let fake = Fake::new(vec![Response::Peer(Box::new(detail)).into()]);
    let (exit, text) = fake.output(&["peers", "show", "c"]);
    assert_eq!(exit, Exit::Success);
    let expected = "\
node        c3 (authority, 192.0.2.3:4853)
score       0.20, 0.45 in the long run; trust of the others 0.30; poor
isolation   shut out for 59 s
latency     2.00 ms
votes       99.5 %
uptime      100.0 %
signatures  100.0 %
answers     -
confidence  0.75
remark      its own signatures contradict each other at batch 7

WHEN     CHANGE  SCORE  TIMES  EVENT           REPORTED BY
1 s ago  -0.150  0.200      1  two signatures  a1 b2
";
    assert_eq!(text, expected);
    let node = "c".to_owned();
    assert_eq!(
        fake.requests(),
        [Request::Mesh(MeshRequest::PeerShow { node })]
    );
}

#[test]
fn proposal_says_how_many_have_asked_and_how_many_it_takes() {
    let proposed = |supporters: Option<u32>| {
        Response::Proposed(Proposed {
            change: "remove d4".to_owned(),
            done: supporters.is_none(),
            supporters,
            wanted: supporters.map(|_| 2),
        })
        .into()
    };
    let fake = Fake::new(vec![proposed(Some(1)), proposed(None)]);
    let (exit, text) = fake.output(&["cluster", "propose", "remove", "d"]);
    assert_eq!(exit, Exit::Success);
    let expected = "\
remove d4: 1 of 2 nodes have asked for it
run the same command at another node to support it
";
    assert_eq!(text, expected);
    let (_, text) = fake.output(&["cluster", "propose", "alter", "d", "--role", "edge"]);
    assert_eq!(text, "remove d4: done\n");
    let node = "d".to_owned();
    let remove = MemberChange::Remove { node: node.clone() };
    let alter = MemberChange::Alter {
        node,
        role: Some("edge".to_owned()),
        address: None,
    };
    let asked = [remove, alter].map(|wanted| Request::Mesh(MeshRequest::Propose { wanted }));
    assert_eq!(fake.requests(), asked);
}

#[test]
fn proposals_are_listed_with_the_command_that_supports_them() {
    let proposal = ProposalStatus {
        change: "end the isolation of c3".to_owned(),
        command: "nexus cluster propose lift c3".to_owned(),
        opener: "a1".to_owned(),
        opened_secs_ago: 60,
        expires_in_secs: 3_540,
        supporters: vec!["a1".to_owned()],
        wanted: 2,
    };
    let reply = |proposals| Response::Proposals { proposals }.into();
    let fake = Fake::new(vec![reply(vec![proposal]), reply(vec![])]);
    let (_, text) = fake.output(&["cluster", "proposals"]);
    let expected = "\
end the isolation of c3
  1 of 2 nodes: a1; asked for 1 min ago, forgotten in 59 min
  nexus cluster propose lift c3
";
    assert_eq!(text, expected);
    let (_, text) = fake.output(&["cluster", "proposals"]);
    assert_eq!(text, "nothing waits for support\n");
}
