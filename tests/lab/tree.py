"""A tree of zones on several authoritative servers: written, signed from the leaves up, served by NSD."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Sequence

from . import peers
from .hosts import Host
from .process import LabError, Process
from .signing import ECDSA, HOUR_S, WEEK_S, Key, Signer

TIMERS = "3600 600 86400 60"


@dataclass(frozen=True)
class Signing:
    """How a zone is signed."""

    # (algorithm, whether it is a key-signing key)
    keys: Sequence[tuple[str, bool]] = ((ECDSA, True),)
    options: Sequence[str] = ()
    valid_s: tuple[int, int] = (-HOUR_S, WEEK_S)
    # Indices of the keys that sign; the others are only published. Empty: all.
    signing: Sequence[int] = ()
    # Indices of the keys that the DNSKEY RRset has; empty: all. A DS may name one that it has not.
    published: Sequence[int] = ()


SECURE = Signing()
NSEC3 = Signing(options=("-n", "-t", "0"))


@dataclass(frozen=True)
class Zone:
    """One zone. Names of records are relative to it unless they end in a dot."""

    name: str
    body: str = ""
    signing: Signing | None = SECURE
    # DS records of the parent; None: one SHA-256 digest of each key-signing key, or none if unsigned.
    ds: Callable[[list[Key]], list[str]] | None = None
    # What is done to the records after signing.
    edit: Callable[[list[str], list[Key], Signer], list[str]] | None = None
    # Which server has it; None: by its depth.
    server: int | None = None
    # Records that delegate, names relative to the parent; None: one server below itself, with glue.
    delegation: str | None = None
    # NS and address records at its own apex; None: those of the usual delegation.
    apex: str | None = None
    # The parent's NSEC3 chain leaves it out (RFC 5155 §6).
    opted_out: bool = False
    # TTL of all records in seconds.
    ttl: int = 3600
    # What is wrong with it or special, for the table.
    about: str = ""

    @property
    def depth(self) -> int:
        """Labels of its name."""
        return len([label for label in self.name.split(".") if label])


class Tree:
    """All zones of a lab, and the servers that have them."""

    def __init__(self, zones: Sequence[Zone], servers: int) -> None:
        self.zones = {zone.name: zone for zone in zones}
        if len(self.zones) != len(zones):
            raise LabError("a zone occurs twice")
        self.servers = servers
        self.anchor = ""
        self._delegations: dict[str, list[tuple[Zone, str]]] = {name: [] for name in self.zones}

    @staticmethod
    def addresses(server: int) -> tuple[str, str]:
        """IPv4 and IPv6 of one server."""
        return f"10.53.2.{server + 1}", f"fd53::2:{server + 1:x}"

    def server_of(self, zone: Zone) -> int:
        """Which server has it."""
        return min(zone.depth, 3) if zone.server is None else zone.server

    def parent_of(self, zone: Zone) -> Zone:
        """The closest zone above."""
        labels = [label for label in zone.name.split(".") if label]
        for skip in range(1, len(labels) + 1):
            name = ".".join(labels[skip:]) + "."
            if name in self.zones:
                return self.zones[name]
        raise LabError(f"{zone.name} has no parent")

    def hints(self) -> str:
        """A file in the form of `named.root`."""
        v4, v6 = self.addresses(self.server_of(self.zones["."]))
        return f". 3600000 NS ns.\nns. 3600000 A {v4}\nns. 3600000 AAAA {v6}\n"

    def _nameserver(self, zone: Zone) -> str:
        """NS and addresses of the one usual server of a zone, which is below itself."""
        v4, v6 = self.addresses(self.server_of(zone))
        name = "ns." if zone.name == "." else f"ns.{zone.name}"
        return f"{zone.name} {zone.ttl} NS {name}\n{name} {zone.ttl} A {v4}\n{name} {zone.ttl} AAAA {v6}"

    def write(self, folder: Path) -> None:
        """Writes all zone files, children before parents, and sets the trust anchor."""
        signer = Signer(folder)
        for zone in sorted(self.zones.values(), key=lambda zone: -zone.depth):
            lines, keys = self._make(zone, signer)
            (folder / file_name(zone.name)).write_text("\n".join(lines) + "\n")
            if zone.name == ".":
                self.anchor = keys[0].record + "\n"
                continue
            ds = zone.ds(keys) if zone.ds else [] if zone.signing is None else _ds(zone.signing, keys)
            ns = self._nameserver(zone) if zone.delegation is None else zone.delegation
            parent = self.parent_of(zone)
            self._delegations[parent.name].append((zone, "\n".join((ns, *ds))))

    def _make(self, zone: Zone, signer: Signer) -> tuple[list[str], list[Key]]:
        apex = self._nameserver(zone) if zone.apex is None else zone.apex
        children = self._delegations[zone.name]
        hostmaster = "hostmaster." if zone.name == "." else f"hostmaster.{zone.name}"
        head = f"$ORIGIN {zone.name}\n$TTL {zone.ttl}\n"
        text = head + "\n".join(
            [f"@ SOA {hostmaster} {hostmaster} 1 {TIMERS}", apex, zone.body]
            + [records for child, records in children if not child.opted_out]
        )
        opted_out = [head, *(records for child, records in children if child.opted_out)]
        if zone.signing is None:
            keys = [signer.key(zone.name)] if zone.ds else []
            lines = [text]
        else:
            how = zone.signing
            keys = [signer.key(zone.name, algorithm, sep=sep) for algorithm, sep in how.keys]
            signing = [keys[index] for index in how.signing] or keys
            published = [keys[index] for index in how.published] or keys
            text += "\n" + "\n".join(key.record for key in published) + "\n"
            options = how.options if len(published) == len(keys) else ("-d", *how.options)
            lines = signer.sign(zone.name, text, signing, *options, valid_s=how.valid_s)
        if zone.edit:
            lines = zone.edit(lines, keys, signer)
        return lines + (opted_out if len(opted_out) > 1 else []), keys

    def serve(self, host: Host, interface: str) -> list[Process]:
        """One NSD a server, each with addresses of its own; `write` comes first."""
        folder = host.run.path("zones")
        processes = []
        for server in range(self.servers):
            v4, v6 = self.addresses(server)
            host.add_address(interface, f"{v4}/16", f"{v6}/64")
            served = [zone.name for zone in self.zones.values() if self.server_of(zone) == server]
            files = {name: folder / file_name(name) for name in served}
            config = peers.write_nsd(host.run.path(f"nsd-{server}"), (v4, v6), files)
            processes.append((served, v4, host.start(f"nsd-{server}", ["nsd", "-d", "-c", str(config)])))
        for served, v4, process in processes:
            if served:
                peers.wait_for_answer(process, host, v4, served[0])
        return [process for _, _, process in processes]


def _ds(signing: Signing, keys: list[Key]) -> list[str]:
    """What a parent usually has: a digest of each key that signs keys."""
    return [key.ds() for (_, sep), key in zip(signing.keys, keys) if sep]


def file_name(zone: str) -> str:
    """Name of a zone's file."""
    return f"{'root' if zone == '.' else zone.rstrip('.')}.zone"
