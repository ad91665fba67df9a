"""A client of a log that knows RFC 6962 and nothing else: submits, reads, and believes nothing without a proof.

    python3 -m tests.lab.ct_rfc6962 URL --key LOG.pem [--authority FOLDER [--count N] [--days N]] [--state FILE]

Reads the whole log before `ct/v1/` of URL and checks it against its head; with `--authority` (a folder that
`python3 -m tests.lab.certificates` fills, whose root the log accepts) submits certificates and precertificates first. With `--state`
the head must continue the one that the file remembers. Prints one JSON object; status 1 if the log is at fault.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import secrets
import sys
import time
import urllib.parse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import ct_wire
from .certificates import Authority, public_key, tbs_without, SCT_LIST
from .ct_wire import Entry, LogFault, Reader, Refused, Sct, expect, leaf_hash


@dataclass(frozen=True)
class Head:
    """A signed tree head (RFC 6962 §3.5)."""

    size: int
    timestamp_ms: int
    root: bytes


@dataclass(frozen=True)
class Logged:
    """What get-entries says of one entry."""

    leaf: bytes
    timestamp_ms: int
    entry: Entry
    chain: list[bytes]
    precertificate: bytes | None


class Log:
    """A log at a URL, with its key."""

    def __init__(self, url: str, key: bytes) -> None:
        self.url = url.rstrip("/")
        self.key = key

    def get(self, call: str, **parameters: object) -> Any:
        """A reply in JSON."""
        query = urllib.parse.urlencode(parameters)
        text, headers = ct_wire.patiently(lambda: ct_wire.fetch(f"{self.url}/ct/v1/{call}?{query}".rstrip("?")))
        expect(headers.get("content-type", "").startswith("application/json"), f"{call}: not JSON")
        return json.loads(text)

    def head(self) -> Head:
        """get-sth, with its signature checked."""
        reply = self.get("get-sth")
        expected = {"tree_size", "timestamp", "sha256_root_hash", "tree_head_signature"}
        expect(set(reply) == expected, f"get-sth: fields {set(reply)}")
        head = Head(reply["tree_size"], reply["timestamp"], base64.b64decode(reply["sha256_root_hash"]))
        message = b"\0\1" + head.timestamp_ms.to_bytes(8, "big") + head.size.to_bytes(8, "big") + head.root
        ct_wire.check_signed(self.key, message, base64.b64decode(reply["tree_head_signature"]), "get-sth")
        return head

    def check_consistency(self, old: Head, new: Head) -> None:
        """get-sth-consistency."""
        path: list[bytes] = []
        if 0 < old.size < new.size:
            reply = self.get("get-sth-consistency", first=old.size, second=new.size)
            path = [base64.b64decode(node) for node in reply["consistency"]]
        ct_wire.check_consistency(old.size, new.size, old.root, new.root, path)

    def check_inclusion(self, leaf: bytes, head: Head) -> int:
        """get-proof-by-hash and get-entry-and-proof; the entry's place."""
        size = head.size
        hashed = leaf_hash(leaf)
        reply = self.get("get-proof-by-hash", hash=base64.b64encode(hashed).decode(), tree_size=size)
        index, path = reply["leaf_index"], [base64.b64decode(node) for node in reply["audit_path"]]
        ct_wire.check_inclusion(hashed, index, size, path, head.root)
        other = self.get("get-entry-and-proof", leaf_index=index, tree_size=size)
        expect(base64.b64decode(other["leaf_input"]) == leaf, "get-entry-and-proof: another entry")
        expect(other["audit_path"] == reply["audit_path"], "get-entry-and-proof: another proof")
        return int(index)

    def entries(self, start: int, end: int) -> list[Logged]:
        """get-entries from `start` to before `end`, however many calls that takes."""
        entries: list[Logged] = []
        while start + len(entries) < end:
            some = self.get("get-entries", start=start + len(entries), end=end - 1)["entries"]
            expect(0 < len(some) <= end - start - len(entries), f"get-entries: {len(some)} entries")
            entries += [read_entry(one) for one in some]
        return entries

    def roots(self) -> list[bytes]:
        """get-roots."""
        return [base64.b64decode(der) for der in self.get("get-roots")["certificates"]]

    def wait_for_size(self, size: int, patience_s: float = 30.0) -> Head:
        """A head of at least this size."""
        deadline = time.monotonic() + patience_s
        while (head := self.head()).size < size:
            expect(time.monotonic() < deadline, f"no head of {size} leaves within {patience_s:g} s")
            time.sleep(0.05)
        return head

    def audit(self, head: Head) -> list[Logged]:
        """Every entry of a head, which must give its root."""
        entries = self.entries(0, head.size)
        root = ct_wire.tree_root([leaf_hash(one.leaf) for one in entries])
        expect(root == head.root, f"the {head.size} entries do not give the root")
        times = [one.timestamp_ms for one in entries]
        expect(not times or max(times) <= head.timestamp_ms, "an entry is younger than the head")
        return entries


def read_entry(reply: dict[str, str]) -> Logged:
    """RFC 6962 §3.4 and §4.6."""
    leaf = base64.b64decode(reply["leaf_input"])
    reader = Reader(leaf)
    expect(reader.take(2) == b"\0\0", "leaf of another version or type")
    timestamp_ms = reader.number(8)
    entry = Entry.read(reader)
    reader.vector(2)
    expect(reader.is_empty, "something follows the leaf")
    extra = Reader(base64.b64decode(reply["extra_data"]))
    precertificate = extra.vector(3) if entry.issuer_key_hash else None
    certificates = Reader(extra.vector(3))
    expect(extra.is_empty, "something follows the chain")
    chain = []
    while not certificates.is_empty:
        chain.append(certificates.vector(3))
    return Logged(leaf, timestamp_ms, entry, chain, precertificate)


def exercise(log: Log, authority: Authority, *, count: int, days: int, name: str = "example") -> list[Sct]:
    """Submits certificates and precertificates by turns, proves each in the log, and tries what must be refused."""
    expect(authority.root in log.roots(), "get-roots: our root is not there")
    before = log.head()
    scts = []
    for number in range(count):
        is_precertificate = number % 2 == 1
        host = f"{name}-{secrets.token_hex(4)}.example"
        entry, sct, chain = ct_wire.submit_new(
            log.url, log.key, authority, host, days=days, is_precertificate=is_precertificate
        )
        scts.append(sct)
        leaf = entry.leaf(sct.timestamp_ms, sct.extensions)
        # The log publishes before it promises: the entry is there at once.
        head = log.head()
        index = log.check_inclusion(leaf, head)
        [logged] = log.entries(index, index + 1)
        expect(logged.leaf == leaf, "get-entries: another leaf")
        expect(logged.chain == [authority.root], "get-entries: another chain")
        if is_precertificate:
            expect(logged.precertificate == chain[0], "get-entries: another precertificate")
            final = authority.finish(chain[0], [sct.encode()])
            embedded = Entry(tbs_without(final, SCT_LIST), entry.issuer_key_hash)
            expect(embedded == entry, "the final certificate is not that of the timestamp")
    check_refusals(log, authority, days)
    log.check_consistency(before, log.head())
    return scts


def check_refusals(log: Log, authority: Authority, days: int) -> None:
    """What a log must not take, and what it must not find."""

    def body(*chain: bytes) -> bytes:
        return json.dumps({"chain": [base64.b64encode(der).decode() for der in chain]}).encode()

    stranger = Authority.make(authority.folder / "stranger", "Stranger")
    certificate = authority.issue("refused.example", days=days)
    damaged = certificate[:-1] + bytes((certificate[-1] ^ 1,))
    for call, wrong in [
        ("add-chain", body(stranger.issue("stranger.example", days=days), stranger.root)),
        ("add-chain", body(damaged, authority.root)),
        ("add-chain", body(authority.issue("pre.example", days=days, is_precertificate=True), authority.root)),
        ("add-pre-chain", body(certificate, authority.root)),
        ("add-chain", body()),
        ("add-chain", b"{}"),
        ("add-chain", b'{"chain": ["AA"]}'),
        ("add-chain", b"no JSON"),
    ]:
        ct_wire.expect_refused(log.url, call, wrong)
    size = log.head().size
    unknown = base64.b64encode(hashlib.sha256(b"unknown").digest()).decode()
    for status, call, parameters in [
        (404, "get-proof-by-hash", {"hash": unknown, "tree_size": size}),
        (400, "get-proof-by-hash", {"hash": "AAAA", "tree_size": size}),
        (400, "get-sth-consistency", {"first": 2, "second": 1}),
        (400, "get-sth-consistency", {"first": 0, "second": size + 1_000_000}),
        (400, "get-entries", {"start": 1, "end": 0}),
        (400, "get-entries", {"start": size + 1_000_000, "end": size + 1_000_001}),
        (400, "get-entries", {"start": "one"}),
        (400, "get-entry-and-proof", {"leaf_index": size, "tree_size": size}),
    ]:
        try:
            log.get(call, **parameters)
        except Refused as refused:
            expect(refused.status == status, f"{call}: {refused}, not {status}")
        else:
            raise LogFault(f"{call} {parameters}: answered, but must be refused")


def remember(state: Path, log: Log, head: Head) -> None:
    """That the head continues the one in a file, which it then replaces."""
    if state.exists():
        old = json.loads(state.read_text())
        log.check_consistency(Head(old["size"], old["timestamp_ms"], bytes.fromhex(old["root"])), head)
    state.write_text(json.dumps({"size": head.size, "timestamp_ms": head.timestamp_ms, "root": head.root.hex()}))


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", help="before ct/v1/")
    parser.add_argument("--key", type=Path, required=True, help="public key of the log, PEM or DER")
    parser.add_argument("--authority", type=Path, help="submit certificates of the authority in this folder")
    parser.add_argument("--count", type=int, default=4, help="certificates to submit")
    parser.add_argument("--days", type=int, default=90, help="until they end")
    parser.add_argument("--state", type=Path, help="remembers the head")
    options = parser.parse_args()
    log = Log(options.url, public_key(options.key))
    try:
        submitted = []
        if options.authority:
            authority = Authority.make(options.authority)
            submitted = exercise(log, authority, count=options.count, days=options.days)
        head = log.head()
        log.audit(head)
        if options.state:
            remember(options.state, log, head)
    except ct_wire.FAULTS as fault:
        print(json.dumps({"fault": f"{type(fault).__name__}: {fault}"}))
        return 1
    print(json.dumps({"size": head.size, "root": head.root.hex(), "submitted": len(submitted)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
