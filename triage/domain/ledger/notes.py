"""Signed heads of the log: C2SP's tlog-checkpoint and signed-note, with Ed25519 (https://c2sp.org/tlog-checkpoint)."""

import base64
import binascii
import hashlib
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

ED25519 = b"\x01"
DASH = "— "


class Unsigned(Exception):
    """No signature of the key that should have signed."""


@dataclass(frozen=True, slots=True)
class Head:
    """What a note says: the log's name, its size, the root over it; as a line of our own, how many findings it has had."""

    origin: str
    size: int
    root: bytes
    findings: int

    def text(self) -> str:
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\nfindings {self.findings}\n"


def key_hash(name: str, public: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + ED25519 + public).digest()[:4]


def verifier_key(name: str, public: bytes) -> str:
    """As an auditor keeps it: name, key hash and key."""
    return f"{name}+{key_hash(name, public).hex()}+{base64.b64encode(ED25519 + public).decode()}"


def signed(head: Head, *keys: Ed25519PrivateKey) -> str:
    return note(head.text(), head.origin, *keys)


def note(text: str, name: str, *keys: Ed25519PrivateKey) -> str:
    """Any text that ends with a line feed, signed under the name: https://c2sp.org/signed-note."""
    lines = []
    for key in keys:
        said = key_hash(name, key.public_key().public_bytes_raw()) + key.sign(text.encode())
        lines.append(f"{DASH}{name} {base64.b64encode(said).decode()}\n")
    return text + "\n" + "".join(lines)


def opened(signed_note: str, public: bytes) -> Head:
    """What a note says, if this key signed it. Raises Unsigned."""
    text, _gap, signatures = signed_note.rpartition("\n\n")
    text += "\n"
    try:
        origin, size, root, said = text.split("\n")[:4]
        head = Head(origin, int(size), base64.b64decode(root, validate=True), int(said.removeprefix("findings ")))
    except (ValueError, binascii.Error):
        raise Unsigned from None
    if len(head.root) != 32 or head.size < 0 or str(head.size) != size:
        raise Unsigned
    for line in signatures.splitlines():
        name, _space, said = line.removeprefix(DASH).partition(" ")
        try:
            raw = base64.b64decode(said, validate=True)
        except binascii.Error:
            continue
        if line.startswith(DASH) and name == origin and raw[:4] == key_hash(origin, public):
            try:
                Ed25519PublicKey.from_public_bytes(public).verify(raw[4:], text.encode())
            except InvalidSignature:
                raise Unsigned from None
            return head
    raise Unsigned
