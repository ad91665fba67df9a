"""A mesh that runs a Certificate Transparency log, and its clients' view of it."""

from __future__ import annotations

import base64
import json
import shutil
import time
from pathlib import Path
from typing import Sequence

from . import ct_rfc6962, ct_static, ct_wire
from .appliance import GROUP, USER, Appliance
from .certificates import Authority, to_pem
from .mesh import Mesh
from .process import LabError, wait_until
from .run import Run
from .second_log import SecondLog

PORT = 8054
# Certificates of up to ten years from now belong to it.
SHARD = "lab"


class LogMesh(Mesh):
    """Nodes with one shard, whose key the first `signers` of them have, and the authority that it accepts."""

    def __init__(
        self, run: Run, *, nodes: int = 4, signers: int = 4, authorities: bool = False, **settings: dict
    ) -> None:
        super().__init__(run, nodes=nodes, authorities=authorities, **settings)
        # A name that everybody here can reach without a look-up: that of the first node.
        self.log_id = f"{self.appliances[0].address}:{PORT}"
        self.authority = Authority.make(run.path("authority"))
        roots = run.path("roots.pem")
        roots.write_text(to_pem(self.authority.root))
        self.key_file = run.path("shard.pem")
        year = time.gmtime().tm_year
        window = ["--start", f"{year}-01-01", "--end", f"{year + 11}-01-01"]
        words = ["--json", "ct", "key", str(self.key_file), "--shard", SHARD, *window]
        shard = json.loads(self.appliances[0].nexus(*words))
        del shard["log_id"], shard["key_file"]
        for number, node in enumerate(self.appliances):
            own_key = {}
            if number < signers:
                own_key["key_file"] = str(node.folder / "shard.pem")
                shutil.copy(self.key_file, own_key["key_file"])
                shutil.chown(own_key["key_file"], USER, GROUP)
            shutil.copy(roots, node.folder / "roots.pem")
            node.configure(
                ct={
                    "log_id": self.log_id,
                    "roots": str(node.folder / "roots.pem"),
                    "listen": f"{node.address}:{PORT}",
                    "https": False,
                    "shards": [{**shard, **own_key}],
                }
            )
        self.public_key = base64.b64decode(shard["public_key"])

    @staticmethod
    def forget(node: Appliance) -> int:
        """Takes away all that the log of a node has on disk; how many files that was."""
        folder = node.folder / "ct"
        count = sum(path.is_file() for path in folder.rglob("*"))
        shutil.rmtree(folder)
        return count

    def log_list(self, node: Appliance) -> Path:
        """The log as a list of Chrome's form, from a node."""
        path = self.run.path("log-list.json")
        with self.client.inside():
            path.write_bytes(ct_wire.fetch(f"http://{node.address}:{PORT}/log-list.json")[0])
        return path

    def logged_certificate(
        self, node: Appliance, name: str, *, days: int = 90, others: Sequence[SecondLog] = ()
    ) -> Path:
        """A certificate of the authority with a timestamp in it that a node has given its precertificate, and those of
        other logs; with the root, in PEM."""
        precertificate = self.authority.issue(name, days=days, is_precertificate=True)
        entry = ct_wire.Entry.of_precertificate(precertificate, self.authority.key_hash_input)
        chain = [precertificate, self.authority.root]
        with self.client.inside():
            sct = ct_wire.submit(self.url(node), self.public_key, chain, entry, call="add-pre-chain")
        scts = [sct, *(log.promise(entry) for log in others)]
        certificate = self.authority.finish(precertificate, [one.encode() for one in scts])
        path = self.run.path(f"{name}.pem")
        path.write_text(to_pem(certificate) + to_pem(self.authority.root))
        return path

    def url(self, node: Appliance) -> str:
        """The shard at a node."""
        return f"http://{node.address}:{PORT}/{SHARD}"

    def rfc6962(self, node: Appliance) -> ct_rfc6962.Log:
        """The node as a client sees it that knows RFC 6962."""
        return ct_rfc6962.Log(self.url(node), self.public_key)

    def static(self, node: Appliance) -> ct_static.Log:
        """The node as a client sees it that knows static-ct-api."""
        return ct_static.Log(self.url(node), self.public_key, f"{self.log_id}/{SHARD}")

    def log_status(self, node: Appliance) -> dict:
        """`nexus ct status --json`; empty if the node does not answer."""
        text = node.nexus("--json", "ct", "status", check=False)
        return json.loads(text) if text.strip() else {}

    def published(self, node: Appliance) -> int:
        """Entries that a node has published; -1 if it says nothing."""
        shards = self.log_status(node).get("shards") or [{}]
        size = shards[0].get("published_size")
        return -1 if size is None else size

    def wait_until_log_runs(self, *nodes: Appliance, timeout_s: float = 30.0) -> float:
        """Seconds until these nodes, or all, see nothing wrong with the log."""
        nodes = nodes or tuple(self.appliances)

        def runs() -> bool:
            return all(self.log_status(node).get("problems") == [] for node in nodes)

        try:
            return wait_until(runs, timeout_s, "the log runs")
        except LabError as error:
            seen = {node.host.name: self.log_status(node) for node in nodes}
            tails = "\n".join(node.log_tails() for node in nodes)
            raise LabError(f"{error}: {seen}\n{tails}") from None

    def wait_until_published(self, size: int, *nodes: Appliance, timeout_s: float = 30.0) -> float:
        """Seconds until these nodes, or all, have published so many entries."""
        nodes = nodes or tuple(self.appliances)

        def there() -> bool:
            return all(self.published(node) >= size for node in nodes)

        try:
            return wait_until(there, timeout_s, f"{size} entries are published")
        except LabError as error:
            seen = {node.host.name: self.log_status(node) for node in nodes}
            tails = "\n".join(node.log_tails() for node in nodes)
            raise LabError(f"{error}: {seen}\n{tails}") from None
