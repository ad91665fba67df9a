"""Zones of every kind that a validating resolver meets, sound and broken."""

from __future__ import annotations

import base64
from typing import Callable

from ..signing import ECDSA, HOUR_S, Key, Line, Signer, signature, with_field, without
from ..tree import NSEC3, SECURE, Signing, Tree, Zone

SERVERS = 6
# Has no zone but a few named ones: who asks it for others is refused.
LAME = 4
# Parent and child on one server.
SHARED = 5

STANDARD = """
www A 198.51.100.1
www AAAA 2001:db8::1
mail MX 10 www
text TXT "one" "two"
alias CNAME www
twice CNAME alias
away CNAME www.plain.test.
home CNAME www.nsec.test.
lost CNAME nothing.nsec3.test.
gone CNAME nothing
*.wild A 198.51.100.2
*.wild TXT "wild"
here.wild A 198.51.100.3
*.star CNAME www
*.inner.hollow A 198.51.100.4
deep.empty.gap A 198.51.100.5
moved DNAME nsec.test.
fallen DNAME plain.test.
"""
# Enough to see whether a zone is trusted.
SMALL = """
www A 198.51.100.10
alias CNAME www
*.wild A 198.51.100.11
deep.gap A 198.51.100.12
"""
CHILD = "www A 198.51.100.20\n*.wild A 198.51.100.21\n"

KSK_ZSK = Signing(keys=((ECDSA, True), (ECDSA, False)))
TWO_KSK = ((ECDSA, True), (ECDSA, True))


def _nsec3(iterations: int, salt: str = "", *, opt_out: bool = False) -> Signing:
    options = ["-n", "-t", str(iterations), *(["-s", salt] if salt else []), *(["-p"] if opt_out else [])]
    return Signing(options=options)


def _algorithms() -> list[Zone]:
    """One zone an algorithm, and those that have two."""
    names = {
        "rsasha1": "RSASHA1", "rsasha256": "RSASHA256", "rsasha512": "RSASHA512",
        "ecdsa384": "ECDSAP384SHA384", "ed25519": "ED25519", "ed448": "ED448",
    }  # fmt: skip
    zones = [
        Zone(f"{name}.test.", STANDARD, Signing(keys=((algorithm, True),)), about=f"signed with {algorithm}")
        for name, algorithm in names.items()
    ]
    rsa, ecdsa, ed = ("RSASHA256", True), (ECDSA, True), ("ED25519", True)

    def both(keys: list[Key]) -> list[str]:
        return [key.ds() for key in keys]

    def first(keys: list[Key]) -> list[str]:
        return [keys[0].ds()]

    def second(keys: list[Key]) -> list[str]:
        return [keys[1].ds()]

    all_signatures = ("-U",)
    return [
        *zones,
        Zone("rsasha1nsec3.test.", STANDARD, Signing((("RSASHA1-NSEC3-SHA1", True),), ("-n", "-t", "1")),
             about="algorithm 7, NSEC3"),
        Zone("two.test.", SMALL, Signing((rsa, ecdsa), all_signatures), ds=both, about="two algorithms"),
        Zone("rolldsearly.test.", SMALL, Signing((ecdsa, ed), signing=(0,), published=(0,)), ds=both,
             about="DS of the next algorithm, its key not there yet"),
        Zone("rollkeyearly.test.", SMALL, Signing((ecdsa, ed), signing=(0,)), ds=first,
             about="key of the next algorithm, no signatures of it"),
        Zone("rollsigned.test.", SMALL, Signing((ecdsa, ed), all_signatures), ds=first,
             about="both algorithms sign, DS of the old one"),
        Zone("rolllate.test.", SMALL, Signing((ecdsa, ed), all_signatures), ds=second,
             about="both algorithms sign, DS of the new one"),
        Zone("rollbroken.test.", SMALL, Signing((ecdsa, ed), signing=(1,), published=(1,)), ds=first,
             about="old key withdrawn, DS of it alone"),
        Zone("onlyone.test.", SMALL, Signing((ecdsa, ed), signing=(0,)), ds=both,
             about="two algorithms in DS and DNSKEY, signatures of one"),
        Zone("ed448also.test.", SMALL, Signing((ecdsa, ("ED448", True)), all_signatures), ds=both,
             about="ECDSA and Ed448"),
    ]  # fmt: skip


def _denials() -> list[Zone]:
    """NSEC and NSEC3 in all forms."""
    return [
        Zone("nsec.test.", STANDARD, about="NSEC"),
        Zone("nsec3.test.", STANDARD, NSEC3, about="NSEC3, no iterations"),
        Zone("it10.test.", STANDARD, _nsec3(10), about="NSEC3, 10 iterations"),
        Zone("it150.test.", STANDARD, _nsec3(150), about="NSEC3, 150 iterations"),
        Zone("it151.test.", STANDARD, _nsec3(151), about="NSEC3, 151 iterations"),
        Zone("it2500.test.", SMALL, _nsec3(2500), about="NSEC3, 2500 iterations"),
        Zone("salt.test.", STANDARD, _nsec3(5, "aabbccddeeff"), about="NSEC3, salted"),
        Zone("longsalt.test.", SMALL, _nsec3(1, "5a" * 40), about="NSEC3, long salt"),
        Zone("optout.test.", STANDARD, _nsec3(0, opt_out=True), about="NSEC3, opt-out"),
        Zone("unsigned.nsec.test.", CHILD, None, about="unsigned below NSEC"),
        Zone("signed.nsec.test.", CHILD, about="signed below NSEC"),
        Zone("unsigned.nsec3.test.", CHILD, None, about="unsigned below NSEC3"),
        Zone("signed.nsec3.test.", CHILD, NSEC3, about="signed below NSEC3"),
        Zone("unsigned.optout.test.", CHILD, None, opted_out=True, about="unsigned, opted out"),
        Zone("deep.under.optout.test.", CHILD, None, opted_out=True,
             about="unsigned, opted out, below no name"),
        Zone("signed.optout.test.", CHILD, about="signed below opt-out"),
        Zone("island.optout.test.", CHILD, SECURE, ds=lambda keys: [], opted_out=True,
             about="signed without DS below opt-out"),
        Zone("unsigned.it151.test.", CHILD, None, about="unsigned below 151 iterations"),
        Zone("signed.it151.test.", CHILD, about="signed below 151 iterations"),
        Zone("apexwild.test.", "* A 198.51.100.30\nwww A 198.51.100.31\nsub.www TXT \"x\"\n",
             about="wildcard at the apex"),
        Zone("apexwild3.test.", "* A 198.51.100.30\nwww A 198.51.100.31\nsub.www TXT \"x\"\n", NSEC3,
             about="wildcard at the apex, NSEC3"),
        Zone("bare.test.", about="nothing but its apex"),
        Zone("bare3.test.", signing=NSEC3, about="nothing but its apex, NSEC3"),
    ]  # fmt: skip


def _digests() -> list[Zone]:
    """What the parent says of the keys."""

    def of(*digests: int, wrong: int = 0, **options: int) -> Callable[[list[Key]], list[str]]:
        return lambda keys: [keys[0].ds(digest, wrong=digest == wrong, **options) for digest in digests]

    return [
        Zone("sha1.test.", SMALL, ds=of(1), about="DS SHA-1 alone"),
        Zone("sha384.test.", SMALL, ds=of(4), about="DS SHA-384"),
        Zone("sha1and2.test.", SMALL, ds=of(1, 2), about="DS SHA-1 and SHA-256"),
        Zone("sha1right.test.", SMALL, ds=of(1, 2, wrong=2), about="DS SHA-1 right, SHA-256 wrong"),
        Zone("sha2right.test.", SMALL, ds=of(1, 2, wrong=1), about="DS SHA-1 wrong, SHA-256 right"),
        Zone("sha4right.test.", SMALL, ds=of(2, 4, wrong=2), about="DS SHA-256 wrong, SHA-384 right"),
        Zone("baddigest.test.", SMALL, ds=of(2, wrong=2), about="DS digest wrong"),
        Zone("odddigest.test.", SMALL, ds=of(99), about="DS digest type unknown"),
        Zone("odddigesttoo.test.", SMALL, ds=of(99, 2), about="DS digest type unknown, and a good one"),
        Zone("oddalgorithm.test.", SMALL, ds=of(2, algorithm=200), about="DS algorithm unknown"),
        Zone("oddalgorithmtoo.test.", SMALL, ds=lambda keys: [keys[0].ds(2, algorithm=200), keys[0].ds()],
             about="DS algorithm unknown, and a good one"),
        Zone("standby.test.", SMALL, Signing(TWO_KSK, signing=(0,), published=(0,)),
             ds=lambda keys: [key.ds() for key in keys], about="DS of a standby key that is not published"),
        Zone("standbykey.test.", SMALL, Signing(TWO_KSK, signing=(0,)), about="standby key published"),
        Zone("dszsk.test.", SMALL, Signing(((ECDSA, False),)), ds=of(2),
             about="DS of a key without SEP flag"),
        Zone("split.test.", STANDARD, KSK_ZSK, about="KSK and ZSK"),
        Zone("threekeys.test.", SMALL, Signing(((ECDSA, True), (ECDSA, False), (ECDSA, False))),
             about="KSK and two ZSK"),
        Zone("unsignedds.test.", SMALL, None, ds=of(2), about="DS, zone unsigned"),
        Zone("island.test.", STANDARD, ds=lambda keys: [], about="island of security"),
        Zone("below.island.test.", CHILD, about="signed below an island, with DS"),
        Zone("wrongkey.test.", SMALL, Signing(TWO_KSK, signing=(1,), published=(1,)), ds=of(2),
             about="DS of a key that the zone has not"),
    ]  # fmt: skip


Edit = Callable[[list[str], list[Key], Signer], list[str]]


def _other_www(lines: list[str], zone: str, others: list[str]) -> list[str]:
    """Takes the signature of www A from another signing of the same zone."""
    owner = f"www.{zone}"
    lines = list(lines)
    lines[signature(lines, owner, "A")] = others[signature(others, owner, "A")]
    return lines


def _signed_at(zone: str, valid_s: tuple[int, int]) -> Edit:
    """Only www A is signed for another time."""

    def edit(lines: list[str], keys: list[Key], signer: Signer) -> list[str]:
        text = f"$ORIGIN {zone}\n$TTL 3600\n@ SOA ns ns 1 1 1 1 60\n@ NS ns\nwww A 198.51.100.10\n"
        return _other_www(lines, zone, signer.sign(zone, text, keys, valid_s=valid_s))

    return edit


def _signed_by_stranger(zone: str) -> Edit:
    """Only www A is signed by a key that the zone has not."""

    def edit(lines: list[str], keys: list[Key], signer: Signer) -> list[str]:
        del keys
        text = f"$ORIGIN {zone}\n$TTL 3600\n@ SOA ns ns 1 1 1 1 60\n@ NS ns\nwww A 198.51.100.10\n"
        return _other_www(lines, zone, signer.sign(zone, text, [signer.key(zone)]))

    return edit


def _field(owner: str, covered: str, field: int, value: str) -> Edit:
    return lambda lines, keys, signer: with_field(lines, owner, covered, field, value)


def _drop(rtype: str, owner: str | None = None) -> Edit:
    return lambda lines, keys, signer: without(lines, rtype, owner)


def _drop_signature(owner: str, covered: str) -> Edit:
    def edit(lines: list[str], keys: list[Key], signer: Signer) -> list[str]:
        del keys, signer
        at = signature(lines, owner, covered)
        return lines[:at] + lines[at + 1 :]

    return edit


def _replace(old: str, new: str) -> Edit:
    return lambda lines, keys, signer: [line.replace(old, new) for line in lines]


def _ttl(owner: str, ttl: int) -> Edit:
    """Another TTL than was signed."""

    def edit(lines: list[str], keys: list[Key], signer: Signer) -> list[str]:
        del keys, signer
        made = []
        for line in lines:
            one = Line.of(line)
            made.append(Line(one.owner, str(ttl), one.rtype, one.data).text() if one.owner == owner else line)
        return made

    return edit


def _spoiled(lines: list[str], keys: list[Key], signer: Signer) -> list[str]:
    """Every signature of NSEC is wrong by one bit."""
    del keys, signer
    made = []
    for line in lines:
        one = Line.of(line)
        if one.rtype == "RRSIG" and one.covers() in ("NSEC", "NSEC3"):
            data = bytearray(base64.b64decode("".join(one.data[8:])))
            data[-1] ^= 1
            one.data[8:] = [base64.b64encode(data).decode()]
            line = one.text()
        made.append(line)
    return made


_FORGED = base64.b64encode(bytes(range(64))).decode()


def _broken() -> list[Zone]:
    """Signatures and denials that do not hold, everywhere or at one name."""
    old, future = (-10 * HOUR_S, -5 * HOUR_S), (5 * HOUR_S, 10 * HOUR_S)
    return [
        Zone("expired.test.", SMALL, Signing(valid_s=old), about="all signatures expired"),
        Zone("future.test.", SMALL, Signing(valid_s=future), about="no signature valid yet"),
        Zone("oneexpired.test.", SMALL, edit=_signed_at("oneexpired.test.", old),
             about="www: signature expired"),
        Zone("onefuture.test.", SMALL, edit=_signed_at("onefuture.test.", future),
             about="www: signature not valid yet"),
        Zone("stranger.test.", SMALL, edit=_signed_by_stranger("stranger.test."),
             about="www: signed by a key that is not published"),
        Zone("forged.test.", SMALL, edit=_replace("198.51.100.10", "198.51.100.66"),
             about="www: data changed"),
        Zone("forgedwild.test.", SMALL, edit=_replace("198.51.100.11", "198.51.100.66"),
             about="wildcard: data changed"),
        Zone("forgedsig.test.", SMALL, edit=_field("www.forgedsig.test.", "A", 8, _FORGED),
             about="www: signature made up"),
        Zone("forgedsoa.test.", SMALL, edit=_field("forgedsoa.test.", "SOA", 8, _FORGED),
             about="SOA: signature made up"),
        Zone("signername.test.", SMALL, edit=_field("www.signername.test.", "A", 7, "test."),
             about="www: signer is the parent"),
        Zone("labels.test.", SMALL, edit=_field("www.labels.test.", "A", 2, "2"),
             about="www: signed label count too small"),
        Zone("labelsmore.test.", SMALL, edit=_field("www.labelsmore.test.", "A", 2, "4"),
             about="www: label count too large"),
        Zone("originalttl.test.", SMALL, edit=_field("www.originalttl.test.", "A", 3, "60"),
             about="www: original TTL changed"),
        Zone("higherttl.test.", SMALL, edit=_ttl("www.higherttl.test.", 7200),
             about="www: TTL above the signed one"),
        Zone("keytag.test.", SMALL, edit=_field("www.keytag.test.", "A", 6, "1"),
             about="www: key tag of no key"),
        Zone("nosig.test.", SMALL, edit=_drop_signature("www.nosig.test.", "A"), about="www: not signed"),
        Zone("nosigs.test.", SMALL, edit=_drop("RRSIG"), about="no signatures"),
        Zone("nodnskey.test.", SMALL, edit=_drop("DNSKEY"), about="no DNSKEY"),
        Zone("dnskeynosig.test.", SMALL, edit=_drop_signature("dnskeynosig.test.", "DNSKEY"),
             about="DNSKEY not signed"),
        Zone("nonsec.test.", SMALL, edit=_drop("NSEC"), about="no NSEC"),
        Zone("onensec.test.", SMALL, edit=_drop("NSEC", "deep.gap.onensec.test."), about="one NSEC missing"),
        Zone("nonsec3.test.", SMALL, NSEC3, edit=_drop("NSEC3"), about="no NSEC3"),
        Zone("badnsec.test.", SMALL, edit=_spoiled, about="NSEC signatures wrong"),
        Zone("badnsec3.test.", SMALL, NSEC3, edit=_spoiled, about="NSEC3 signatures wrong"),
        Zone("below.expired.test.", CHILD, about="signed below expired signatures"),
        Zone("below.baddigest.test.", CHILD, None, about="unsigned below a wrong digest"),
    ]  # fmt: skip


def _addresses(name: str, server: int) -> str:
    v4, v6 = Tree.addresses(server)
    return f"{name} A {v4}\n{name} AAAA {v6}"


def _delegations() -> list[Zone]:
    """Ways in which a parent names the servers of a child."""
    return [
        Zone("plain.test.", STANDARD, None, about="unsigned"),
        Zone("signed.plain.test.", CHILD, about="signed with DS below unsigned"),
        Zone("sub.plain.test.", CHILD, None, about="unsigned below unsigned"),
        Zone("low.signed.plain.test.", CHILD, about="signed below signed below unsigned"),
        Zone("mid.nsec.test.", CHILD, None, about="unsigned between signed ones"),
        Zone("low.mid.nsec.test.", CHILD, about="signed below unsigned below signed"),
        Zone("ns.helper.test.", "host1 A 198.51.100.50\n", about="zone below which name servers are"),
        Zone("helper.test.", f"www A 198.51.100.51\n{_addresses('server', 2)}\n{_addresses('lame', LAME)}\nalias CNAME server\nnothing TXT \"x\"",
             about="has name servers of others"),
        Zone("glueless.test.", SMALL, delegation="glueless NS server.helper.test.", apex="@ NS server.helper.test.",
             about="no glue, server in another zone"),
        Zone("gluelessplain.test.", SMALL, None, delegation="gluelessplain NS server.helper.test.",
             apex="@ NS server.helper.test.", about="unsigned, no glue"),
        Zone("halflame.test.", SMALL, delegation="halflame NS lame.helper.test.\nhalflame NS server.helper.test.",
             apex="@ NS server.helper.test.\n@ NS lame.helper.test.", about="one server of two is lame"),
        Zone("lame.test.", SMALL, delegation="lame NS lame.helper.test.", apex="@ NS lame.helper.test.",
             about="its only server is lame"),
        Zone("lamesigned.test.", SMALL, None, delegation="lamesigned NS lame.helper.test.",
             about="lame, no DS"),
        Zone("nsalias.test.", SMALL, None, delegation="nsalias NS alias.helper.test.", apex="@ NS alias.helper.test.",
             about="its server's name is an alias"),
        Zone("nsnothing.test.", SMALL, None, delegation="nsnothing NS nothing.helper.test.",
             apex="@ NS nothing.helper.test.", about="its server has no address"),
        Zone("nsnxdomain.test.", SMALL, None, delegation="nsnxdomain NS absent.helper.test.",
             apex="@ NS absent.helper.test.", about="its server's name does not exist"),
        Zone("nsself.test.", SMALL, None, delegation="nsself NS ns.nsself", apex="@ NS ns.nsself.test.",
             about="its server is below itself, no glue"),
        Zone("otherns.test.", SMALL, delegation=f"otherns NS ns1.otherns\n{_addresses('ns1.otherns', 2)}",
             apex=f"@ NS ns1\n@ NS ns2\n{_addresses('ns1', 2)}\n{_addresses('ns2', SHARED)}", about="child has more servers than the parent says"),
        Zone("shared.test.", SMALL, server=SHARED, about="on one server with its child"),
        Zone("child.shared.test.", CHILD, server=SHARED, about="on one server with its parent"),
        Zone("plainchild.shared.test.", CHILD, None, server=SHARED,
             about="unsigned, on one server with its parent"),
        Zone("one.two.three.deep.test.", CHILD, about="cut three labels below its parent"),
    ]  # fmt: skip


def _long_name() -> str:
    """Relative name that fills 255 octets together with `names.test.`."""
    label = "l" * 63
    rest = 255 - 1 - len("names.test.") - 3 * 64
    return ".".join([label, label, label, "m" * (rest - 1)])


def _chain(length: int) -> str:
    return "\n".join(f"c{index} CNAME c{index + 1}" for index in range(length)) + f"\nc{length} A 198.51.100.60\n"


def _zigzag(own: str, other: str, length: int) -> str:
    return "\n".join(f"{own}{index} CNAME {other}{index + 1}.zig{other}.test." for index in range(length)) + (
        f"\n{own}{length} A 198.51.100.61\n"
    )


ODD = """
t65534 TYPE65534 \\# 4 deadbeef
svc TYPE64 \\# 3 000100
web HTTPS 1 . alpn=h2
caa CAA 0 issue "ca.example"
_443._tcp.web TLSA 3 1 1 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff
loc LOC 52 22 23.000 N 4 53 32.000 E -2.00m 0.00m 10000m 10m
naptr NAPTR 100 10 "u" "E2U+sip" "!^.*$!sip:info@example.test!" .
_sip._udp SRV 1 2 5060 www.nsec.test.
ptr PTR www.nsec.test.
hinfo HINFO "cpu" "os"
ssh SSHFP 4 2 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff
rp RP mail.nsec.test. text.nsec.test.
afs AFSDB 1 www.nsec.test.
kx KX 1 www.nsec.test.
uri URI 10 1 "https://example.test/"
MiXeD A 198.51.100.70
_under_score TXT "x"
"""


def _contents() -> list[Zone]:
    """What zones may contain."""
    big = "\n".join(f'big TXT "{index:03} {"z" * 180}"' for index in range(40))
    many = "\n".join(f"many A 198.51.{index // 250}.{index % 250 + 1}" for index in range(300))
    loops = "self CNAME self\na CNAME b\nb CNAME a\nout CNAME in.loops3.test.\n"
    names = f"{_long_name()} A 198.51.100.71\n{'.'.join('x' * 100)} A 198.51.100.72\n{'y' * 63} A 198.51.100.73\n"
    return [
        Zone("odd.test.", ODD, about="types of all kinds"),
        Zone("odd3.test.", ODD, NSEC3, about="types of all kinds, NSEC3"),
        Zone("big.test.", f"{big}\n{many}\nfew A 198.51.100.1\n", about="answers that need TCP"),
        Zone("bigplain.test.", f"{big}\n{many}\nfew A 198.51.100.1\n", None,
             about="unsigned answers that need TCP"),
        Zone("names.test.", names, about="longest names, most labels"),
        Zone("names3.test.", f"{'.'.join('x' * 100)} A 198.51.100.72\n", NSEC3, about="many labels, NSEC3"),
        Zone("ttl0.test.", SMALL, ttl=0, about="TTL 0"),
        Zone("ttl0plain.test.", SMALL, None, ttl=0, about="unsigned, TTL 0"),
        Zone("loops.test.", loops, about="alias loops"),
        Zone("loops3.test.", "in CNAME out.loops.test.\nself CNAME self\n", NSEC3,
             about="alias loop over two zones"),
        Zone("chain.test.", _chain(9), about="chain of 9 aliases"),
        Zone("longchain.test.", _chain(30), about="chain of 30 aliases"),
        Zone("ziga.test.", _zigzag("a", "b", 8), about="aliases to and fro, signed"),
        Zone("zigb.test.", _zigzag("b", "a", 8), None, about="aliases to and fro, unsigned"),
        Zone("dname.test.", "@ DNAME nsec.test.\n", delegation="dname NS server.helper.test.",
             apex="@ NS server.helper.test.", about="DNAME at the apex"),
        Zone("dnameplain.test.", "@ DNAME nsec.test.\n", None, delegation="dnameplain NS server.helper.test.",
             apex="@ NS server.helper.test.", about="DNAME from unsigned to signed"),
        Zone("dname3.test.", "to DNAME target\nwww.target A 198.51.100.81\n*.star.target A 198.51.100.82\nself DNAME in.self\nlong DNAME "
             f"{'q' * 60}.{'q' * 60}.{'q' * 60}\n", NSEC3, about="DNAME within a zone, into itself, to long names"),
        Zone("dnamebad.test.", SMALL + "moved DNAME nsec.test.\n", edit=_field("moved.dnamebad.test.", "DNAME", 8, _FORGED),
             about="DNAME: signature made up"),
        Zone("cnamebad.test.", SMALL, edit=_field("alias.cnamebad.test.", "CNAME", 8, _FORGED),
             about="CNAME: signature made up"),
    ]  # fmt: skip


def zones() -> list[Zone]:
    """All of them."""
    return [
        Zone("."),
        Zone("test.", 'www A 198.51.100.90\nother.deep TXT "x"\n'),
        *_denials(),
        *_algorithms(),
        *_digests(),
        *_broken(),
        *_delegations(),
        *_contents(),
    ]
