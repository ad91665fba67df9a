"""A client of a log that knows static-ct-api and nothing else: checkpoints, tiles, issuers and submission.

    python3 -m tests.lab.ct_static URL --key LOG.pem [--origin NAME] [--policy FILE]
        [--authority FOLDER [--count N] [--days N]] [--state FILE]

Reads the whole log from its tiles below URL and checks it against its checkpoint; with `--policy` (tlog-policy) a
quorum must have cosigned that. `--authority` and `--state` are those of ct_rfc6962. Prints one JSON object; status 1 if
the log is at fault.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import secrets
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Iterator

from . import ct_wire
from .certificates import Authority, public_key, verifies
from .ct_wire import Entry, LogFault, Reader, Refused, expect, leaf_hash, node_hash, tree_root

WIDTH = 256
# DER of a SubjectPublicKeyInfo before the 32 bytes of an Ed25519 key (RFC 8410).
ED25519 = bytes.fromhex("302a300506032b6570032100")


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint whose signature by the log has been checked."""

    size: int
    root: bytes
    timestamp_ms: int
    text: str = field(repr=False)
    signatures: dict[str, list[bytes]] = field(repr=False)  # By name: key id and contents.


@dataclass(frozen=True)
class TileLeaf:
    """One entry of a data tile."""

    leaf: bytes
    index: int
    timestamp_ms: int
    entry: Entry
    precertificate: bytes | None
    fingerprints: list[bytes]


class Log:
    """A log at a URL, with its key and the name of its checkpoints."""

    def __init__(self, url: str, key: bytes, origin: str = "") -> None:
        self.url = url.rstrip("/")
        self.key = key
        self.origin = origin or self.url.split("://", 1)[1]

    def get(self, path: str, kind: str, caching: str) -> bytes:
        """A file, and that its headers are those it should have."""
        body, headers = ct_wire.patiently(lambda: ct_wire.fetch(f"{self.url}/{path}"))
        expect(headers.get("content-type", "").startswith(kind), f"{path}: {headers.get('content-type')}")
        expect(caching in headers.get("cache-control", ""), f"{path}: {headers.get('cache-control')}")
        return body

    def checkpoint(self) -> Checkpoint:
        """The newest, with the log's signature checked."""
        return self.read_checkpoint(self.get("checkpoint", "text/plain", "max-age=").decode())

    def read_checkpoint(self, note: str) -> Checkpoint:
        """static-ct-api, "Checkpoints"."""
        text, _, lines = note.rpartition("\n\n")
        text += "\n"
        signatures: dict[str, list[bytes]] = {}
        for line in lines.splitlines():
            dash, name, signature = line.split(" ")
            expect(dash == "—", f"signature line {line!r}")
            signatures.setdefault(name, []).append(base64.b64decode(signature, validate=True))
        body = text.splitlines()
        expect(len(body) == 3, f"checkpoint of {len(body)} lines")
        expect(body[0] == self.origin, f"checkpoint of {body[0]}, not {self.origin}")
        size, root = int(body[1]), base64.b64decode(body[2], validate=True)
        expect(str(size) == body[1] and len(root) == 32, "size or root is malformed")
        log_id = hashlib.sha256(self.key).digest()
        key_id = hashlib.sha256(self.origin.encode() + b"\n\5" + log_id).digest()[:4]
        mine = [one[4:] for one in signatures.get(self.origin, []) if one[:4] == key_id]
        expect(len(mine) == 1, f"{len(mine)} signatures of the log")
        timestamp_ms = int.from_bytes(mine[0][:8], "big")
        message = b"\0\1" + mine[0][:8] + size.to_bytes(8, "big") + root
        ct_wire.check_signed(self.key, message, mine[0][8:], "checkpoint")
        return Checkpoint(size, root, timestamp_ms, text, signatures)

    def tile(self, level: int | str, index: int, width: int) -> bytes:
        """A tile; of a partial one that is gone, the beginning of the full one."""
        path = f"tile/{level}/{tile_number(index)}"
        kind = "application/octet-stream"
        if width == WIDTH:
            return self.get(path, kind, "immutable")
        try:
            return self.get(f"{path}.p/{width}", kind, "immutable")
        except Refused as refused:
            if refused.status != 404:
                raise
            return self.get(path, kind, "immutable")

    def hashes(self, level: int, index: int, width: int) -> list[bytes]:
        """Of a hash tile."""
        tile = self.tile(level, index, width)
        expect(len(tile) >= 32 * width, f"tile {level}/{index} has {len(tile)} bytes")
        return [tile[at : at + 32] for at in range(0, 32 * width, 32)]

    def entries(self, index: int, width: int) -> list[TileLeaf]:
        """Of a data tile."""
        reader = Reader(self.tile("data", index, width))
        entries = [read_tile_leaf(reader) for _ in range(width)]
        for expected, entry in enumerate(entries, WIDTH * index):
            expect(entry.index == expected, f"entry {expected} says it is {entry.index}")
        return entries

    def entry(self, index: int, size: int) -> TileLeaf:
        """One entry of a tree of `size` leaves."""
        tile = index // WIDTH
        return self.entries(tile, min(WIDTH, size - tile * WIDTH))[index % WIDTH]

    def issuer(self, fingerprint: bytes) -> bytes:
        """A certificate by its SHA-256."""
        der = self.get(f"issuer/{fingerprint.hex()}", "application/pkix-cert", "immutable")
        expect(hashlib.sha256(der).digest() == fingerprint, f"issuer {fingerprint.hex()} is another")
        return der

    def subtree(self, start: int, end: int, size: int) -> bytes:
        """Hash of the leaves from `start` to before `end`, from the hash tiles of a tree of `size` leaves; `start` is a
        multiple of the power of two that has room for them."""
        if end - start == 1 or (end - start) & (end - start - 1) == 0:
            height = (end - start).bit_length() - 1
            level, rest = divmod(height, 8)
            first = start >> (8 * level)
            width = min(WIDTH, (size >> (8 * level)) - first // WIDTH * WIDTH)
            row = self.hashes(level, first // WIDTH, width)
            return tree_root(row[first % WIDTH : first % WIDTH + (1 << rest)])
        middle = start + split_of(end - start)
        return node_hash(self.subtree(start, middle, size), self.subtree(middle, end, size))

    def prove_inclusion(self, index: int, size: int) -> list[bytes]:
        """PATH (RFC 6962 §2.1.1), made from tiles."""

        def path(start: int, end: int) -> Iterator[bytes]:
            if end - start == 1:
                return
            middle = start + split_of(end - start)
            if index < middle:
                yield from path(start, middle)
                yield self.subtree(middle, end, size)
            else:
                yield from path(middle, end)
                yield self.subtree(start, middle, size)

        return list(path(0, size))

    def check_inclusion(self, leaf: bytes, index: int, checkpoint: Checkpoint) -> None:
        """That a leaf is in the tree of a checkpoint."""
        path = self.prove_inclusion(index, checkpoint.size)
        ct_wire.check_inclusion(leaf_hash(leaf), index, checkpoint.size, path, checkpoint.root)

    def check_consistency(self, old: Checkpoint, new: Checkpoint) -> None:
        """That both are trees of the same leaves, as far as the older goes: from the tiles of the newer."""
        expect(old.size <= new.size, f"the tree went back from {old.size} to {new.size} leaves")
        for checkpoint in (old, new):
            size = checkpoint.size
            root = self.subtree(0, size, new.size) if size else tree_root([])
            expect(root == checkpoint.root, f"the tiles do not give the root of {size} leaves")

    def audit(self, checkpoint: Checkpoint) -> int:
        """Every entry, hash and issuer of a checkpoint; returns how many issuers there are."""
        row: list[bytes] = []
        issuers: set[bytes] = set()
        for index, width in tiles_of(checkpoint.size):
            entries = self.entries(index, width)
            row += [leaf_hash(entry.leaf) for entry in entries]
            issuers.update(*(entry.fingerprints for entry in entries))
            expect(all(entry.timestamp_ms <= checkpoint.timestamp_ms for entry in entries), "an entry of the future")
        expect(tree_root(row) == checkpoint.root, f"the {checkpoint.size} entries do not give the root")
        for level in range(6):
            for index, width in tiles_of(len(row)):
                found = self.hashes(level, index, width)
                expect(found == row[WIDTH * index : WIDTH * index + width], f"tile {level}/{index} is wrong")
            row = [tree_root(row[at : at + WIDTH]) for at in range(0, len(row) - WIDTH + 1, WIDTH)]
        for fingerprint in issuers:
            self.issuer(fingerprint)
        return len(issuers)


def tile_number(index: int) -> str:
    """Three digits a step, all but the last with an x before them."""
    steps = [f"{index % 1000:03}"]
    while index := index // 1000:
        steps.insert(0, f"x{index % 1000:03}")
    return "/".join(steps)


def tiles_of(count: int) -> Iterator[tuple[int, int]]:
    """Index and width of each tile of a level that has so many hashes."""
    for index in range((count + WIDTH - 1) // WIDTH):
        yield index, min(WIDTH, count - WIDTH * index)


def split_of(count: int) -> int:
    """The largest power of two below a number."""
    return 1 << ((count - 1).bit_length() - 1)


def read_tile_leaf(reader: Reader) -> TileLeaf:
    """static-ct-api, "Log Entries"."""
    timestamp_ms = reader.number(8)
    entry = Entry.read(reader)
    extensions = reader.vector(2)
    precertificate = reader.vector(3) if entry.issuer_key_hash else None
    chain = reader.vector(2)
    fingerprints = [chain[at : at + 32] for at in range(0, len(chain), 32)]
    leaf = entry.leaf(timestamp_ms, extensions)
    return TileLeaf(leaf, leaf_index(extensions), timestamp_ms, entry, precertificate, fingerprints)


def leaf_index(extensions: bytes) -> int:
    """static-ct-api, "SCT Extension"."""
    expect(len(extensions) == 8 and extensions[:3] == b"\0\0\5", f"extensions {extensions.hex()}")
    return int.from_bytes(extensions[3:], "big")


def check_policy(policy: str, checkpoint: Checkpoint) -> list[str]:
    """That a quorum of the policy's witnesses has cosigned (tlog-policy, tlog-cosignature); returns who has."""
    signed: dict[str, bool] = {}
    quorum = None
    for line in policy.splitlines():
        match line.split():
            case ["witness", name, key, *_]:
                signed[name] = has_cosigned(key, checkpoint)
            case ["group", name, threshold, *members]:
                needed = {"any": 1, "all": len(members)}.get(threshold) or int(threshold)
                signed[name] = sum(signed[member] for member in members) >= needed
            case ["quorum", name]:
                quorum = name
    expect(quorum is not None, "policy without quorum")
    expect(quorum == "none" or signed[str(quorum)], f"no quorum: {signed}")
    return [name for name, has in signed.items() if has]


def has_cosigned(vkey: str, checkpoint: Checkpoint) -> bool:
    """Whether the checkpoint has a cosignature by this key. One that does not hold is a fault."""
    name, key_id, key = vkey.split("+", 2)
    public = base64.b64decode(key)
    expect(public[:1] == b"\4" and len(public) == 33, f"{name}: no key of a cosigner")
    digest = hashlib.sha256(name.encode() + b"\n" + public).digest()[:4]
    expect(digest.hex() == key_id, f"{name}: key id {key_id}")
    for signature in checkpoint.signatures.get(name, []):
        if signature[:4] == digest:
            time_s = int.from_bytes(signature[4:12], "big")
            message = f"cosignature/v1\ntime {time_s}\n{checkpoint.text}".encode()
            holds = verifies(ED25519 + public[1:], message, signature[12:], is_ed25519=True)
            expect(holds, f"{name}: the cosignature does not hold")
            return True
    return False


def exercise(log: Log, authority: Authority, *, count: int, days: int, name: str = "static") -> None:
    """Submits certificates and precertificates by turns, and finds each where its timestamp says."""
    before = log.checkpoint()
    for number in range(count):
        is_precertificate = number % 2 == 1
        host = f"{name}-{secrets.token_hex(4)}.example"
        entry, sct, chain = ct_wire.submit_new(
            log.url, log.key, authority, host, days=days, is_precertificate=is_precertificate
        )
        checkpoint = log.checkpoint()
        index = leaf_index(sct.extensions)
        expect(index < checkpoint.size, f"entry {index} is promised, and not in {checkpoint.size} published")
        logged = log.entry(index, checkpoint.size)
        expect(logged.leaf == entry.leaf(sct.timestamp_ms, sct.extensions), f"entry {index} is another")
        expect(logged.precertificate == (chain[0] if is_precertificate else None), "another precertificate")
        expect([log.issuer(one) for one in logged.fingerprints] == [authority.root], "another chain")
        log.check_inclusion(logged.leaf, index, checkpoint)
    log.check_consistency(before, log.checkpoint())
    check_missing(log)


def check_missing(log: Log) -> None:
    """Paths of nothing are not found."""
    for path in (
        "tile/6/000", "tile/0/0", "tile/0/000.p/0", "tile/0/000.p/256", "tile/0/x000/000", "tile/0/x999/x999/999",
        "tile/data/x999/999", "tile/entries/000", f"issuer/{'0' * 64}", "issuer/none", "nothing",
    ):  # fmt: skip
        try:
            ct_wire.fetch(f"{log.url}/{path}")
        except Refused as refused:
            expect(refused.status == 404, f"{path}: {refused}, not 404")
        else:
            raise LogFault(f"{path}: is there")


def remember(state: Path, log: Log, checkpoint: Checkpoint) -> None:
    """That the checkpoint continues the one in a file, which it then replaces."""
    if state.exists():
        old = json.loads(state.read_text())
        known = Checkpoint(old["size"], bytes.fromhex(old["root"]), old["timestamp_ms"], "", {})
        log.check_consistency(known, checkpoint)
    kept = {"size": checkpoint.size, "timestamp_ms": checkpoint.timestamp_ms, "root": checkpoint.root.hex()}
    state.write_text(json.dumps(kept))


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", help="before checkpoint and tile/")
    parser.add_argument("--key", type=Path, required=True, help="public key of the log, PEM or DER")
    parser.add_argument("--origin", default="", help="first line of checkpoints; default: the URL without its scheme")
    parser.add_argument("--policy", type=Path, help="whose cosignatures there must be")
    parser.add_argument("--authority", type=Path, help="submit certificates of the authority in this folder")
    parser.add_argument("--count", type=int, default=4, help="certificates to submit")
    parser.add_argument("--days", type=int, default=90, help="until they end")
    parser.add_argument("--state", type=Path, help="remembers the checkpoint")
    options = parser.parse_args()
    log = Log(options.url, public_key(options.key), options.origin)
    try:
        if options.authority:
            exercise(log, Authority.make(options.authority), count=options.count, days=options.days)
        checkpoint = log.checkpoint()
        issuers = log.audit(checkpoint)
        cosigners = check_policy(options.policy.read_text(), checkpoint) if options.policy else []
        if options.state:
            remember(options.state, log, checkpoint)
    except ct_wire.FAULTS as fault:
        print(json.dumps({"fault": f"{type(fault).__name__}: {fault}"}))
        return 1
    found = {"size": checkpoint.size, "root": checkpoint.root.hex(), "issuers": issuers, "cosigners": cosigners}
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
