"""Differences that are meant, each with the RFC that allows or asks for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable

from .compare import Answer
from .questions import Question


@dataclass(frozen=True)
class Rule:
    """One kind of difference. It must occur, or it is not true any more."""

    name: str
    reason: str
    rfc: str
    # Question, Unbound's answer, ours.
    applies: Callable[[Question, Answer, Answer], bool]


def _is_below(question: Question, zone: str) -> bool:
    name = question.name.lower()
    return name == zone or name.endswith(f".{zone}")


def _checked_before(question: Question, theirs: Answer, ours: Answer) -> bool:
    return question.form == "cd" and theirs.differences(ours) == {"ad"}


def _ed448(question: Question, theirs: Answer, ours: Answer) -> bool:
    return _is_below(question, "ed448.test.") and theirs.differences(ours) == {"ad"} and not ours.ad


def _weak_digest(question: Question, theirs: Answer, ours: Answer) -> bool:
    refused = ours.rcode == "SERVFAIL" and theirs.rcode in ("NOERROR", "NXDOMAIN")
    return _is_below(question, "sha1right.test.") and question.form != "cd" and refused


def _server_is_alias(question: Question, theirs: Answer, ours: Answer) -> bool:
    refused = ours.rcode == "SERVFAIL" and theirs.rcode in ("NOERROR", "NXDOMAIN")
    return _is_below(question, "nsalias.test.") and refused


def _long_chain(question: Question, theirs: Answer, ours: Answer) -> bool:
    endless = _is_below(question, "longchain.test.") or _is_below(question, "self.dname3.test.")
    given_up = [answer.rcode == "SERVFAIL" for answer in (theirs, ours)]
    return endless and given_up.count(True) == 1


def _alias_above(question: Question, theirs: Answer, ours: Answer) -> bool:
    """Unbound's answer has nothing but the alias of a name above."""
    name, owners = question.name.lower(), {owner for owner, _, _ in theirs.answer}
    above = owners and all(name != owner and name.endswith(f".{owner}") for owner in owners)
    return bool(above) and theirs.rcode == ours.rcode == "NXDOMAIN" and not ours.answer


def _alias_type(question: Question, theirs: Answer, ours: Answer) -> bool:
    """Ours holds the alias that was asked for, or what it leads to."""
    first = {owner for owner, rtype, _ in ours.answer if rtype in ("CNAME", "DNAME")}
    answered = ours.rcode == "NOERROR" or (ours.rcode == "NXDOMAIN" and question.qtype != "CNAME")
    return question.qtype in ("CNAME", "DNAME") and bool(first) and answered


def _borrowed_rcode(question: Question, theirs: Answer, ours: Answer) -> bool:
    """The alias to a name of another zone that does not exist, whose denial comes from both zones."""
    leads_away = any(rtype == "CNAME" and owner == question.name.lower() for owner, rtype, _ in ours.answer)
    return leads_away and ours.rcode == "NXDOMAIN" and "SOA" in ours.authority and "SOA" not in theirs.authority


RULES: tuple[Rule, ...] = (
    Rule(
        "AD with CD",
        "With CD nobody has to check anything; whether AD is set only says what was checked before for somebody else.",
        "RFC 4035 §3.2.2 and §3.2.3, RFC 6840 §5.9",
        _checked_before,
    ),
    Rule(
        "Ed448",
        "The appliance does not know algorithm 16, and a zone that is signed with it alone counts as unsigned: "
        "answers are given without AD. Validators are recommended to know it, no more.",
        "RFC 4035 §5.2, RFC 8624 §3.1",
        _ed448,
    ),
    Rule(
        "SHA-1 beside SHA-256",
        "The DS with SHA-1 is right and the one with SHA-256 is wrong. A SHA-1 digest should be ignored beside a "
        "SHA-256 digest, or whoever breaks SHA-1 would need no more; the zone is bogus. Unbound takes either.",
        "RFC 4509 §3",
        _weak_digest,
    ),
    Rule(
        "Name server that is an alias",
        "The name of a server must not be an alias, and the appliance follows none. Unbound does.",
        "RFC 2181 §10.3",
        _server_is_alias,
    ),
    Rule(
        "Chains of aliases",
        "Both give up a chain of aliases that is too long, or a DNAME into itself, and each has another bound.",
        "RFC 1034 §3.6.2 and §5.2.2, RFC 1035 §7.1",
        _long_chain,
    ),
    Rule(
        "Alias of a name above",
        "The name above is an alias to a name that does not exist. Unbound, which asks for that name first "
        "(QNAME minimisation), answers with its alias although it is not the name that was asked for.",
        "RFC 1034 §4.3.2 step 3, RFC 9156 §2.3",
        _alias_above,
    ),
    Rule(
        "Type CNAME or DNAME behind an alias",
        "CNAME is asked for, and is the answer; it is not followed, and the code is that of the name asked for. DNAME "
        "is asked for below a DNAME, and that is followed to where there is none. Unbound answers SERVFAIL, or with "
        "the code of the name that the alias leads to, or without SOA.",
        "RFC 1034 §3.6.2, RFC 6672 §3.2, RFC 6604 §3, RFC 2308 §2",
        _alias_type,
    ),
    Rule(
        "Code of another zone",
        "One server has the zone of the alias and that of its target, and puts the denial of the target behind the "
        "alias. The appliance has it from the target's zone, with its proof; Unbound sometimes takes the code alone, "
        "and then says SERVFAIL or gives no SOA.",
        "RFC 2308 §2.1, RFC 2181 §5.4.1, RFC 6604 §3",
        _borrowed_rcode,
    ),
)


def explain(question: Question, theirs: Answer, ours: Answer) -> Rule | None:
    """The first rule that covers a difference."""
    return next((rule for rule in RULES if rule.applies(question, theirs, ours)), None)
