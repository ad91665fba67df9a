"""What of two answers must be equal, and in which respects they are not."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from .. import dns

RCODES = {0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED", 6: "YXDOMAIN"}
NUMBERS = {number: name for name, number in dns.TYPES.items()}


@dataclass(frozen=True)
class Answer:
    """One answer without what may differ: order, TTLs, spelling."""

    rcode: str
    ad: bool
    # Bits that say who answered how: QR, AA, TC, RD, RA, CD.
    flags: int
    # (owner, type) and the records' data.
    answer: frozenset[tuple[str, str, str]]
    # Types in the authority section; the signed type for RRSIG.
    authority: frozenset[str]

    def differences(self, other: Answer) -> frozenset[str]:
        """Names of the fields that are not equal."""
        names = ("rcode", "ad", "flags", "answer", "authority")
        return frozenset(name for name in names if getattr(self, name) != getattr(other, name))

    def text(self) -> str:
        """For a person."""
        records = ", ".join(f"{owner} {rtype}" for owner, rtype in sorted({r[:2] for r in self.answer}))
        bits = f"{'AD ' if self.ad else ''}{self.flags:04x}"
        return f"{self.rcode} {bits} [{records}] [{' '.join(sorted(self.authority))}]"


NONE = Answer("no answer", False, 0, frozenset(), frozenset())


def read(raw: bytes | None) -> Answer:
    """An answer as it came; one that cannot be read is no answer."""
    if raw is None:
        return NONE
    try:
        message = dns.decode(raw)
    except (ValueError, IndexError, struct.error) as error:
        return Answer(f"unreadable: {error}", False, 0, frozenset(), frozenset())
    answer = frozenset(
        (record.name.lower(), _type(record), record.data.lower()) for record in message.answer
    )
    authority = frozenset(_type(record) for record in message.authority)
    rcode = RCODES.get(message.rcode, str(message.rcode))
    return Answer(rcode, bool(message.flags & 0x20), message.flags & 0x8790, answer, authority)


def _type(record: dns.Record) -> str:
    """Its mnemonic, for a signature with what it signs."""
    name = NUMBERS.get(record.rtype, f"TYPE{record.rtype}")
    if name != "RRSIG":
        return name
    covered = int(record.data[:4], 16)
    return f"RRSIG({NUMBERS.get(covered, f'TYPE{covered}')})"
