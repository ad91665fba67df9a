"""Zones signed by ldns-signzone with keys of any kind, and what a parent must know of them."""

from __future__ import annotations

import base64
import hashlib
import time
from dataclasses import dataclass
from pathlib import Path

from .dns import encode_name
from .process import LabError
from .run import command

ECDSA = "ECDSAP256SHA256"
# RSA keys are short, since what they protect lives for a minute.
RSA_BITS = {"RSASHA1": 1024, "RSASHA1-NSEC3-SHA1": 1024, "RSASHA256": 1280, "RSASHA512": 1280}
DIGESTS = {1: hashlib.sha1, 2: hashlib.sha256, 4: hashlib.sha384}
HOUR_S, WEEK_S = 3600, 7 * 86400


@dataclass(frozen=True)
class Key:
    """One key pair, as ldns-keygen has written it."""

    zone: str
    base: str  # Path without ending.
    record: str  # DNSKEY in zone file form.

    @property
    def tag(self) -> int:
        """RFC 4034 appendix B."""
        return key_tag(self.rdata)

    @property
    def algorithm(self) -> int:
        """Its number."""
        return self.rdata[3]

    @property
    def rdata(self) -> bytes:
        """Wire form (RFC 4034 §2.1)."""
        fields = self.record.split(";")[0].split()
        flags, protocol, algorithm = (int(field) for field in fields[3:6])
        return flags.to_bytes(2, "big") + bytes((protocol, algorithm)) + base64.b64decode("".join(fields[6:]))

    def ds(self, digest: int = 2, *, algorithm: int | None = None, wrong: bool = False) -> str:
        """DS record for it (RFC 4034 §5.1); a digest type that is unknown has a digest like any other."""
        value = DIGESTS.get(digest, hashlib.sha256)(encode_name(self.zone.lower()) + self.rdata).hexdigest()
        if wrong:
            value = value[::-1]
        return f"{self.zone} 3600 DS {self.tag} {algorithm or self.algorithm} {digest} {value}"


def key_tag(rdata: bytes) -> int:
    """Of DNSKEY RDATA (RFC 4034 appendix B)."""
    total = sum(byte << 8 if index % 2 == 0 else byte for index, byte in enumerate(rdata))
    return (total + (total >> 16)) & 0xFFFF


class Signer:
    """Makes keys and signs in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)

    def key(self, zone: str, algorithm: str = ECDSA, *, sep: bool = True) -> Key:
        """A new key; `sep` sets the flag of a key-signing key."""
        options = [*(["-k"] if sep else []), *(["-b", str(RSA_BITS[algorithm])] if algorithm in RSA_BITS else [])]
        script = 'cd "$1" && shift && exec ldns-keygen "$@"'
        base = command("sh", "-c", script, "sh", str(self.folder), "-a", algorithm, *options, zone).strip()
        path = self.folder / base
        return Key(zone, str(path), Path(f"{path}.key").read_text().strip())

    def sign(
        self,
        zone: str,
        text: str,
        keys: list[Key],
        *options: str,
        valid_s: tuple[int, int] = (-HOUR_S, WEEK_S),
    ) -> list[str]:
        """The signed zone, a record a line; `valid_s` are the signatures' bounds in seconds from now."""
        unsigned, signed = self.folder / "unsigned", self.folder / "signed"
        unsigned.write_text(text)
        times = [time.strftime("%Y%m%d%H%M%S", time.gmtime(time.time() + s)) for s in valid_s]
        command(
            "ldns-signzone", "-i", times[0], "-e", times[1], *options, "-o", zone,
            "-f", str(signed), str(unsigned), *(key.base for key in keys),
        )  # fmt: skip
        lines = [line.split(" ;{")[0].strip() for line in signed.read_text().splitlines()]
        if not lines:
            raise LabError(f"ldns-signzone made nothing of {zone}")
        return [line for line in lines if line]


@dataclass(frozen=True)
class Line:
    """A record of a signed zone, in the form that ldns-signzone writes."""

    owner: str
    ttl: str
    rtype: str
    data: list[str]

    @classmethod
    def of(cls, line: str) -> Line:
        """Takes a line apart."""
        owner, ttl, _, rtype, *data = line.split()
        return cls(owner, ttl, rtype, data)

    def covers(self) -> str:
        """The type that an RRSIG signs; else its own."""
        return self.data[0] if self.rtype == "RRSIG" else self.rtype

    def text(self) -> str:
        """Back to a line."""
        return "\t".join((self.owner, self.ttl, "IN", self.rtype, " ".join(self.data)))


def signature(lines: list[str], owner: str, covered: str) -> int:
    """Index of the first RRSIG of an RRset."""
    for index, line in enumerate(lines):
        one = Line.of(line)
        if one.rtype == "RRSIG" and one.owner == owner and one.covers() == covered:
            return index
    raise LabError(f"no signature of {owner} {covered}")


def with_field(lines: list[str], owner: str, covered: str, field: int, value: str) -> list[str]:
    """Changes one field of the RDATA of an RRSIG: 2 labels, 3 TTL, 6 tag, 7 signer, 8 signature."""
    at = signature(lines, owner, covered)
    line = Line.of(lines[at])
    line.data[field] = value
    return [*lines[:at], line.text(), *lines[at + 1 :]]


def without(lines: list[str], rtype: str, owner: str | None = None) -> list[str]:
    """Leaves out records of a type, with their signatures; RRSIG alone stands for all signatures."""

    def goes(line: str) -> bool:
        one = Line.of(line)
        return rtype in (one.rtype, one.covers()) and owner in (None, one.owner)

    return [line for line in lines if not goes(line)]
