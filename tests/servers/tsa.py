"""A time stamp authority (RFC 3161) over HTTP, made of openssl: a root, a certificate for time stamping, and `openssl ts -reply`."""

import subprocess
import tempfile
from pathlib import Path
from typing import Any

from tests.servers._http import Answer, Request, Server

CONFIG = """
[req]
distinguished_name = name
[name]
[root]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
[stamping]
basicConstraints = CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = critical,timeStamping
[tsa]
default_tsa = authority
[authority]
serial = {folder}/serial
signer_cert = {folder}/tsa.pem
signer_key = {folder}/tsa.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256
ess_cert_id_alg = sha256
"""


class Tsa(Server):
    """`root`: the PEM of whom to trust. `lies`: it stamps something else. `refuses`: it says no."""

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self.lies = self.refuses = False
        # Kept as long as the object: its root is read after the server has ended.
        self._kept = tempfile.TemporaryDirectory(prefix="cspm-tsa-")
        self.folder = Path(self._kept.name)
        (self.folder / "config").write_text(CONFIG.format(folder=self.folder))
        (self.folder / "serial").write_text("01\n")
        self._openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "root.key", "-out", "root.pem",
                      "-subj", "/CN=Root", "-days", "30", "-extensions", "root", "-config", "config")  # fmt: skip
        self._openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "tsa.key", "-out", "tsa.csr",
                      "-subj", "/CN=Authority", "-config", "config")  # fmt: skip
        self._openssl("x509", "-req", "-in", "tsa.csr", "-CA", "root.pem", "-CAkey", "root.key", "-CAcreateserial", "-out", "tsa.pem",
                      "-days", "30", "-extfile", "config", "-extensions", "stamping")  # fmt: skip

    @property
    def root(self) -> Path:
        return self.folder / "root.pem"

    def answer(self, request: Request) -> Answer:
        asked = self.folder / "request.tsq"
        asked.write_bytes(request.raw)
        if self.lies:
            (self.folder / "other").write_text("something else")
            self._openssl("ts", "-query", "-data", "other", "-sha256", "-cert", "-out", "request.tsq")
        if self.refuses:
            asked.write_bytes(b"\x30\x00")
        self._openssl(
            "ts", "-reply", "-queryfile", "request.tsq", "-config", "config", "-section", "authority", "-out", "reply.tsr"
        )
        return Answer(200, (self.folder / "reply.tsr").read_bytes(), {"Content-Type": "application/timestamp-reply"})

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=self.folder, check=True, capture_output=True)
