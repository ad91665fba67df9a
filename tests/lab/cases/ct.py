"""Four nodes run a certificate log: clients of either text, the same promise everywhere, and nodes that die meanwhile."""

from __future__ import annotations

import json
import re
import secrets
import threading
import time

from .. import ct_rfc6962, ct_static, ct_wire
from ..appliance import Appliance
from ..certificates import to_pem
from ..ct_wire import LogFault, Refused
from ..logs import SHARD, LogMesh
from ..mesh import cluster_status, connected, metrics
from ..process import wait_until
from ..run import Run
from ..runner import case, expect

DAYS = 90


@case
def clients_of_either_text_submit_fetch_and_verify_at_every_node(run: Run) -> str:
    """One knows RFC 6962 only, the other static-ct-api only; what one node promises all have, under one key."""
    mesh = LogMesh(run)
    mesh.start()
    begun = mesh.wait_until_log_runs()
    with mesh.client.inside():
        for number, node in enumerate(mesh.appliances):
            ct_rfc6962.exercise(mesh.rfc6962(node), mesh.authority, count=4, days=DAYS, name=f"r{number}")
            ct_static.exercise(mesh.static(node), mesh.authority, count=4, days=DAYS, name=f"s{number}")
    size = mesh.published(mesh.appliances[0])
    mesh.wait_until_published(size)
    with mesh.client.inside():
        checkpoints = []
        for node in mesh.appliances:
            mesh.rfc6962(node).audit(mesh.rfc6962(node).head())
            log = mesh.static(node)
            checkpoint = log.checkpoint()
            log.audit(checkpoint)
            policy = ct_wire.fetch(f"{log.url}/policy")[0].decode()
            cosigners = ct_static.check_policy(policy, checkpoint)
            expect(len(cosigners) >= 3, f"{node.host.name}: cosigned by {cosigners}")
            checkpoints.append((log, checkpoint))
        for log, checkpoint in checkpoints:
            for _, other in checkpoints:
                old, new = sorted((checkpoint, other), key=lambda one: one.size)
                if new.size <= log.checkpoint().size:
                    log.check_consistency(old, new)
    return f"the log runs after {begun:.2f} s; {size} entries, audited at four nodes by two clients"


@case
def the_same_chain_gets_the_same_timestamp_at_every_node_and_the_command_line_proves_it(run: Run) -> str:
    """Deterministic signatures over agreed places and times; `nexus ct` submits, proves and verifies."""
    mesh = LogMesh(run)
    mesh.start()
    mesh.wait_until_log_runs()
    certificate = mesh.authority.issue("same.example", days=DAYS)
    entry = ct_wire.Entry(certificate)
    chain = [certificate, mesh.authority.root]
    promised: list[ct_wire.Sct] = []
    failures: list[str] = []

    def submit(node: Appliance) -> None:
        try:
            with mesh.client.inside():
                promised.append(ct_wire.submit(mesh.url(node), mesh.public_key, chain, entry))
        except (LogFault, Refused, OSError) as error:  # Told by the main thread.
            failures.append(f"{node.host.name}: {error}")

    threads = [threading.Thread(target=submit, args=(node,)) for node in mesh.appliances for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expect(not failures, "; ".join(failures))
    expect(len(set(promised)) == 1, f"{len(set(promised))} promises for one certificate")
    file = run.path("chain.pem")
    file.write_text(to_pem(certificate) + to_pem(mesh.authority.root))
    # Without the root, whose key is part of what is logged of it.
    poisoned = run.path("precertificate.pem")
    poisoned.write_text(to_pem(mesh.authority.issue("same.example", days=DAYS, is_precertificate=True)))
    for node in mesh.appliances:
        for submitted in (file, poisoned):
            shown = node.nexus("ct", "proof", str(submitted))
            expect("proven" in shown, shown)
        expect(node.nexus("ct", "checkpoint", SHARD, "--verify").count("cosigned by") >= 3, "too few cosigners")
    return "12 submissions at once of one certificate, one promise"


@case
def promises_are_kept_while_nodes_are_killed(run: Run) -> str:
    """Each node is killed and started again by turns under submissions; every promise is found at every node after it."""
    mesh = LogMesh(run)
    mesh.start()
    mesh.wait_until_log_runs()
    promises: list[tuple[bytes, ct_wire.Sct]] = []
    lock, done = threading.Lock(), threading.Event()
    slow: list[float] = []
    faults: list[str] = []

    def client(number: int) -> None:
        with mesh.client.inside():
            turn = number
            while not done.is_set():
                node = mesh.appliances[turn % len(mesh.appliances)]
                turn += 1
                host = f"k{number}-{secrets.token_hex(6)}.example"
                certificate = mesh.authority.issue(host, days=DAYS)
                entry = ct_wire.Entry(certificate)
                began = time.monotonic()
                try:
                    sct = ct_wire.submit(mesh.url(node), mesh.public_key, [certificate], entry)
                except (Refused, OSError):
                    continue  # It is down, or the others have no quorum with it for a moment.
                except LogFault as fault:
                    faults.append(str(fault))
                    return
                with lock:
                    slow.append(time.monotonic() - began)
                    promises.append((entry.leaf(sct.timestamp_ms, sct.extensions), sct))

    threads = [threading.Thread(target=client, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    try:
        for node in mesh.appliances:
            time.sleep(1.0)
            mesh.kill(node)
            time.sleep(1.5)
            mesh.start(node)
            mesh.wait_until_log_runs(timeout_s=40)
    finally:
        done.set()
        for thread in threads:
            thread.join()
    expect(not faults, "; ".join(faults))
    expect(len(promises) >= 20, f"only {len(promises)} submissions were taken")
    size = 1 + max(ct_static.leaf_index(sct.extensions) for _, sct in promises)
    caught_up = mesh.wait_until_published(size)
    with mesh.client.inside():
        for node in mesh.appliances:
            log = mesh.static(node)
            checkpoint = log.checkpoint()
            log.audit(checkpoint)
            entries = [
                entry for index, width in ct_static.tiles_of(checkpoint.size) for entry in log.entries(index, width)
            ]
            for leaf, sct in promises:
                index = ct_static.leaf_index(sct.extensions)
                expect(entries[index].leaf == leaf, f"{node.host.name}: entry {index} is not what was promised")
            head = mesh.rfc6962(node).head()
            mesh.rfc6962(node).audit(head)
    slow.sort()
    return (
        f"{len(promises)} promises kept in {size} entries at four nodes, each killed once; "
        f"all published {caught_up:.2f} s after the last; median {1000 * slow[len(slow) // 2]:.0f} ms"
    )


@case
def a_node_whose_log_is_lost_fetches_it_from_the_others(run: Run) -> str:
    """Its files and its store are gone: it gets state from the others, and entries, and publishes the same tree."""
    mesh = LogMesh(run, consensus={"checkpoint_interval": 10})
    mesh.start()
    mesh.wait_until_log_runs()
    away, others = mesh.appliances[3], mesh.appliances[:3]
    with mesh.client.inside():
        ct_static.exercise(mesh.static(others[0]), mesh.authority, count=6, days=DAYS)
    mesh.wait_until_published(6, away)
    mesh.kill(away)
    files = mesh.forget(away)
    expect(files > 0, "there were no files to forget")
    with mesh.client.inside():
        ct_static.exercise(mesh.static(others[1]), mesh.authority, count=6, days=DAYS)
    size = mesh.published(others[1])
    mesh.start(away)
    caught_up = mesh.wait_until_published(size, away, timeout_s=60)
    with mesh.client.inside():
        log = mesh.static(away)
        checkpoint = log.checkpoint()
        log.audit(checkpoint)
        other = mesh.static(others[0])
        old, new = sorted((checkpoint, other.checkpoint()), key=lambda one: one.size)
        other.check_consistency(old, new)
        ct_static.exercise(log, mesh.authority, count=2, days=DAYS)
    return f"{files} files lost; {size} entries fetched and published {caught_up:.2f} s after the start"


@case
def a_validator_that_lies_about_heads_gets_none_cosigned_and_the_others_publish_on(run: Run) -> str:
    """Node 4 becomes a liar with its own keys: it cosigns other trees, to each peer something else, and forges what is fetched
    from it. The others show one tree, with their cosignatures only; one that lost its files gets them back right."""
    mesh = LogMesh(run, signers=3, consensus={"checkpoint_interval": 2})
    mesh.start()
    mesh.wait_until_log_runs()
    honest, false = mesh.appliances[:3], mesh.appliances[3]
    seen = Seen(mesh)
    with mesh.client.inside():
        ct_static.exercise(mesh.static(honest[0]), mesh.authority, count=4, days=DAYS)
        seen.look(*honest)
    liar = cluster_status(false)["node"]
    mesh.kill(false)
    lies = false.start_mesh_liar()
    wait_until(lambda: all(connected(node) == 3 for node in honest), 20, "all are connected with the liar")
    for node in honest:
        with mesh.client.inside():
            ct_static.exercise(mesh.static(node), mesh.authority, count=4, days=DAYS)
            ct_rfc6962.exercise(mesh.rfc6962(node), mesh.authority, count=2, days=DAYS)
            seen.look(*honest, without=liar)
    forks = [metrics(node).get('nexus_ct_cosignatures_total{result="fork"}', 0) for node in honest]
    expect(all(forks), f"cosignatures of forked heads that the honest have counted: {forks}")
    size = mesh.published(honest[0])
    lost = honest[2]
    # What lies below the last snapshot of its store is not decided again: who has lost it fetches it.
    height = mesh.executed(lost)
    while (cluster_status(lost)["store"]["snapshot"] or 0) < height:
        mesh.update_any(nodes=honest)
    mesh.kill(lost, honest[1])
    mesh.forget(lost)
    mesh.start(lost)
    # One honest peer and the liar are not enough to know what is right.
    wait_until(lambda: "a forged tile/" in lies.log_text(), 20, "the liar is asked for tiles")
    expect(mesh.published(lost) < size, "a node believes what one peer says")
    mesh.start(honest[1])
    caught_up = mesh.wait_until_published(size, *honest)
    with mesh.client.inside():
        ct_static.exercise(mesh.static(lost), mesh.authority, count=2, days=DAYS)
        seen.look(*honest, without=liar)
        seen.check()
        try:
            mesh.static(false).checkpoint()
        except LogFault as fault:
            refused = str(fault)
        else:
            raise LogFault("the liar's checkpoint is believed")
    lies.expect_running()
    told = lies.log_text()
    forged = sum(int(count) for count in re.findall(r"cosigned (\d+) forged heads", told))
    return (
        f"{forged} forged heads, counted {forks} times; {seen.count} checkpoints of one tree; caught up after "
        f"{caught_up:.2f} s beside {told.count('a forged ')} forged files; the liar's own: {refused}"
    )


class Seen:
    """Checkpoints that clients have seen: all must be of one tree."""

    def __init__(self, mesh: LogMesh) -> None:
        self.mesh = mesh
        self.by_size: dict[int, ct_static.Checkpoint] = {}
        self.count = 0

    def look(self, *nodes: Appliance, without: str = "") -> None:
        """The newest of these nodes, audited and cosigned by a quorum, in which a liar is not."""
        for node in nodes:
            log = self.mesh.static(node)
            checkpoint = log.checkpoint()
            log.audit(checkpoint)
            cosigners = ct_static.check_policy(ct_wire.fetch(f"{log.url}/policy")[0].decode(), checkpoint)
            names = {*cosigners, *checkpoint.signatures}
            expect(not without or not any(without in name for name in names), f"the liar's cosignature counts: {names}")
            known = self.by_size.setdefault(checkpoint.size, checkpoint)
            expect(known.root == checkpoint.root, f"{node.host.name}: two trees of {checkpoint.size} entries")
            self.count += 1

    def check(self) -> None:
        """That each goes on from the one before, as the tiles of every honest node show."""
        in_order = [self.by_size[size] for size in sorted(self.by_size)]
        for node in self.mesh.appliances[:3]:
            for old, new in zip(in_order, in_order[1:]):
                self.mesh.static(node).check_consistency(old, new)


@case
def a_logged_certificate_is_valid_and_one_that_never_was_in_the_log_is_not(run: Run) -> str:
    """`nexus ct validate` fetches the proof from the log; a timestamp of a log that has not the entry proves nothing."""
    mesh = LogMesh(run)
    mesh.start()
    mesh.wait_until_log_runs()
    node = mesh.appliances[1]
    logged = mesh.logged_certificate(mesh.appliances[0], "logged.example", days=DAYS)
    plain = run.path("plain.pem")
    plain.write_text(to_pem(mesh.authority.issue("plain.example", days=DAYS)) + to_pem(mesh.authority.root))
    mesh.wait_until_published(1)
    root, logs = mesh.authority.folder / "root.pem", mesh.log_list(node)
    judged = {}
    for chain, host in ((logged, "logged.example"), (plain, "plain.example"), (logged, "other.example")):
        words = ["ct", "validate", str(chain), "--host", host, "--roots", str(root), "--log-list", str(logs)]
        shown = json.loads(node.nexus("--json", *words, check=False))
        judged[host] = {step["step"]: step["result"] for step in shown["steps"]}
    expect(judged["logged.example"]["inclusion"] == "passed", f"{judged}")
    expect(judged["plain.example"]["scts"] == "failed", f"{judged}")
    expect(judged["other.example"]["host"] == "failed", f"{judged}")
    return "proof of inclusion from a node's own tiles"
