"""Nodes agree on what they resolve, under each setting of `resolver.validation`: a node that is told lies,
servers that answer each place differently, a signed name that one node alone can reach."""

from __future__ import annotations

from .. import dns
from ..appliance import Appliance
from ..forger import Forger
from ..mesh import Mesh, metrics
from ..process import wait_until
from ..run import Run
from ..runner import Failed, case, expect
from ..zones import LEAF_ZONE, PLAIN_ZONE

# Nothing proves it, so that nodes must agree.
UNSIGNED, TRUTH = f"www.{PLAIN_ZONE}", "198.51.100.81"
SIGNED, SIGNED_TRUTH = f"www.{LEAF_ZONE}", "198.51.100.80"
LIE = "203.0.113.66"
# Longer than a resolver waits for servers that never answer.
PATIENCE_S = 15.0
# From the verdict until no cache of the node has the answer.
FORGOTTEN_S_MAX = 5.0
# Nobody has it.
NOWHERE = "10.53.9.9"
EDE_OTHER = 0
RECURSIVE, AUTHENTIC = 0x0100, 0x0020
AGREED, REFUSED = (f'nexus_validation_answers_total{{verdict="{verdict}"}}' for verdict in ("agreed", "refused"))
BUNDLES, PURGES = "nexus_validation_bundles_total", "nexus_validation_purges_total"
SECURE = "nexus_validation_secure_answers_total"


def prepared(run: Run, **resolver: object) -> Mesh:
    """Four nodes with authorities, not started."""
    mesh = Mesh(run, authorities=True)
    for node in mesh.appliances:
        node.configure(resolver=resolver)
    return mesh


def start(mesh: Mesh) -> None:
    """Until all are connected: who is not cannot vote."""
    mesh.start()
    mesh.wait_for_serial(1)
    mesh.wait_until_connected()


def with_liar(run: Run, validation: str) -> tuple[Mesh, Appliance, Forger]:
    """A mesh whose last node is told lies about the unsigned zone; start it yourself."""
    mesh = prepared(run, validation=validation)
    forger = Forger(mesh, LIE)
    liar = mesh.appliances[3]
    forward(liar, PLAIN_ZONE, forger.address)
    start(mesh)
    return mesh, liar, forger


def forward(node: Appliance, zone: str, server: str) -> None:
    """This node asks that server for names of a zone, and believes it."""
    node.configure(resolver={"dnssec": "off", "forward_zones": [{"zone": zone, "servers": [server]}]})


def ask(mesh: Mesh, node: Appliance, name: str = UNSIGNED) -> dns.Message:
    """One question, which is not sent again: another would find what the first has left behind. AD in it asks
    for AD in the answer (RFC 6840 §5.7)."""
    message = dns.query(name, flags=RECURSIVE | AUTHENTIC, additional=(dns.opt(),))
    with dns.Client(mesh.client, node.address) as client:
        answer = client.exchange(message, PATIENCE_S)
    if answer is None:
        raise Failed(f"{node.host.name} does not answer {name}")
    return dns.decode(answer)


def expect_address(mesh: Mesh, node: Appliance, address: str, name: str = UNSIGNED) -> None:
    """The node answers with this address and nothing else."""
    answer = ask(mesh, node, name)
    found = (answer.rcode, answer.data("A"), answer.extended_error)
    expect(found == (dns.NOERROR, [address], None), f"{node.host.name}: {name}: {found}, expected {address}")


def expect_no_agreement(mesh: Mesh, node: Appliance, name: str = UNSIGNED) -> None:
    """The node answers SERVFAIL and says that others do not agree."""
    answer = ask(mesh, node, name)
    found = (answer.rcode, answer.data("A"), answer.extended_error)
    expect(found == (dns.SERVFAIL, [], EDE_OTHER), f"{node.host.name}: {name}: {found}")


def count(node: Appliance, name: str) -> int:
    """One of its counters."""
    shown = metrics(node)
    expect(name in shown, f"{node.host.name} has no {name}")
    return shown[name]


@case
def without_validation_no_node_asks_another(run: Run) -> str:
    """Honest nodes give the same answer; one that is told a lie hands it on."""
    mesh, liar, forger = with_liar(run, "off")
    with forger:
        for node in mesh.appliances[:3]:
            expect_address(mesh, node, TRUTH)
        expect_address(mesh, liar, LIE)
    bundles = [count(node, BUNDLES) for node in mesh.appliances]
    expect(bundles == [0] * 4, f"bundles proposed: {bundles}")
    return "the same answer at three nodes, a lie at the one that is told it; no bundle proposed"


@case
def an_optimistic_lie_is_outvoted_and_forgotten(run: Run) -> str:
    """The client has the early answer; when it is refused no cache of the node keeps it."""
    mesh, liar, forger = with_liar(run, "optimistic")
    # The liar first: a vote on another's answer would have it look up the lie once more.
    with forger:
        expect_address(mesh, liar, LIE)
        took = wait_until(lambda: count(liar, PURGES) > 0, PATIENCE_S, "the lie is forgotten")
        # The shared table is walked in pieces, behind the count. The lie's TTL is minutes: it would still come from
        # any cache that has it.
        forger.forged = TRUTH
        wait_until(lambda: ask(mesh, liar).data("A") == [TRUTH], FORGOTTEN_S_MAX, "the truth is found instead")
        for node in mesh.appliances:
            expect_address(mesh, node, TRUTH)
            wait_until(lambda node=node: count(node, AGREED) > 0, PATIENCE_S, "the truth is agreed on")
            expect_address(mesh, node, TRUTH)
    purges = [count(node, PURGES) for node in mesh.appliances]
    expect(purges == [0, 0, 0, 1], f"answers forgotten: {purges}")
    return f"the lie was forgotten {took:.2f} s after it was given"


@case
def a_quorum_refuses_a_lie_and_agrees_on_the_truth(run: Run) -> str:
    """The client of the node that is told the lie gets SERVFAIL, those of all others the same answer."""
    mesh, liar, forger = with_liar(run, "quorum")
    with forger:
        for node in mesh.appliances[:3]:
            expect_address(mesh, node, TRUTH)
            expect(count(node, AGREED) == 1, f"{node.host.name} answered without agreement")
        expect_no_agreement(mesh, liar)
        shown = count(liar, REFUSED), count(liar, AGREED)
        expect(shown == (1, 0), f"answers of the liar refused and agreed on: {shown}")
        forger.forged = TRUTH
        expect_address(mesh, liar, TRUTH)
        expect(count(liar, AGREED) == 1, "the liar's true answer was not agreed on")
    return "one lie refused; the same answer at all four nodes afterwards, each by agreement"


@case
def addresses_that_vary_by_place_are_agreed_on_if_their_zone_may(run: Run) -> str:
    """Each node is told another address of one network: agreed on in a zone with that tolerance and refused
    in one without; an address of another network is refused in both."""
    tolerant, strict = f"near.{PLAIN_ZONE}", f"exact.{PLAIN_ZONE}"
    mesh = prepared(
        run,
        validation_zones=[
            {"zone": tolerant, "validation": "quorum", "vantage": "network"},
            {"zone": strict, "validation": "quorum"},
        ],
    )
    *near, far = mesh.appliances

    def address_for(sender: str) -> str:
        return LIE if sender == far.address else f"198.51.100.1{sender.rsplit('.', 1)[1]}"

    forger = Forger(mesh, address_for)
    for node in mesh.appliances:
        forward(node, PLAIN_ZONE, forger.address)
    start(mesh)
    with forger:
        for node in near:
            expect_address(mesh, node, address_for(node.address), f"www.{tolerant}")
            expect_no_agreement(mesh, node, f"www.{strict}")
        for name in (tolerant, strict):
            expect_no_agreement(mesh, far, f"www.{name}")
    return "three addresses of one network agreed on under `network`, each refused under `exact`"


@case
def a_signed_name_that_one_node_alone_can_resolve_is_proven_by_its_signature(run: Run) -> str:
    """Nobody else can reach its servers; an unsigned name of the same servers gets SERVFAIL."""
    mesh = prepared(run, validation="quorum")
    able, *others = mesh.appliances
    for node in others:
        node.configure(resolver={"forward_zones": [{"zone": "test.", "servers": [NOWHERE]}]})
    start(mesh)
    answer = ask(mesh, able, SIGNED)
    found = (answer.rcode, answer.data("A"), bool(answer.flags & AUTHENTIC))
    expect(found == (dns.NOERROR, [SIGNED_TRUTH], True), f"{SIGNED}: {found}")
    expect(count(able, SECURE) > 0, "it was not counted as proven")
    expect_no_agreement(mesh, able, UNSIGNED)
    blind = ask(mesh, others[0], SIGNED)
    expect(blind.rcode == dns.SERVFAIL, f"{others[0].host.name} resolves it too: {blind.rcode}")
    return "the signed name is answered, the unsigned one is not"
