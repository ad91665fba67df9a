"""A log that is a key and nothing else, of another operator: browsers ask for timestamps of two."""

from __future__ import annotations

import base64
import hashlib
import time
from dataclasses import dataclass
from pathlib import Path

from .certificates import openssl
from .ct_wire import Entry, Sct, opaque

# Nobody fetches by HTTPS what proves a certificate to be in a log.
URL = "https://second-log.example/"


@dataclass(frozen=True)
class SecondLog:
    """Signs whatever it is given."""

    key: Path

    @classmethod
    def make(cls, key: Path) -> SecondLog:
        """With a new key in this file."""
        openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", str(key))
        return cls(key)

    @property
    def public_key(self) -> bytes:
        """DER SubjectPublicKeyInfo."""
        return openssl("pkey", "-in", str(self.key), "-pubout", "-outform", "DER")

    @property
    def log_id(self) -> bytes:
        """RFC 6962 §3.2."""
        return hashlib.sha256(self.public_key).digest()

    def promise(self, entry: Entry) -> Sct:
        """A timestamp of now."""
        now_ms = int(time.time() * 1000)
        signature = openssl("dgst", "-sha256", "-sign", str(self.key), given=entry.leaf(now_ms, b""))
        return Sct(self.log_id, now_ms, b"", b"\4\3" + opaque(signature, 2))

    def operator(self, like: dict) -> dict:
        """It and its operator as they stand in a list of Chrome's form; `like` is a log of such a list."""
        common = ("mmd", "state", "temporal_interval")
        own = {
            "description": "second log",
            "log_id": base64.b64encode(self.log_id).decode(),
            "key": base64.b64encode(self.public_key).decode(),
            "url": URL,
        }
        logs = [{**own, **{name: like[name] for name in common}}]
        return {"name": "Second Operator", "email": ["ct@second-log.example"], "logs": logs, "tiled_logs": []}
