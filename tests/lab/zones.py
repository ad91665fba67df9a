"""Zone files made on the spot: root, TLD and leaves for the authorities, and an appliance's own zone."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from .run import command

ALGORITHM = "ECDSAP256SHA256"
SOA_TIMERS = "3600 600 86400 60"
HOSTS_COUNT = 1000
OWN_ZONE = "nexus.example."
LEAF_ZONE = "example.test."
PLAIN_ZONE = "plain.test."
BOGUS_ZONE = "bogus.test."


@dataclass(frozen=True)
class Authority:
    """One authoritative server: where it listens, which zones it has."""

    name: str
    v4: str
    v6: str
    zones: tuple[str, ...]


ROOT = Authority("root", "10.53.2.1", "fd53::2:1", (".",))
TLD = Authority("tld", "10.53.2.2", "fd53::2:2", ("test.",))
LEAF = Authority("leaf", "10.53.2.3", "fd53::2:3", (LEAF_ZONE, PLAIN_ZONE, BOGUS_ZONE))
AUTHORITIES = (ROOT, TLD, LEAF)


def _head(apex: str, server: str, serial: int, ttl: int = 3600) -> str:
    return (
        f"$ORIGIN {apex}\n$TTL {ttl}\n"
        f"@ SOA {server} hostmaster.{'' if apex == '.' else apex} {serial} {SOA_TIMERS}\n"
        f"@ NS {server}\n"
    )


def _delegation(child: str, server: str, authority: Authority) -> str:
    return f"{child} NS {server}\n{server} A {authority.v4}\n{server} AAAA {authority.v6}\n"


def own_zone(serial: int = 1, *, www: str = "192.0.2.80", hosts: int = HOSTS_COUNT) -> str:
    """The zone that the appliance itself is authoritative for; `h0000` … are for load."""
    lines = [
        _head(OWN_ZONE, "ns1", serial),
        "ns1 A 10.53.0.1",
        "ns1 AAAA fd53::1",
        f"www A {www}",
        "www AAAA 2001:db8::80",
        "alias CNAME www",
        "short 5 A 192.0.2.5",
        "*.wild A 192.0.2.42",
        "deep.empty A 192.0.2.43",
        'text TXT "one" "two"',
    ]
    # Together more than a packet: the answer must be cut, with TC, and TCP must carry all of it.
    lines += [f'big TXT "{index:02} {"x" * 200}"' for index in range(12)]
    # More than a client without EDNS takes, and less than a packet.
    lines += [f'middling TXT "{index:02} {"x" * 200}"' for index in range(4)]
    lines += [f"h{index:04} A 192.0.2.{index % 254 + 1}" for index in range(hosts)]
    return "\n".join(lines) + "\n"


def host_names(count: int = HOSTS_COUNT) -> list[str]:
    """The names of the own zone that are for load."""
    return [f"h{index:04}.{OWN_ZONE}" for index in range(count)]


def _leaf() -> str:
    lines = [
        _head(LEAF_ZONE, "ns.example.test.", 1, ttl=300),
        f"ns A {LEAF.v4}",
        f"ns AAAA {LEAF.v6}",
        "www A 198.51.100.80",
        "www AAAA 2001:db8:51::80",
        "alias CNAME www.plain.test.",
        "mail MX 10 www",
        "*.wild A 198.51.100.42",
    ]
    lines += [f'big TXT "{index:02} {"y" * 200}"' for index in range(12)]
    lines += [f"r{index:04} A 198.51.100.{index % 254 + 1}" for index in range(200)]
    return "\n".join(lines) + "\n"


def _plain() -> str:
    return _head(PLAIN_ZONE, "ns.example.test.", 1, ttl=300) + "www A 198.51.100.81\n"


def _bogus() -> str:
    return _head(BOGUS_ZONE, "ns.example.test.", 1, ttl=300) + "www A 198.51.100.82\nright A 198.51.100.83\n"


def _tld() -> str:
    return (
        _head("test.", "ns.test.", 1)
        + f"ns.test. A {TLD.v4}\nns.test. AAAA {TLD.v6}\n"
        + _delegation(LEAF_ZONE, "ns.example.test.", LEAF)
        + f"{PLAIN_ZONE} NS ns.example.test.\n{BOGUS_ZONE} NS ns.example.test.\n"
    )


def _root() -> str:
    return (
        _head(".", "root-server.", 1, ttl=86400)
        + f"root-server. A {ROOT.v4}\nroot-server. AAAA {ROOT.v6}\n"
        + _delegation("test.", "ns.test.", TLD)
    )


def root_hints() -> str:
    """What a resolver must know: a file in the form of `named.root`."""
    return (
        ". 3600000 NS root-server.\n"
        f"root-server. 3600000 A {ROOT.v4}\nroot-server. 3600000 AAAA {ROOT.v6}\n"
    )


def file_name(zone: str) -> str:
    """Name of a zone's file."""
    return f"{'root' if zone == '.' else zone.rstrip('.')}.zone"


def write_authorities(folder: Path) -> str:
    """Writes and signs the zones of all authorities; returns the root's key as a trust anchor.

    In the bogus zone one address is changed after signing.

    Signed from the leaves up, since each parent holds the digest of its child's key. The leaf uses
    NSEC3, the others NSEC.
    """
    folder.mkdir()
    (folder / file_name(PLAIN_ZONE)).write_text(_plain())
    _, leaf_digest = sign(folder, LEAF_ZONE, _leaf(), nsec3=True)
    _, bogus_digest = sign(folder, BOGUS_ZONE, _bogus())
    bogus = folder / file_name(BOGUS_ZONE)
    bogus.write_text(bogus.read_text().replace("198.51.100.82", "198.51.100.66"))
    _, tld_digest = sign(folder, "test.", _tld() + leaf_digest + bogus_digest)
    anchor, _ = sign(folder, ".", _root() + tld_digest)
    return anchor


def sign(folder: Path, zone: str, text: str, *, nsec3: bool = False) -> tuple[str, str]:
    """Signs with a key of its own for each zone; returns the DNSKEY and DS records."""
    unsigned = folder / f"{file_name(zone)}.unsigned"
    unsigned.write_text(text)
    here = os.getcwd()
    os.chdir(folder)  # ldns-keygen writes into its working folder.
    try:
        key = command("ldns-keygen", "-a", ALGORITHM, "-k", zone).strip()
        times = [time.strftime("%Y%m%d%H%M%S", time.gmtime(time.time() + s)) for s in (-3600, 86400 * 7)]
        options = ["-n", "-t", "0"] if nsec3 else []
        command(
            "ldns-signzone", "-i", times[0], "-e", times[1], *options,
            "-o", zone, "-f", file_name(zone), unsigned.name, key,
        )  # fmt: skip
    finally:
        os.chdir(here)
    return (folder / f"{key}.key").read_text(), (folder / f"{key}.ds").read_text()
