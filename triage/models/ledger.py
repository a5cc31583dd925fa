"""The Merkle log over the audit trail (RFC 9162), its signed heads, and where they were sent.

Nothing here is ever changed; the application's database role cannot. Only a leaf's salt may go, when a person's words are erased.
"""

from django.db import models

from triage.models.connection import Connection


class Leaf(models.Model):
    """One sealed event. `number`: its place in the log, without gaps. `content`: the bytes that are hashed (`cspm_leaf` made them).

    `salt`: with it, what the event tells in words can be checked against the content; gone when the words were erased.
    `hash`: SHA-256 of 0x00 and the content.
    """

    number = models.BigIntegerField(primary_key=True)
    event = models.BigIntegerField(unique=True)
    salt = models.BinaryField(null=True)
    content = models.BinaryField()
    hash = models.BinaryField()


class Node(models.Model):
    """The hash of a whole subtree of 2^level leaves: levels 8, 16, 24 …, so that proofs read hundreds of hashes and not millions."""

    level = models.PositiveSmallIntegerField()
    number = models.BigIntegerField()
    hash = models.BinaryField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=["level", "number"], name="one_hash_a_subtree"),)


class LedgerKey(models.Model):
    """A public key that heads are signed with. The newest signs; the private ones are not in the database.

    `public`: 32 bytes. `vouched`: a head that the key before and this one both signed; '' for the first, and for one after a loss.
    """

    origin = models.CharField(max_length=100)
    public = models.BinaryField(unique=True)
    vouched = models.TextField(blank=True)
    since = models.DateTimeField()


class Checkpoint(models.Model):
    """A head of the log: `size` leaves have the root `root`, `findings` of them begin a finding. `note`: signed, as C2SP's
    tlog-checkpoint says.

    What the sealer goes on from, None when its round went on after this head: `last_event`: the newest number that events had had
    when the round began, `next_xid`: the next transaction then, `floor`: events up to this number need not be looked at again.
    """

    size = models.BigIntegerField(primary_key=True)
    root = models.BinaryField()
    findings = models.BigIntegerField()
    note = models.TextField()
    at = models.DateTimeField()
    last_event = models.BigIntegerField(null=True)
    next_xid = models.BigIntegerField(null=True)
    floor = models.BigIntegerField(null=True)


class Publication(models.Model):
    """A head that a witness outside has. `answer`: where it lies there, such as a commit."""

    checkpoint = models.ForeignKey(Checkpoint, models.PROTECT, related_name="publications")
    connection = models.ForeignKey(Connection, models.PROTECT, related_name="publications")
    at = models.DateTimeField()
    answer = models.TextField(blank=True)


class LedgerCheck(models.Model):
    """That the whole log was computed again, and what came of it. `fault`: {} or {message, params} of the first thing that is broken."""

    at = models.DateTimeField()
    size = models.BigIntegerField()
    fault = models.JSONField(default=dict)
    seconds = models.FloatField()
