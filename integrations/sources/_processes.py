"""Scanners as processes of their own: what they may see, when they have to end, and what they said."""

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Event

from triage.ports import DeliveryError

# What a scanner needs of our environment. Not the rest: there are our database and our keys.
PASSED = (
    "AWS_", "AZURE_", "CLOUDSDK_", "GOOGLE_", "GITHUB_", "KUBECONFIG", "M365_", "SEMGREP_", "TRIVY_", "CHECKOV_",
    "HOME", "LANG", "LC_", "PATH", "TMPDIR", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
    "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR",
)  # fmt: skip
LOOKS = 0.2  # seconds
GRACE = 10.0  # seconds between asking a process to end and ending it


def run(
    argv: Sequence[str], *, folder: Path, output: Path | None, env: Mapping[str, str], seconds: float, stop: Event
) -> tuple[int, str]:
    """Its exit code, and the last of what it wrote to stderr. `output`: where its stdout goes.

    Raises DeliveryError when it cannot be started or does not end in time; then all that it started is ended with it.
    """
    clean = {name: value for name, value in os.environ.items() if name.startswith(PASSED)} | dict(env)
    errors = folder / "stderr"
    with (output or folder / "stdout").open("wb") as out, errors.open("wb") as err:
        try:
            process = subprocess.Popen(
                argv, cwd=folder, env=clean, stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True
            )
        except OSError as error:
            raise DeliveryError(f"{argv[0]} cannot be started: {error.strerror}", permanent=True) from None
        ends = time.monotonic() + seconds
        try:
            while process.poll() is None:
                if stop.is_set() or time.monotonic() > ends:
                    raise DeliveryError("stopped" if stop.is_set() else f"{argv[0]} took longer than {seconds:.0f} s")
                stop.wait(LOOKS)
        finally:
            _end(process)
    return process.returncode, errors.read_bytes()[-2_000:].decode("utf-8", "replace").strip()


def _end(process: "subprocess.Popen[bytes]") -> None:
    """The whole group: a scanner's children outlive it otherwise."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            return
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            continue
