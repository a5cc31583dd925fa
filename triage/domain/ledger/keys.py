"""The key that heads are signed with: made once, kept beside the database and never in it, changed by `rotate`.

Custody: CSPM_LEDGER_KEY (base64 of the 32-byte seed), else a file in CSPM_HOME/ledger that its owner alone reads. Whoever has it and
the database could write another history since the last head that a witness has: so the witnesses are what counts.
"""

import base64
import binascii
import hashlib
import os
import secrets
from datetime import datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext_noop as _

from triage.domain.audit import recording
from triage.domain.errors import Invalid, NotFound
from triage.domain.ledger import notes
from triage.models import Checkpoint, LedgerKey

DOOR = "task"


def current(*, actor: str, at: datetime) -> tuple[LedgerKey, Ed25519PrivateKey]:
    """The newest key; the first time, one is made. Raises Invalid for a key that is not the one that is on record."""
    row = LedgerKey.objects.order_by("-pk").first()
    if row is None:
        return _make(_given() or Ed25519PrivateKey.generate(), actor=actor, at=at)
    return row, _private(bytes(row.public))


def rotate(*, head: Checkpoint, actor: str, at: datetime) -> LedgerKey:
    """A new key, that the old one vouches for by signing the same head. Inside a transaction. Raises Invalid."""
    before, old = current(actor=actor, at=at)
    new = _next(before)
    vouched = notes.signed(notes.Head(before.origin, head.size, bytes(head.root), head.findings), old, new)
    row, _key = _make(new, origin=before.origin, vouched=vouched, actor=actor, at=at)
    transaction.on_commit(lambda: _path(bytes(before.public)).unlink(missing_ok=True))
    return row


def public() -> list[LedgerKey]:
    """All that ever signed, the newest first."""
    return list(LedgerKey.objects.order_by("-pk"))


def described(row: LedgerKey) -> str:
    """As an auditor keeps it."""
    return notes.verifier_key(row.origin, bytes(row.public))


def newest() -> LedgerKey:
    """Raises NotFound before the first sealing."""
    row = LedgerKey.objects.order_by("-pk").first()
    if row is None:
        raise NotFound(_("Nothing was sealed yet, so there is no key."))
    return row


def _make(
    key: Ed25519PrivateKey, *, actor: str, at: datetime, origin: str = "", vouched: str = ""
) -> tuple[LedgerKey, Ed25519PrivateKey]:
    raw = _public(key)
    if not settings.LEDGER_KEY:
        path = _path(raw)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(base64.b64encode(key.private_bytes_raw()) + b"\n")
            file.flush()
            os.fsync(file.fileno())
    name = origin or settings.LEDGER_ORIGIN or f"cspm-triage/{hashlib.sha256(raw).hexdigest()[:12]}"
    row = LedgerKey.objects.create(origin=name, public=raw, vouched=vouched, since=at)
    with recording(actor=actor, at=at, door=DOOR) as log:
        log.tell("ledger", 1, "key made", after={"key": notes.verifier_key(name, raw)})
    return row, key


def _private(raw: bytes) -> Ed25519PrivateKey:
    given = _given()
    if given is not None and _public(given) == raw:
        return given
    try:
        key = Ed25519PrivateKey.from_private_bytes(base64.b64decode(_path(raw).read_bytes(), validate=False))
    except FileNotFoundError:
        raise Invalid(_("The key that signs the ledger is missing: %(path)s. Restore it, or make a new one: cspm ledger rotate --lost."),
                      path=str(_path(raw))) from None  # fmt: skip
    except (ValueError, binascii.Error):
        raise Invalid(_("%(path)s holds no key."), path=str(_path(raw))) from None
    if not secrets.compare_digest(_public(key), raw):
        raise Invalid(_("%(path)s holds another key than the one on record."), path=str(_path(raw)))
    return key


def lost(*, actor: str, at: datetime) -> LedgerKey:
    """A new key that the old one does not vouch for, as it is lost: auditors have to be told by another way."""
    before = newest()
    return _make(_next(before), origin=before.origin, actor=actor, at=at)[0]


def _next(before: LedgerKey) -> Ed25519PrivateKey:
    new = _given() or Ed25519PrivateKey.generate()
    if _public(new) == bytes(before.public):
        raise Invalid(
            _("CSPM_LEDGER_KEY holds the key that signs now. Put the old one into %(path)s and the new one there."),
            path=str(_path(bytes(before.public))),
        )
    return new


def _given() -> Ed25519PrivateKey | None:
    """That of the environment, None where there is none. Raises Invalid."""
    if not settings.LEDGER_KEY:
        return None
    try:
        return Ed25519PrivateKey.from_private_bytes(base64.b64decode(settings.LEDGER_KEY, validate=True))
    except (ValueError, binascii.Error):
        raise Invalid(_("CSPM_LEDGER_KEY is not the base64 of 32 bytes.")) from None


def _public(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()


def _folder() -> Path:
    return Path(settings.CSPM_HOME) / "ledger"


def _path(raw: bytes) -> Path:
    return _folder() / f"{hashlib.sha256(raw).hexdigest()[:16]}.key"
