"""What clients of any Certificate Transparency log need: trees (RFC 6962 §2.1), leaves and timestamps (§3), and HTTP.

Written from the texts; shares no code with the log.
"""

from __future__ import annotations

import base64
import hashlib
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from typing import Any, Callable, Sequence

from .certificates import POISON, Authority, tbs_without, verifies

TIMEOUT_S = 20.0
RETRY_S = 30.0


class LogFault(Exception):
    """The log did what no log may do; the text says what."""


class Refused(Exception):
    """A status other than 200."""

    def __init__(self, status: int, text: str, retry_after_s: float | None) -> None:
        super().__init__(f"status {status}: {text.strip()[:300]}")
        self.status = status
        self.text = text
        self.retry_after_s = retry_after_s


# What a client ends with that meets a log at fault: replies that are malformed, too, or none.
FAULTS = (LogFault, Refused, ValueError, LookupError, TypeError, OSError)


def fetch(url: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> tuple[bytes, dict[str, str]]:
    """Body and headers of a reply, their names in lower case."""
    request = urllib.request.Request(url, data=body, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as reply:
            return reply.read(), {name.lower(): value for name, value in reply.headers.items()}
    except urllib.error.HTTPError as error:
        after = error.headers.get("Retry-After")
        raise Refused(error.code, error.read().decode(errors="replace"), float(after) if after else None) from None


def patiently(call: Callable[[], Any], patience_s: float = RETRY_S) -> Any:
    """The call's result, which is tried again as long as the log is busy or cannot be reached."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            return call()
        except Refused as refused:
            if refused.status not in (429, 503) or time.monotonic() > deadline:
                raise
            if refused.status == 503 and refused.retry_after_s is None:
                raise LogFault("status 503 without Retry-After") from None
            time.sleep(refused.retry_after_s or 0.1)
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def expect(condition: object, what: str) -> None:
    """LogFault unless the condition holds."""
    if not condition:
        raise LogFault(what)


# Trees.


def leaf_hash(leaf: bytes) -> bytes:
    """Of a MerkleTreeLeaf."""
    return hashlib.sha256(b"\0" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Of two subtrees."""
    return hashlib.sha256(b"\1" + left + right).digest()


def tree_root(leaves: Sequence[bytes]) -> bytes:
    """MTH, of leaf hashes."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    row = list(leaves)
    # Pairs from the left, an odd last one goes up as it is: the same tree as by the largest power of two.
    while len(row) > 1:
        paired = [node_hash(row[at], row[at + 1]) for at in range(0, len(row) - 1, 2)]
        row = paired + row[len(row) & ~1 :]
    return row[0]


def check_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> None:
    """RFC 9162 §2.1.3.2; `leaf` is the leaf's hash."""
    expect(index < size, f"leaf {index} is not in a tree of {size}")
    first, last, computed = index, size - 1, leaf
    for sibling in path:
        expect(last > 0, "inclusion proof is too long")
        if first & 1 or first == last:
            computed = node_hash(sibling, computed)
            while first and not first & 1:
                first, last = first >> 1, last >> 1
        else:
            computed = node_hash(computed, sibling)
        first, last = first >> 1, last >> 1
    expect(last == 0, "inclusion proof is too short")
    expect(computed == root, f"leaf {index} is not in the tree of {size} leaves")


def check_consistency(old: int, new: int, old_root: bytes, new_root: bytes, path: Sequence[bytes]) -> None:
    """RFC 9162 §2.1.4.2."""
    expect(old <= new, f"the tree went back from {old} to {new} leaves")
    if old in (0, new):
        expect(not path, "a proof where none is needed")
        expect(old == 0 or old_root == new_root, f"two roots of {new} leaves")
        return
    rest = ([old_root] if old & (old - 1) == 0 else []) + list(path)
    expect(rest, "consistency proof is empty")
    first, last = old - 1, new - 1
    while first & 1:
        first, last = first >> 1, last >> 1
    of_old = of_new = rest[0]
    for sibling in rest[1:]:
        expect(last > 0, "consistency proof is too long")
        if first & 1 or first == last:
            of_old, of_new = node_hash(sibling, of_old), node_hash(sibling, of_new)
            while first and not first & 1:
                first, last = first >> 1, last >> 1
        else:
            of_new = node_hash(of_new, sibling)
        first, last = first >> 1, last >> 1
    expect(last == 0, "consistency proof is too short")
    expect(of_old == old_root, f"the tree of {new} leaves does not begin with that of {old}")
    expect(of_new == new_root, f"the consistency proof is not of the tree of {new} leaves")


# Leaves, timestamps, heads.


class Reader:
    """Bytes that are taken from the front."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, count: int) -> bytes:
        """So many bytes."""
        taken = self.data[self.at : self.at + count]
        expect(len(taken) == count, "cut short")
        self.at += count
        return taken

    def number(self, count: int) -> int:
        """A number of so many bytes."""
        return int.from_bytes(self.take(count), "big")

    def vector(self, count: int) -> bytes:
        """Bytes behind their length, which takes `count` bytes."""
        return self.take(self.number(count))

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left."""
        return self.at == len(self.data)


def opaque(data: bytes, count: int) -> bytes:
    """Bytes behind their length."""
    return len(data).to_bytes(count, "big") + data


@dataclass(frozen=True)
class Entry:
    """What a log signs of a certificate: signed_entry (RFC 6962 §3.2)."""

    certificate: bytes  # Of a precertificate, the TBSCertificate.
    issuer_key_hash: bytes | None = None  # None: a final certificate.

    def encode(self) -> bytes:
        """Type and contents."""
        if self.issuer_key_hash is None:
            return b"\0\0" + opaque(self.certificate, 3)
        return b"\0\1" + self.issuer_key_hash + opaque(self.certificate, 3)

    @classmethod
    def read(cls, reader: Reader) -> Entry:
        """What `encode` writes."""
        kind = reader.number(2)
        expect(kind in (0, 1), f"entry of type {kind}")
        issuer = reader.take(32) if kind else None
        return cls(reader.vector(3), issuer)

    @classmethod
    def of_precertificate(cls, precertificate: bytes, issuer_spki: bytes) -> Entry:
        """Without the poison."""
        return cls(tbs_without(precertificate, POISON), hashlib.sha256(issuer_spki).digest())

    def leaf(self, timestamp_ms: int, extensions: bytes) -> bytes:
        """MerkleTreeLeaf (RFC 6962 §3.4); what a timestamp signs has the same bytes."""
        return b"\0\0" + timestamp_ms.to_bytes(8, "big") + self.encode() + opaque(extensions, 2)


@dataclass(frozen=True)
class Sct:
    """A timestamp (RFC 6962 §3.2)."""

    log_id: bytes
    timestamp_ms: int
    extensions: bytes
    signature: bytes  # digitally-signed: algorithms, length, contents.

    def encode(self) -> bytes:
        """As it is embedded."""
        head = b"\0" + self.log_id + self.timestamp_ms.to_bytes(8, "big")
        return head + opaque(self.extensions, 2) + self.signature


def check_signed(key: bytes, message: bytes, signed: bytes, what: str) -> None:
    """That `digitally-signed` is of this message, by a key on P-256."""
    reader = Reader(signed)
    expect(reader.take(2) == b"\4\3", f"{what}: not ECDSA with SHA-256")
    signature = reader.vector(2)
    expect(reader.is_empty, f"{what}: something follows the signature")
    expect(verifies(key, message, signature), f"{what}: the signature does not hold")


def submit(url: str, key: bytes, chain: Sequence[bytes], entry: Entry, *, call: str = "add-chain") -> Sct:
    """Submits a chain and checks the timestamp (RFC 6962 §4.1). `url` is the submission prefix."""
    body = json.dumps({"chain": [base64.b64encode(der).decode() for der in chain]}).encode()
    headers = {"Content-Type": "application/json"}
    text, kind = patiently(lambda: fetch(f"{url.rstrip('/')}/ct/v1/{call}", body, headers))
    expect(kind.get("content-type", "").startswith("application/json"), f"{call}: not JSON")
    reply = json.loads(text)
    expect(set(reply) == {"sct_version", "id", "timestamp", "extensions", "signature"}, f"{call}: fields {set(reply)}")
    expect(reply["sct_version"] == 0, f"{call}: version {reply['sct_version']}")
    fields = {name: base64.b64decode(reply[name]) for name in ("id", "extensions", "signature")}
    sct = Sct(fields["id"], reply["timestamp"], fields["extensions"], fields["signature"])
    expect(sct.log_id == hashlib.sha256(key).digest(), f"{call}: timestamp of another log")
    now_ms = time.time() * 1000
    expect(abs(now_ms - sct.timestamp_ms) < 86_400_000, f"{call}: time {sct.timestamp_ms} is not of today")
    check_signed(key, entry.leaf(sct.timestamp_ms, sct.extensions), sct.signature, call)
    return sct


def submit_new(
    url: str, key: bytes, authority: Authority, name: str, *, days: int, is_precertificate: bool
) -> tuple[Entry, Sct, list[bytes]]:
    """Issues a certificate, submits it twice, and expects the same timestamp. Gives the chain, too."""
    certificate = authority.issue(name, days=days, is_precertificate=is_precertificate)
    chain = [certificate, authority.root]
    if is_precertificate:
        entry, call = Entry.of_precertificate(certificate, authority.key_hash_input), "add-pre-chain"
    else:
        entry, call = Entry(certificate), "add-chain"
    sct = submit(url, key, chain, entry, call=call)
    # Without the root, which a client may leave out.
    again = submit(url, key, chain[:1], entry, call=call)
    expect(again == sct, f"{call}: another timestamp for the same submission")
    return entry, sct, chain


def expect_refused(url: str, call: str, body: bytes, status: int = 400) -> str:
    """That a submission is refused as a wrong one, with a reason in JSON."""
    try:
        fetch(f"{url.rstrip('/')}/ct/v1/{call}", body)
    except Refused as refused:
        expect(refused.status == status, f"{call}: {refused}, not {status}")
        reply = json.loads(refused.text)
        expect(reply.get("success") is False and reply.get("error_message"), f"{call}: no reason in {refused.text}")
        return str(reply["error_message"])
    raise LogFault(f"{call}: taken, but must be refused")
