"""A judge of certificates in nexus-control's place: its admin socket, and verdicts by fingerprint."""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

GOOD_FOR_S = 600


@dataclass
class Judge:
    """Answers `certificate_validate` as nexus-control does. A certificate that is not named is valid.

    To judge in earnest, start nexus-control instead and give nexus-certwatch its `api.socket`.
    """

    socket_path: Path
    # By fingerprint: status, reason, step that failed.
    verdicts: dict[str, tuple[str, str, str]] = field(default_factory=dict)
    # The certificate that must stand behind every leaf, if any must.
    issuer: bytes | None = None
    # Never answers while this is set.
    silent: bool = False
    # The requests, in their order.
    asked: list[dict] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.socket_path))
        self.socket_path.chmod(0o777)
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def refuse(self, der: bytes, step: str, reason: str) -> None:
        """Judges a leaf invalid from now on."""
        self.verdicts[hashlib.sha256(der).hexdigest()] = ("invalid", reason, step)

    def _accept(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rwb") as lines:
            for line in lines:
                request = json.loads(line)
                self.asked.append(request)
                if self.silent:
                    continue
                lines.write(json.dumps(self._reply(request)).encode() + b"\n")
                lines.flush()

    def _reply(self, request: dict) -> dict:
        if request.get("request") != "certificate_validate":
            return {"error": {"code": "bad_request", "message": "no such request"}}
        chain = [base64.b64decode(der) for der in request["chain"]]
        leaf = hashlib.sha256(chain[0]).hexdigest()
        status, reason, step = self.verdicts.get(leaf, ("valid", None, "host"))
        if self.issuer is not None and chain[1:] != [self.issuer]:
            status, reason, step = "invalid", "wrong_issuer: the first certificate's is not there", "path"
        result = "passed" if status == "valid" else "failed"
        steps = [{"step": step, "result": result, "reason": reason, "micros": 1}]
        if step != "path":
            steps.insert(0, {"step": "path", "result": "passed", "reason": None, "micros": 1})
        return {
            "ok": {
                "kind": "certificate_verdict",
                "fingerprint": leaf,
                "status": status,
                "reason": reason,
                "host": request["host"],
                "good_until_unix_secs": int(time.time()) + GOOD_FOR_S,
                "total_micros": 1,
                "steps": steps,
            }
        }
