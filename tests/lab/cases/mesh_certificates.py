"""Nodes agree on certificates, under `ct.validation`: one that trusts others than the rest, and too few to agree."""

from __future__ import annotations

import json
from pathlib import Path

from ..appliance import Appliance
from ..certificates import Authority, to_pem
from ..mesh import Mesh, metrics
from ..process import wait_until
from ..run import Run
from ..runner import case, expect

HOST = "www.agreed.example"
PATIENCE_S = 15.0
AGREED, REFUSED, UNDECIDED = (
    f'nexus_control_certificate_agreements_total{{verdict="{verdict}"}}' for verdict in ("agreed", "refused", "undecided")
)


def prepared(run: Run, validation: str) -> tuple[Mesh, Path]:
    """Four nodes and a chain of the operator's own authority, which the last of them does not trust: started, connected."""
    mesh = Mesh(run)
    authority = Authority.make(run.path("authority"))
    # What a public one issues would have to be logged.
    public = Authority.make(run.path("public"), "Public Root")
    for number, node in enumerate(mesh.appliances):
        anchors = {"trust_anchors": public, "private_anchors": public if number == 3 else authority}
        for key, trusted in anchors.items():
            path = node.folder / f"{key}.pem"
            path.write_text(to_pem(trusted.root))
            node.configure(ct={key: str(path)})
        node.configure(ct={"validation": validation})
    mesh.start()
    mesh.wait_for_serial(1)
    mesh.wait_until_connected()
    chain = run.path("chain.pem")
    chain.write_text(to_pem(authority.issue(HOST)))
    return mesh, chain


def judge(node: Appliance, chain: Path) -> tuple[str, tuple[str, str] | None]:
    """What a node says of the chain: status, then result and code of the step of agreement."""
    words = ["--json", "ct", "validate", str(chain), "--host", HOST]
    verdict = json.loads(node.nexus(*words, check=False))
    steps = [step for step in verdict["steps"] if step["step"] == "agreement"]
    found = [(step["result"], (step["reason"] or "").split(":")[0]) for step in steps]
    return verdict["status"], found[0] if found else None


def counts(node: Appliance) -> tuple[int, int, int]:
    """Verdicts of a node that were agreed on, refused, undecided."""
    shown = metrics(node)
    return shown[AGREED], shown[REFUSED], shown[UNDECIDED]


@case
def a_quorum_bears_a_verdict_out_and_the_word_of_one_node_alone_is_unknown(run: Run) -> str:
    """The node with other anchors finds invalid what the rest finds valid: it says that nothing is known. With two nodes down
    nobody says anything else, and with one down all is well again."""
    mesh, chain = prepared(run, "quorum")
    *rest, odd = mesh.appliances
    for node in rest:
        found = judge(node, chain)
        expect(found == ("valid", ("passed", "")), f"{node.host.name}: {found}")
        expect(counts(node) == (1, 0, 0), f"{node.host.name}: {counts(node)}")
    found = judge(odd, chain)
    expect(found == ("unknown", ("unknown", "nodes_disagree")), f"{odd.host.name}: {found}")
    expect(counts(odd) == (0, 1, 0), f"{odd.host.name}: {counts(odd)}")
    # Another chain, so that nobody knows the verdict.
    authority = Authority.make(run.path("authority"))
    mesh.kill(rest[2])
    one_down = run.path("one-down.pem")
    one_down.write_text(to_pem(authority.issue(HOST)))
    # Those that are left are three, of which one finds otherwise: no quorum for, no more than may be faulty against.
    found = judge(rest[0], one_down)
    expect(found == ("unknown", ("unknown", "nodes_silent")), f"with one down: {found}")
    mesh.start(rest[2])
    mesh.wait_until_connected()
    wait_until(lambda: judge(rest[0], one_down)[0] == "valid", PATIENCE_S, "the verdict is agreed on after all")
    return "one verdict at three nodes, unknown at the fourth and without a quorum"


@case
def an_optimist_takes_back_what_others_do_not_find(run: Run) -> str:
    """It says at once what it finds; a moment later it says that nothing is known."""
    mesh, chain = prepared(run, "optimistic")
    *rest, odd = mesh.appliances
    for node, first in ((odd, "invalid"), (rest[0], "valid")):
        found = judge(node, chain)
        expect(found == (first, None), f"{node.host.name}: {found}")
    doubted, borne_out = ("unknown", ("unknown", "nodes_disagree")), ("valid", ("passed", ""))
    took = wait_until(lambda: judge(odd, chain) == doubted, PATIENCE_S, "the verdict is taken back")
    wait_until(lambda: judge(rest[0], chain) == borne_out, PATIENCE_S, "the verdict is borne out")
    return f"taken back after {took:.2f} s"
