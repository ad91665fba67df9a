"""Certificates by openssl: an authority in a folder, what it issues, and precertificates with their final form.

`python3 -m tests.lab.certificates FOLDER` makes the authority, with its root in `FOLDER/root.pem`.
"""

from __future__ import annotations

import base64
import secrets
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from .process import LabError

SEQUENCE, BIT_STRING, OCTET_STRING, EXTENSIONS = 0x30, 0x03, 0x04, 0xA3
# RFC 6962 §3.1, §3.3: object identifiers in DER.
POISON = bytes.fromhex("060a2b06010401d679020403")
SCT_LIST = bytes.fromhex("060a2b06010401d679020402")
CONFIGURATION = """[req]
distinguished_name = name
prompt = no
[name]
CN = unused
[root]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
"""


def openssl(*arguments: str, given: bytes = b"") -> bytes:
    """What openssl prints; LabError if it fails."""
    result = subprocess.run(["openssl", *arguments], input=given, capture_output=True, timeout=30, check=False)
    if result.returncode != 0:
        raise LabError(f"openssl {' '.join(arguments)}: {result.stderr.decode(errors='replace').strip()}")
    return result.stdout


def verifies(public: bytes, message: bytes, signature: bytes, *, is_ed25519: bool = False) -> bool:
    """Whether openssl takes a signature: of SHA-256 by a key on P-256, or by one on Ed25519. The key is a DER SubjectPublicKeyInfo."""
    with tempfile.TemporaryDirectory() as folder:
        files = {"key": public, "message": message, "signature": signature}
        paths = {}
        for name, contents in files.items():
            paths[name] = str(Path(folder) / name)
            Path(paths[name]).write_bytes(contents)
        if is_ed25519:
            how = ["pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-inkey", paths["key"], "-rawin"]
            how += ["-in", paths["message"], "-sigfile", paths["signature"]]
        else:
            how = ["dgst", "-sha256", "-keyform", "DER", "-verify", paths["key"]]
            how += ["-signature", paths["signature"], paths["message"]]
        result = subprocess.run(["openssl", *how], capture_output=True, timeout=30, check=False)
    return result.returncode == 0


def public_key(path: Path) -> bytes:
    """DER SubjectPublicKeyInfo of a file with a public key, in PEM or DER."""
    contents = path.read_bytes()
    return pem_to_der(contents.decode()) if contents.startswith(b"-----") else contents


def pem_to_der(pem: str) -> bytes:
    """Contents of the first block."""
    lines = pem.split("-----BEGIN ", 1)[1].split("-----")[1]
    return base64.b64decode("".join(lines.split()))


def encode(tag: int, contents: bytes) -> bytes:
    """One element of DER."""
    length = len(contents)
    if length < 0x80:
        return bytes((tag, length)) + contents
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(octets))) + octets + contents


def split(der: bytes) -> list[tuple[int, bytes, bytes]]:
    """The elements that follow one another: tag, contents, and the whole."""
    elements = []
    while der:
        length, start = der[1], 2
        if length >= 0x80:
            start += length & 0x7F
            length = int.from_bytes(der[2:start], "big")
        elements.append((der[0], der[start : start + length], der[: start + length]))
        der = der[start + length :]
    return elements


def tbs_without(certificate: bytes, extension: bytes) -> bytes:
    """TBSCertificate without the extension of this identifier (RFC 6962 §3.2)."""
    return _with_extensions(certificate, lambda whole: [one for one in whole if _identifier(one) != extension])


def _with_extensions(certificate: bytes, change) -> bytes:  # type: ignore[no-untyped-def]
    fields = split(split(split(certificate)[0][1])[0][1])
    out = b""
    for tag, contents, whole in fields:
        if tag == EXTENSIONS:
            extensions = change([one for _, _, one in split(split(contents)[0][1])])
            whole = encode(EXTENSIONS, encode(SEQUENCE, b"".join(extensions))) if extensions else b""
        out += whole
    return encode(SEQUENCE, out)


def _identifier(extension: bytes) -> bytes:
    return split(split(extension)[0][1])[0][2]


@dataclass(frozen=True)
class Authority:
    """A root and its key, on P-256, in `root.pem` and `root.key` of a folder."""

    folder: Path

    @classmethod
    def make(cls, folder: Path, name: str = "Laboratory Root") -> Authority:
        """The authority in a folder, made if there is none."""
        folder.mkdir(parents=True, exist_ok=True)
        authority = cls(folder)
        if authority._path("root.pem").exists():
            return authority
        authority._path("openssl.cnf").write_text(CONFIGURATION)
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        openssl(
            "req", "-x509", *curve, "-config", str(authority._path("openssl.cnf")), "-extensions", "root",
            "-subj", f"/CN={name}", "-days", "7300",
            "-keyout", str(authority._path("root.key")), "-out", str(authority._path("root.pem")),
        )  # fmt: skip
        openssl(
            "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", str(authority._path("leaf.key"))
        )
        return authority

    def _path(self, name: str) -> Path:
        return self.folder / name

    @property
    def root(self) -> bytes:
        """The root in DER."""
        return pem_to_der(self._path("root.pem").read_text())

    @property
    def key_hash_input(self) -> bytes:
        """DER SubjectPublicKeyInfo of the root: its SHA-256 is the issuer key hash of what it issues."""
        return openssl("pkey", "-in", str(self._path("root.key")), "-pubout", "-outform", "DER")

    def issue(self, name: str, *, days: int = 90, is_precertificate: bool = False) -> bytes:
        """A server's certificate that ends in so many days, in DER."""
        request = openssl(
            "req", "-new", "-key", str(self._path("leaf.key")), "-subj", f"/CN={name[:64]}",
            "-config", str(self._path("openssl.cnf")),
        )  # fmt: skip
        lines = [f"subjectAltName = DNS:{name}", "extendedKeyUsage = serverAuth", "authorityKeyIdentifier = keyid"]
        if is_precertificate:
            lines.append("1.3.6.1.4.1.11129.2.4.3 = critical, ASN1:NULL")
        with tempfile.NamedTemporaryFile("w", suffix=".cnf") as extensions:
            extensions.write("\n".join(lines) + "\n")
            extensions.flush()
            return openssl(
                "x509", "-req", "-CA", str(self._path("root.pem")), "-CAkey", str(self._path("root.key")),
                "-set_serial", str(secrets.randbits(120) | 1), "-days", str(days), "-extfile", extensions.name,
                "-outform", "DER", given=request,
            )  # fmt: skip

    def finish(self, precertificate: bytes, scts: list[bytes]) -> bytes:
        """The final certificate of a precertificate: with timestamps in the place of the poison (RFC 6962 §3.3)."""
        items = b"".join(len(sct).to_bytes(2, "big") + sct for sct in scts)
        value = encode(OCTET_STRING, encode(OCTET_STRING, len(items).to_bytes(2, "big") + items))
        listed = encode(SEQUENCE, SCT_LIST + value)
        tbs = _with_extensions(
            precertificate, lambda whole: [listed if _identifier(one) == POISON else one for one in whole]
        )
        algorithm = split(split(precertificate)[0][1])[1][2]
        signature = openssl("dgst", "-sha256", "-sign", str(self._path("root.key")), given=tbs)
        return encode(SEQUENCE, tbs + algorithm + encode(BIT_STRING, b"\0" + signature))


def to_pem(der: bytes) -> str:
    """A certificate as text."""
    body = base64.b64encode(der).decode()
    lines = [body[at : at + 64] for at in range(0, len(body), 64)]
    return "\n".join(["-----BEGIN CERTIFICATE-----", *lines, "-----END CERTIFICATE-----", ""])


if __name__ == "__main__":
    Authority.make(Path(sys.argv[1]))
