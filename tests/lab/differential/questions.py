"""Questions made of the contents of a tree: what is there, what is not, in several forms."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Iterator

from .. import dns
from ..tree import Tree, Zone

# Asked at every name besides the types that it has.
COMMON = ("A", "TXT")
ROTATING = ("AAAA", "MX", "CNAME", "NS", "SOA", "DNSKEY", "SRV", "CAA", "TLSA", "HTTPS", "DNAME", "PTR")
APEX = ("SOA", "NS", "DNSKEY", "DS", "A", "NSEC3PARAM", "MX", "CNAME")
# Form: (name, DO, AD, CD). RFC 6840 §5.7 to §5.9.
FORMS = {
    "do": (True, False, False),
    "plain": (False, False, False),
    "ad": (False, True, False),
    "cd": (True, False, True),
}
NAME_OCTETS_MAX = 255


@dataclass(frozen=True)
class Question:
    """One question in one form."""

    zone: str  # Whose contents it is made of.
    name: str
    qtype: str
    form: str

    def message(self, ident: int) -> bytes:
        """As it goes over the wire."""
        do, ad, cd = FORMS[self.form]
        flags = 0x0100 | (0x0020 if ad else 0) | (0x0010 if cd else 0)
        return dns.query(self.name, self.qtype, ident=ident, flags=flags, additional=(dns.opt(do=do),))

    def __str__(self) -> str:
        return f"{self.name} {self.qtype} ({self.form})"


def _owners(zone: Zone) -> dict[str, set[str]]:
    """Names that the body of a zone gives, with their types."""
    found: dict[str, set[str]] = {}
    for line in zone.body.splitlines():
        if fields := line.split():
            owner = zone.name if fields[0] == "@" else _below(fields[0], zone.name)
            found.setdefault(owner, set()).add(fields[1])
    return found


def _below(label: str, name: str) -> str:
    return f"{label}.{'' if name == '.' else name}"


def _names(zone: Zone) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Names to ask for and types that must be among the questions."""
    yield zone.name, APEX
    owners = _owners(zone)
    for owner, types in owners.items():
        own = tuple(sorted(t for t in types if t in dns.TYPES))
        if owner == zone.name:
            yield _below("any", owner), own
        elif owner.startswith("*."):
            parent = owner[2:]
            yield owner, own
            yield parent, ()  # An empty non-terminal, or what the wildcard is below.
            yield _below("made", parent), own
            yield _below("more.made", parent), own
        elif "DNAME" in types:
            yield owner, own
            yield _below("www", owner), ("AAAA",)
            yield _below("nothing", owner), ()
            yield _below("x.wild", owner), ()
        else:
            yield owner, own
            yield _below("under", owner), ()
            for gap in _gaps(owner, zone.name, owners):
                yield gap, ("DS",)
                yield _below("aside", gap), ()
    for absent in ("absent", "deep.absent", "0", "zzzz"):
        yield _below(absent, zone.name), ("DS",)


def _gaps(owner: str, apex: str, owners: dict[str, set[str]]) -> Iterator[str]:
    """Empty non-terminals above a name."""
    above = owner.split(".", 1)[1]
    for _ in range(3):
        if above == apex or len(above) <= len(apex) or above in owners:
            return
        yield above
        above = above.split(".", 1)[1]


def of(tree: Tree, seed: int) -> list[Question]:
    """All questions about a tree, in an order by chance: the same names come in several forms, which
    meet what earlier ones left in the caches."""
    chance, made, turn = random.Random(seed), {}, 0
    for zone in tree.zones.values():
        for name, types in _names(zone):
            if len(dns.encode_name(name)) > NAME_OCTETS_MAX:
                continue
            turn += 1
            rotating = (ROTATING[turn % len(ROTATING)], ROTATING[(turn * 5 + 3) % len(ROTATING)])
            for qtype in dict.fromkeys((*types, *COMMON, *rotating)):
                forms = list(FORMS)
                asked = _mixed(name, chance) if chance.random() < 0.1 else name
                for form in forms:
                    made[Question(zone.name, asked, qtype, form)] = None
    questions = list(made)
    chance.shuffle(questions)
    return questions


def _mixed(name: str, chance: random.Random) -> str:
    """The name with letters in upper and lower case: the same name (RFC 4343)."""
    return "".join(letter.upper() if chance.random() < 0.5 else letter for letter in name)
