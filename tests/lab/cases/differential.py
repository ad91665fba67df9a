"""The same questions to Unbound and to the appliance: every difference has a reason in an RFC."""

from __future__ import annotations

import os
import threading

from .. import peers
from ..appliance import REPOSITORY
from ..differential import asking, catalogue, compare, questions, report, rules
from ..hosts import End, Host
from ..run import Run
from ..runner import case, expect
from ..tree import Tree
from ..world import INTERFACE, NODE_V4, World

UNBOUND = "10.53.3.1"
SEED_USUAL = 1
SEED = int(os.environ.get("NEXUS_DIFFERENTIAL_SEED") or SEED_USUAL)
SHOWN_MAX = 40
# Datagrams that the wire may lose.
LATE_MAX = 10
QUESTIONS_MIN, ZONES_MIN = 2000, 60
TABLE = REPOSITORY / "docs" / "differential.md"


def _authorities(world: World) -> Tree:
    host = Host(world.run, "authorities")
    world.switch.plug(End(host, INTERFACE, "02:00:00:00:02:01"))
    tree = Tree(catalogue.zones(), catalogue.SERVERS)
    tree.write(world.run.path("zones"))
    tree.serve(host, INTERFACE)
    return tree


def _start_unbound(world: World, tree: Tree) -> None:
    host = Host(world.run, "unbound")
    world.switch.plug(End(host, INTERFACE, "02:00:00:00:03:01", (f"{UNBOUND}/16", "fd53::3:1/64")))
    folder = world.run.path("unbound")
    hints, anchor = folder / "root.hints", folder / "root.key"
    folder.mkdir()
    hints.write_text(tree.hints())
    anchor.write_text(tree.anchor)
    config = peers.write_unbound(folder, UNBOUND, hints, anchor)
    process = host.start("unbound", ["unbound", "-d", "-c", str(config)])
    peers.wait_for_answer(process, world.client, UNBOUND, "www.nsec.test.", "A")


def _ask_both(world: World, asked: list[questions.Question]) -> tuple[list[bytes | None], ...]:
    askers = [asking.Asker(world.client, server) for server in (UNBOUND, NODE_V4)]
    answers: list[list[bytes | None]] = [[], []]

    def work(index: int) -> None:
        answers[index] = askers[index].ask_all(asked)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    late = askers[1].repeated
    expect(late <= LATE_MAX, f"{late} questions were not answered by the appliance within {asking.WAIT_S:g} s")
    return tuple(answers)


@case
def unbound_and_the_appliance_answer_alike_but_for_reasons(run: Run) -> str:
    """RCODE, AD, flags, answers and kinds of proof, over zones of every kind. With
    NEXUS_WRITE_DIFFERENTIAL=1 the table goes to docs/differential.md."""
    # What either proves from what it has seen before depends on the order of the questions.
    resolver = {"aggressive_nsec": False}
    world = World(run, authorities=False, dataplane={"punts_per_second": {"rate": 0}}, resolver=resolver)
    tree = _authorities(world)
    _start_unbound(world, tree)
    node = world.node
    (node.folder / "root.hints").write_text(tree.hints())
    node.trust(tree.anchor)
    node.start()
    asked = questions.of(tree, SEED)
    theirs, ours = _ask_both(world, asked)
    outcome = report.Outcome(len(tree.zones), len(asked))
    for question, their, our in zip(asked, theirs, ours):
        outcome.add(question, compare.read(their), compare.read(our))
    if os.environ.get("NEXUS_WRITE_DIFFERENTIAL"):
        TABLE.write_text(outcome.table(tree))
    if path := os.environ.get("NEXUS_DIFFERENTIAL_LOG"):
        with open(path, "w") as log:
            log.writelines(f"{line}\n" for line in outcome.unexplained)
    for process in run.processes:
        process.expect_running()
    shown = "\n".join(outcome.unexplained[:SHOWN_MAX])
    count = len(outcome.unexplained)
    expect(not count, f"{count} differences without a reason, seed {SEED}:\n{shown}")
    # Some of what Unbound does depends on the order of the questions.
    unused = [rule.name for rule in rules.RULES if not outcome.explained[rule.name]]
    expect(not unused or SEED != SEED_USUAL, f"differences that are said to be there, but are not: {', '.join(unused)}")
    expect(len(asked) >= QUESTIONS_MIN and len(tree.zones) >= ZONES_MIN, f"{len(asked)} questions")
    return outcome.summary()
