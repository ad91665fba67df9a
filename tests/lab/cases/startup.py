"""Mistakes at start: one clear message, exit status 2, nothing left attached."""

from __future__ import annotations

import socket
import subprocess

from .. import zones
from ..appliance import program_folder
from ..hosts import Host
from ..process import Process
from ..run import Run
from ..runner import Failed, case, expect
from ..world import INTERFACE, NODE_V4, World

NEXUS = program_folder() / "nexus"
EXIT_SETUP = 2
END_TIMEOUT_S = 15


def _expect_refusal(world: World, process: Process, *words: str) -> str:
    """Exit status 2, one error, which has all the words; nothing attached to any interface."""
    try:
        status = process.popen.wait(END_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        raise Failed(f"it runs:\n{process.log_tail()}") from None
    text = process.log_text()
    errors = [line for line in text.splitlines() if " ERROR " in line or line.startswith("nexus-")]
    expect(status == EXIT_SETUP, f"exit status {status}:\n{process.log_tail()}")
    expect(len(errors) == 1, f"{len(errors)} errors:\n{process.log_tail()}")
    for word in words:
        expect(word in errors[0], f"{word!r} is not in: {errors[0]}")
    expect("panicked" not in text, f"a panic:\n{process.log_tail()}")
    host = world.node.host
    for interface in host.interfaces():
        expect(host.xdp_program(interface) is None, f"an XDP program was left attached to {interface}")
    return errors[0].split(" ERROR ", 1)[-1].strip()[:250]


def _refused_dataplane(world: World, words: tuple[str, ...], *prefix: str, **settings: dict) -> str:
    world.node.configure(**settings)
    return _expect_refusal(world, world.node.start_dataplane(*prefix), *words)


@case
def a_missing_interface_is_named(run: Run) -> str:
    """Every mode that needs one says which is missing; auto does not fall back over a typing error."""
    world = World(run, authorities=False)
    for mode in ("auto", "copy", "zero-copy"):
        note = _refused_dataplane(world, ("nosuch0",), dataplane={"interface": "nosuch0", "mode": mode})
    return note


@case
def an_interface_without_xdp_is_refused_or_fallen_back_from(run: Run) -> str:
    """mode copy says why not; mode auto takes sockets and says why in its status."""
    world = World(run, authorities=False)
    host = world.node.host
    host.ip("link", "add", "plain0", "type", "bridge")
    host.ip("link", "set", "plain0", "up")
    host.add_address("plain0", "10.58.0.1/16")
    note = _refused_dataplane(world, ("plain0",), dataplane={"interface": "plain0", "mode": "copy"})
    world.node.configure(dataplane={"mode": "auto"})
    world.node.start()
    status = world.node.status()["dataplane"]
    expect(status["mode"] == "socket", f"mode {status['mode']}")
    expect("copy" in status["reason"], f"no reason: {status['reason']}")
    world.warm([f"www.{zones.OWN_ZONE}"])
    return f"{note}\nauto: {status['reason'][:200]}"


@case
def missing_privilege_is_said(run: Run) -> str:
    """Neither XDP nor port 53 without capabilities."""
    world = World(run, authorities=False)
    powerless = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--bounding-set=-all",
                 "--inh-caps=-all")  # fmt: skip
    # A folder that it may write, so that nothing but the privilege is missing.
    note = _refused_dataplane(world, ("permi",), *powerless, dataplane={"mode": "copy"})
    other = _refused_dataplane(world, ("53",), *powerless, dataplane={"mode": "socket"})
    return f"{note}\n{other}"


def _occupy(host: Host, kind: socket.SocketKind) -> socket.socket:
    with host.inside():
        taken = socket.socket(socket.AF_INET, kind)
    taken.bind((NODE_V4, 53))
    if kind == socket.SOCK_STREAM:
        taken.listen()
    return taken


@case
def a_port_that_is_taken_is_named(run: Run) -> str:
    """UDP in socket mode of the dataplane; UDP and TCP of control."""
    world = World(run, authorities=False, resolver={"listen": [NODE_V4]})
    notes = []
    with _occupy(world.node.host, socket.SOCK_DGRAM):
        notes.append(_refused_dataplane(world, (f"{NODE_V4}:53",), dataplane={"mode": "socket", "queues": [0]}))
        world.node.configure(dataplane={"mode": "auto", "queues": "all"})  # Else control waits for sockets.
        notes.append(_expect_refusal(world, world.node.start_control(), f"{NODE_V4}:53"))
    with _occupy(world.node.host, socket.SOCK_STREAM):
        notes.append(_expect_refusal(world, world.node.start_control(), f"{NODE_V4}:53"))
    return "\n".join(notes)


@case
def a_cookie_secret_that_cannot_be_read_is_named(run: Run) -> str:
    """Both planes refuse: with a random secret in its place an anycast set would fall apart unnoticed."""
    world = World(run, authorities=False)
    secret = world.node.folder / "cookie.secret"
    secret.write_text("too short")
    settings = {"resolver": {"cookies": {"secret": "cookie.secret"}}}
    note = _refused_dataplane(world, (str(secret), "32 hexadecimal digits"), **settings)
    other = _expect_refusal(world, world.node.start_control(), str(secret), "32 hexadecimal digits")
    return f"{note}\n{other}"


@case
def a_hand_over_socket_that_cannot_be_is_named(run: Run) -> str:
    """A folder that is not there, and another dataplane's socket, which stays. Opened after the queues."""
    world = World(run, authorities=False)
    node = world.node
    missing = str(node.folder / "missing" / "dataplane.sock")
    note = _refused_dataplane(world, (missing,), dataplane={"mode": "copy", "socket": missing})
    taken = node.folder / "taken.sock"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(taken))
        other.listen()
        settings = {"mode": "copy", "socket": str(taken)}
        other_note = _refused_dataplane(world, (str(taken), "another dataplane"), dataplane=settings)
    expect(taken.is_socket(), "the other's socket is gone")
    return f"{note}\n{other_note}"


@case
def a_queue_or_core_that_does_not_exist_is_named(run: Run) -> str:
    """One queue, asked for number 5; a machine without core 500."""
    world = World(run, authorities=False)
    notes = [_refused_dataplane(world, ("queue", "5"), dataplane={"queues": [5]})]
    notes.append(_refused_dataplane(world, ("core", "500"), dataplane={"queues": "all", "cores": [500]}))
    return "\n".join(notes)


@case
def a_zone_file_with_an_error_is_named_with_its_line(run: Run) -> str:
    """Control refuses to start and says file and line; `nexus check` says the same."""
    world = World(run, authorities=False)
    node = world.node
    lines = zones.own_zone().splitlines()
    lines.insert(8, "broken A 192.0.2.999")
    node.zone_file.write_text("\n".join(lines) + "\n")
    where = f"{node.zone_file.name}:9"
    note = _expect_refusal(world, node.start_control(), where)
    shown = node.host.command("sh", "-c", f"{NEXUS} check {node.config} 2>&1; echo status $?")
    expect(where in shown and "status 2" in shown, f"nexus check: {shown}")
    return note


@case
def an_unknown_key_or_bad_value_is_named_with_its_line(run: Run) -> str:
    """Both planes and `nexus check` say file, line and key."""
    world = World(run, authorities=False)
    node, notes = world.node, []
    good = node.config.read_text()
    for section, line, word in (
        ("dataplane:", '  interfase: "eth1"', "interfase"),
        ("resolver:", "  questions_max: many", "questions_max"),
    ):
        node.config.write_text(good.replace(f"{section}\n", f"{section}\n{line}\n"))
        number = node.config.read_text().splitlines().index(line) + 1
        where = f"{node.config.name}:{number}"
        for start in (node.start_dataplane, node.start_control):
            notes.append(_expect_refusal(world, start(), where, word))
        shown = node.host.command("sh", "-c", f"{NEXUS} check {node.config} 2>&1; echo status $?")
        expect(where in shown and word in shown and "status 2" in shown, f"nexus check: {shown}")
    return "\n".join(notes[::2])


@case
def an_interface_that_is_already_served_is_refused_and_stays_served(run: Run) -> str:
    """A second dataplane on the same interface ends; the first goes on."""
    world = World(run, authorities=False)
    node = world.node
    node.start()
    first = node.dataplane
    world.warm([f"www.{zones.OWN_ZONE}"])
    node.configure(dataplane={"mode": "copy"})
    second = node.start_dataplane()
    status = second.popen.wait(END_TIMEOUT_S)
    expect(status == EXIT_SETUP, f"exit status {status}:\n{second.log_tail()}")
    assert first is not None
    first.expect_running()
    expect(node.host.xdp_program(INTERFACE) is not None, "the first one's program is gone")
    node.dataplane = first
    before = node.counters()
    world.warm([f"www.{zones.OWN_ZONE}"])
    moved = {k: v - before[k] for k, v in node.counters().items() if v != before[k]}
    expect(moved.get("queries") == 2, f"the first one does not serve: {moved}")
    return second.log_tail(2).strip()
