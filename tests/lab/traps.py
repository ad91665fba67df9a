"""Zones that are made to cost a validator much: many keys of one tag, many signatures, deep NSEC3."""

from __future__ import annotations

import base64
import random
import struct
import time

from .signing import HOUR_S, Key, Signer, key_tag, signature, with_field, without

RSA_SHA256 = 8
# Of moduli: the shortest that validators take, and the usual.
SHORT_BYTES, USUAL_BYTES = 128, 256


def colliding_keys(count: int, chance: random.Random, modulus_bytes: int = USUAL_BYTES) -> tuple[list[bytes], int]:
    """RDATA of RSA keys that nobody has the other half of, and the key tag that all of them have.

    The tag is a sum (RFC 4034 appendix B): one word of each modulus makes up for the others.
    """
    tag = 0x4B54
    keys: list[bytes] = []
    word_at = 8 + modulus_bytes // 2
    while len(keys) < count:
        modulus = bytearray(chance.randbytes(modulus_bytes))
        modulus[0] |= 0x80
        modulus[-1] |= 1
        key = bytearray(struct.pack("!HBB", 256, 3, RSA_SHA256) + b"\3\1\0\1" + modulus)
        for word in range(0x10000):
            key[word_at : word_at + 2] = word.to_bytes(2, "big")
            if word == 0:
                start = key_tag(bytes(key))
                continue
            # The sum grows by one a word, and by a carry once in a while.
            if (start + word) & 0xFFFF in (tag, (tag - 1) & 0xFFFF) and key_tag(bytes(key)) == tag:
                keys.append(bytes(key))
                break
    return keys, tag


def ds_lines(zone: str, keys: list[bytes]) -> list[str]:
    """A DS for each of those keys."""
    texts = (base64.b64encode(key[4:]).decode() for key in keys)
    return [Key(zone, "", f"{zone} IN DNSKEY 256 3 {RSA_SHA256} {text}").ds() for text in texts]


def dnskey_lines(zone: str, keys: list[bytes]) -> str:
    """Those keys in zone file form."""
    return "\n".join(f"{zone} DNSKEY 256 3 {RSA_SHA256} {base64.b64encode(key[4:]).decode()}" for key in keys)


def rrsig_lines(
    owner: str, covered: str, zone: str, tag: int, count: int, ttl: int, chance: random.Random,
    modulus_bytes: int = USUAL_BYTES,
) -> list[str]:  # fmt: skip
    """Signatures that look right until they are checked, all by keys of one tag."""
    labels = len([label for label in owner.split(".") if label])
    now = time.time()
    until, since = (time.strftime("%Y%m%d%H%M%S", time.gmtime(now + s)) for s in (24 * HOUR_S, -HOUR_S))
    lines = []
    for _ in range(count):
        forged = bytes([0]) + chance.randbytes(modulus_bytes - 1)
        text = base64.b64encode(forged).decode()
        fixed = f"{covered} {RSA_SHA256} {labels} {ttl} {until} {since} {tag} {zone}"
        lines.append(f"{owner} {ttl} IN RRSIG {fixed} {text}")
    return lines


def trap_names(owners: list[str], zone: str, tag: int, count: int, ttl: int, chance: random.Random):
    """Edits a signed zone: the A records of these names are signed by forgeries alone."""

    def edit(lines: list[str], keys: list[Key], signer: Signer) -> list[str]:
        del keys, signer
        for owner in owners:
            kept = [line for line in lines if line.split()[0] == owner and line.split()[3] == "A"]
            lines = without(lines, "A", owner) + kept + rrsig_lines(owner, "A", zone, tag, count, ttl, chance)
        return lines

    return edit


def trap_keys(zone: str, tag: int, count: int, ttl: int, chance: random.Random):
    """Edits a signed zone: its DNSKEY RRset is signed by forgeries alone, with short keys."""

    def edit(lines: list[str], keys: list[Key], signer: Signer) -> list[str]:
        del keys, signer
        kept = [line for line in lines if line.split()[3:5] != ["RRSIG", "DNSKEY"]]
        return kept + rrsig_lines(zone, "DNSKEY", zone, tag, count, ttl, chance, SHORT_BYTES)

    return edit


def spoil_apex_denial(lines: list[str], keys: list[Key], signer: Signer) -> list[str]:
    """Edits a zone with NSEC3: the one of the apex is not signed rightly, so that no closest encloser
    is proven for any name."""
    del keys, signer
    apex = next(line.split()[0] for line in lines if line.split()[3] == "NSEC3" and " SOA " in f"{line} ")
    at = signature(lines, apex, "NSEC3")
    text = lines[at].split()[-1]
    return with_field(lines, apex, "NSEC3", 8, base64.b64encode(base64.b64decode(text)[::-1]).decode())
