"""Certificates that the domain of their host vouches for: control looks TLSA records up, and believes what DNSSEC secures."""

from __future__ import annotations

import hashlib
import json

from ..appliance import Appliance
from ..certificates import Authority, to_pem
from ..hosts import End, Host
from ..run import Run
from ..runner import case, expect
from ..tree import Tree, Zone
from ..world import INTERFACE, World

SERVERS = 3
TARGET = "edge.provider.test"


def _tlsa(host: str, usage: int, certificate: bytes) -> str:
    """A record for port 443 that allows this certificate, by its SHA-256."""
    return f"_443._tcp.{host} TLSA {usage} 0 1 {hashlib.sha256(certificate).hexdigest()}\n"


def _start(run: Run, zones: list[Zone]) -> Appliance:
    """A control that validates the answers of these zones, and trusts an authority that has issued nothing."""
    world = World(run, authorities=False)
    authorities = Host(run, "authorities")
    world.switch.plug(End(authorities, INTERFACE, "02:00:00:00:02:01"))
    tree = Tree([Zone("."), Zone("test."), *zones], SERVERS)
    tree.write(run.path("zones"))
    tree.serve(authorities, INTERFACE)
    node = world.node
    (node.folder / "root.hints").write_text(tree.hints())
    node.trust(tree.anchor)
    trusted = Authority.make(run.path("trusted"), "Trusted Root")
    node.configure(ct={"trust_anchors": str(trusted.folder / "root.pem")})
    node.start_control()
    node.wait_until_serving()
    return node


@case
def records_where_secure_aliases_lead_count_before_those_of_the_host(run: Run) -> str:
    """RFC 7671 §7: of a certificate that nobody trusts, for another name, from a real tree of zones."""
    authority = Authority.make(run.path("authority"))
    right, wrong = (authority.issue(name) for name in (TARGET, "wrong.example"))
    shop = (
        # Nobody's alias.
        "own A 192.0.2.1\n" + _tlsa("own", 3, right)
        # The one at the target counts, whatever is at the host.
        + f"www CNAME {TARGET}.\n" + _tlsa("www", 3, wrong)
        + "replaced CNAME replaced.provider.test.\n" + _tlsa("replaced", 3, right)
        # Nothing is there, or nothing that is secure.
        + "bare CNAME bare.provider.test.\n" + _tlsa("bare", 3, right)
        + "insecure CNAME edge.plain.test.\n" + _tlsa("insecure", 3, right)
        # The target's authority, and its name.
        + "named CNAME named.provider.test.\n"
    )  # fmt: skip
    provider = "".join(f"{name} A 192.0.2.2\n" for name in ("edge", "replaced", "bare", "named"))
    provider += _tlsa("edge", 3, right) + _tlsa("replaced", 3, wrong) + _tlsa("named", 2, authority.root)
    plain = Zone("plain.test.", "edge A 192.0.2.3\n" + _tlsa("edge", 3, wrong), signing=None)
    node = _start(run, [Zone("shop.test.", shop), Zone("provider.test.", provider), plain])
    named = authority.issue("named.provider.test")
    results = {}
    for host, certificate in (
        *((host, right) for host in ("own", "www", "bare", "insecure", "replaced")),
        ("named", named),
    ):
        file = run.path(f"{host}.pem")
        file.write_text(to_pem(certificate) + to_pem(authority.root))
        words = ["ct", "validate", str(file), "--host", f"{host}.shop.test", "--port", "443"]
        verdict = json.loads(node.nexus("--json", *words, check=False))
        dane = next(step for step in verdict["steps"] if step["step"] == "dane")
        results[host] = (verdict["status"], dane["result"], dane["reason"])
    valid = ("valid", "passed", None)
    expected = dict.fromkeys(("own", "www", "bare", "insecure", "named"), valid)
    expected["replaced"] = ("invalid", "failed", "tlsa_mismatch")
    expect(results == expected, f"{results}")
    return f"{len(results)} hosts, five of them aliases"
