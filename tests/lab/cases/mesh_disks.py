"""What a node of a mesh makes of a disk that is damaged, full or read-only: refused with a clear message,
or repaired from its peers, and never silently wrong."""

from __future__ import annotations

import random
import secrets
import shutil
import time
from pathlib import Path

from .. import dns
from ..appliance import GROUP, USER, Appliance
from ..mesh import MESH_ZONE, Mesh, metrics
from ..process import Process, wait_until
from ..run import Run
from ..runner import case, expect
from ..updates import Clients, add, text
from .mesh_faults import caught_up, settle

EXIT_UNUSABLE = 2
# Frequent checkpoints, so that there are snapshots soon: one in ten checkpoints is one.
CHECKPOINT_INTERVAL = 4
SNAPSHOT_INTERVAL = 10 * CHECKPOINT_INTERVAL
FILE_HEADER_BYTES_MIN = 64


def ready(run: Run) -> Mesh:
    """Four nodes with two snapshots each, and entries behind them."""
    mesh = Mesh(run, consensus={"checkpoint_interval": CHECKPOINT_INTERVAL})
    mesh.start()
    mesh.wait_for_serial(1)
    grow(mesh, 2 * SNAPSHOT_INTERVAL + CHECKPOINT_INTERVAL + 1)
    return mesh


def with_long_log(run: Run) -> Mesh:
    """Four nodes before their first checkpoint, which would begin the log anew."""
    mesh = Mesh(run)
    mesh.start()
    mesh.wait_for_serial(1)
    grow(mesh, SNAPSHOT_INTERVAL)
    return mesh


def grow(mesh: Mesh, count: int, nodes: list[Appliance] | None = None) -> None:
    """So many updates, one after the other."""
    with mesh.updater((nodes or mesh.appliances)[0]) as client:
        for _ in range(count):
            code = client.update(add(f"g{time.monotonic_ns()}.{MESH_ZONE}", "TXT", text("x")))
            expect(code == dns.NOERROR, f"an update got {code}")


def files(node: Appliance, prefix: str) -> list[Path]:
    """Files of a node's store, oldest first."""
    found = [path for path in (node.folder / "consensus").glob(f"{prefix}*") if path.suffix == ""]
    return sorted(found, key=lambda path: path.name)


def flip(path: Path, chance: random.Random, first: float = 0.2, last: float = 0.8) -> int:
    """Turns one bit somewhere in the middle of a file; says where."""
    contents = bytearray(path.read_bytes())
    begin = max(FILE_HEADER_BYTES_MIN, int(len(contents) * first))
    place = chance.randrange(begin, max(begin + 1, int(len(contents) * last)))
    contents[place] ^= 1 << chance.randrange(8)
    path.write_bytes(contents)
    return place


def comes_back(mesh: Mesh, node: Appliance) -> str:
    """Starts a node, waits until it has what the others have, and returns what it said of its store."""
    mesh.start(node)
    wait_until(lambda: caught_up(mesh, node), 30, f"caught up:\n{node.log_tails()}")
    mesh.update_any()
    mesh.wait_until_equal()
    contents = [mesh.contents(one) for one in mesh.appliances]
    expect(all(one == contents[0] for one in contents), "nodes serve different zones")
    expect(len(contents[0]) > SNAPSHOT_INTERVAL, "the zone is nearly empty")
    assert node.control is not None
    return node.control.log_text()


@case
def torn_tail_of_the_log_is_cut_off_and_said(run: Run) -> str:
    """As after a loss of power: what was not whole had promised nothing. No checkpoint has replaced the
    log yet: what that writes is durable before it bears its name, and cannot be torn."""
    mesh = with_long_log(run)
    node, chance = mesh.appliances[1], random.Random(seed := secrets.randbits(32))
    notes = []
    for kind in ("half an entry", "garbage"):
        grow(mesh, 3)
        mesh.kill(node)
        (log,) = files(node, "log")
        contents = log.read_bytes()
        garbage = chance.randbytes(chance.randrange(1, 200))
        # Killed, not cut by power: the last entry is durable. It becomes half of itself, or half of a
        # next one follows it.
        log.write_bytes(contents + garbage if kind == "garbage" else contents[: -chance.randrange(1, 20)])
        said = comes_back(mesh, node)
        expect("it is cut off" in said, f"seed {seed}, {kind}: nothing said of the cut:\n{said[-2000:]}")
        notes.append(kind)
    return f"seed {seed}: {', '.join(notes)}"


@case
def flipped_bit_in_the_log_is_refused_with_status_2(run: Run) -> str:
    """Votes that a node has forgotten make it faulty: it does not start, and says where and what to do. A
    last entry that is damaged is a torn one to it; so the log is a long one, without a checkpoint."""
    mesh = with_long_log(run)
    node, chance = mesh.appliances[1], random.Random(seed := secrets.randbits(32))
    mesh.kill(node)
    (log,) = files(node, "log")
    sound = log.read_bytes()
    messages = []
    for _ in range(3):
        place = flip(log, chance)
        text_ = refusal(node)
        expect(str(log) in text_ and "damaged at byte" in text_ and "replace-key" in text_, f"seed {seed}: {text_}")
        messages.append(f"bit of byte {place}")
        log.write_bytes(sound)
    log.unlink()
    missing = refusal(node)
    expect("missing" in missing, f"seed {seed}: {missing}")
    grow(mesh, 5, [mesh.appliances[0]])
    log.write_bytes(sound)
    log.chmod(0o600)
    owned_by_user(log)
    comes_back(mesh, node)
    return f"seed {seed}: refused for {', '.join(messages)}, and for a log that is gone; back with the sound one"


def owned_by_user(path: Path) -> None:
    """As the node would have made it."""
    shutil.chown(path, USER, GROUP)


def refusal(node: Appliance) -> str:
    """Starts control, which must end with status 2; what it printed, on one line."""
    process = node.start_control()
    status = process.popen.wait(15)
    node.control = None
    expect(status == EXIT_UNUSABLE, f"status {status}:\n{process.log_tail()}")
    last = process.log_text().strip().splitlines()[-1]
    expect(last.startswith("nexus-control: "), f"the last line is {last!r}")
    return last


@case
def flipped_bit_in_history_or_snapshot_is_set_aside_and_repaired_from_peers(run: Run) -> str:
    """Also with both at once, and with all snapshots."""
    mesh = ready(run)
    node, chance = mesh.appliances[2], random.Random(seed := secrets.randbits(32))
    notes = []
    for prefixes in (("history-",), ("snapshot-",), ("history-", "snapshot-")):
        grow(mesh, SNAPSHOT_INTERVAL)
        mesh.kill(node)
        grow(mesh, 3)
        damaged = [path for prefix in prefixes for path in files(node, prefix)]
        expect(damaged, f"no files {prefixes}")
        for path in damaged:
            flip(path, chance)
        said = comes_back(mesh, node)
        expect("set aside" in said, f"seed {seed}, {prefixes}: nothing said:\n{said[-3000:]}")
        notes.append(f"{' and '.join(path.name for path in damaged)}")
    return f"seed {seed}: {', '.join(notes)}"


class SmallDisk:
    """A file system of a few MiB at a node's store, in a mount namespace that its holder keeps."""

    def __init__(self, node: Appliance, mebibytes: int) -> None:
        self.node, self.store = node, node.folder / "consensus"
        self.store.mkdir(exist_ok=True)
        mount = (
            f"mount -t tmpfs -o size={mebibytes}m,mode=700,uid=$(id -u {USER}),gid=$(id -g {USER}) tmpfs {self.store}"
            f" && echo mounted && exec sleep infinity"
        )
        self.holder: Process = node.host.start(f"disk-{node.host.name}", ["unshare", "-m", "sh", "-ec", mount])
        wait_until(lambda: "mounted" in self.holder.log_text(), 5, f"a small disk: {self.holder.log_text()}")

    def prefix(self) -> list[str]:
        """Starts a program that sees it."""
        return ["nsenter", "-m", "-t", str(self.holder.pid)]

    def command(self, script: str) -> None:
        """A shell command that sees it."""
        self.node.host.command(*self.prefix(), "sh", "-c", script)


def with_small_disk(run: Run, node_index: int) -> tuple[Mesh, Appliance, SmallDisk]:
    """Four nodes that serve, one of them on a small disk."""
    mesh = Mesh(run)
    node = mesh.appliances[node_index]
    disk = SmallDisk(node, 2)
    for one in mesh.appliances:
        one.start_dataplane()
        one.start_control(*(disk.prefix() if one is node else ()))
    for one in mesh.appliances:
        one.wait_until_serving()
    mesh.wait_for_serial(1)
    return mesh, node, disk


@case
def full_disk_stops_a_nodes_votes_and_nothing_else(run: Run) -> str:
    """It says so and goes on answering; others go on; with space and a restart it catches up."""
    mesh, node, disk = with_small_disk(run, 1)
    others = [one for one in mesh.appliances if one is not node]
    with Clients(mesh, seed=secrets.randbits(32), pause_s=0.01) as clients:
        time.sleep(0.5)
        disk.command(f"cat /dev/zero >{disk.store}/filler 2>/dev/null; true")
        stopped = wait_until(lambda: metrics(node).get("nexus_consensus_stopped") == 1, 20, "it has stopped")
        height = mesh.executed(others[0])
        wait_until(lambda: mesh.executed(others[0]) > height + 10, 20, "the others go on")
    assert node.control is not None
    said = node.control.log_text()
    expect("No space left" in said, f"nothing said of the disk:\n{said[-2000:]}")
    problems = mesh.problems(node)
    expect("takes no part any more" in problems and "No space left" in problems, f"its status says: {problems}")
    answer = dns.ask(mesh.client, node.address, f"www.{MESH_ZONE}")
    expect(answer.data("A") == ["192.0.2.80"], f"DNS from the node: {answer}")
    with mesh.updater(node) as client:
        code = client.update(add(f"full.{MESH_ZONE}", "TXT", text("x")))
        expect(code == dns.SERVFAIL, f"an update at a node that has stopped got {code}")
    node.control.kill()
    disk.command(f"rm {disk.store}/filler")
    node.start_control(*disk.prefix())
    node.wait_until_serving()
    wait_until(lambda: caught_up(mesh, node), 30, f"caught up:\n{node.log_tails()}")
    return f"stopped {stopped:.2f} s after the disk was full; {settle(mesh, clients)}"


@case
def read_only_disk_is_refused_at_start_and_taken_when_it_is_mended(run: Run) -> str:
    """A running node holds its files open, so that only the kernel itself could do it then: that is
    what a failed write is (see the full disk)."""
    mesh, node, disk = with_small_disk(run, 2)
    mesh.kill(node)
    disk.command(f"mount -o remount,ro {disk.store}")
    node.start_dataplane()
    process = node.start_control(*disk.prefix())
    status = process.popen.wait(15)
    said = process.log_text().strip().splitlines()[-1]
    expect(status == EXIT_UNUSABLE, f"status {status}: {process.log_tail()}")
    expect(str(disk.store) in said and "Read-only" in said, f"it said {said}")
    mesh.update_any()
    disk.command(f"mount -o remount,rw {disk.store}")
    node.start_control(*disk.prefix())
    node.wait_until_serving()
    wait_until(lambda: caught_up(mesh, node), 30, f"caught up:\n{node.log_tails()}")
    mesh.wait_until_equal()
    return said.removeprefix("nexus-control: ").replace(str(run.folder), "…")
