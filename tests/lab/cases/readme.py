"""What README promises to a stranger, by its own lines."""

from __future__ import annotations

import re
import textwrap

from .. import dns
from ..hosts import End, Host
from ..installed import Installed, code_after
from ..process import wait_until
from ..run import Run
from ..runner import case, expect
from ..world import INTERFACE, World

ADDRESS_IN_README = "192.0.2.1"
ZONE_TEXT = "$TTL 60\n@ SOA ns hostmaster 1 3600 600 86400 60\n@ NS ns\nns A 10.53.0.1\n"


def _machines(world: World, count: int) -> list[Installed]:
    machines = []
    for index in range(1, count + 1):
        host = Host(world.run, f"machine{index}")
        address = f"10.53.0.{index}"
        world.switch.plug(End(host, INTERFACE, f"02:00:00:00:00:{index:02x}", (f"{address}/16",)))
        machines.append(Installed(host, address))
    return machines


@case
def ten_lines_make_four_machines_agree(run: Run) -> str:
    """Each line of the block is carried out where its comment says; all four then answer alike."""
    world = World(run, nodes=0, authorities=False)
    machines = _machines(world, 4)
    for machine in machines:
        machine.set(r"  # interface: \S+(?= )", f"  interface: {INTERFACE}")
        for unit in ("nexus-dataplane", "nexus-control"):
            machine.restart(unit)
    lines = code_after("### Four machines that agree")
    commands = [line.split("#")[0].strip() for line in lines if not line.startswith("#")]
    own_key, restart, status, create, add = commands
    expect(own_key == f"nexus key show {ADDRESS_IN_README}", f"another first command: {own_key}")
    expect(restart == "systemctl restart nexus-control", f"another way to restart: {restart}")
    members = [machine.shell(own_key.replace(ADDRESS_IN_README, machine.address)).strip() for machine in machines]
    wanted = [line for line in lines if re.match(r"#   +- \{key: ", line)]
    expect(len(wanted) == 1 and lines[lines.index(wanted[0]) - 1] == "#     members:", f"not one example: {lines}")
    indent = wanted[0].removeprefix("#   ").split("-")[0]
    settings = "\n".join(["  members:", *(f"{indent}- {member.removeprefix('- ')}" for member in members)])
    for machine in machines:
        machine.set(r"  members: \[\].*", settings)
    for machine in machines:
        machine.restart("nexus-control")
    any_one = machines[2]
    wait_until(lambda: "4 of 4 voters answer" in any_one.shell(f"{status} || true"), 20, "all are there")
    any_one.write("example.net.zone", ZONE_TEXT)
    any_one.shell(create)
    any_one.shell(add)

    def answered(machine: Installed) -> bool:
        return dns.ask(world.client, machine.address, "www.example.net").data("A") == ["192.0.2.80"]

    for machine in machines:
        expect(machine is not any_one or answered(machine), "not answered where it was added")
    took = wait_until(lambda: all(map(answered, machines)), 10, "all four answer")
    shown = any_one.shell(status)
    return f"all four answer after {took:.2f} s\n{textwrap.indent(shown, '  ')}"
