"""What must be told outside, and what was told to us: unique keys make both happen once."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from triage.models.connection import Connection


class OutboxMessage(models.Model):
    """Written in the transaction that caused it, sent in another one.

    `SENDING` is committed before the outside is called; a worker that dies then leaves `UNKNOWN`, which is looked up and never
    repeated blindly. `lane`: messages of one lane (a ticket, a recipient) are sent one after the other, in order of id. `priority`:
    smaller ones first. `looks`: how often it was looked for in vain. `subject`: what it is parked for, as the plugin called it.
    """

    class State(models.TextChoices):
        PENDING = "pending", _("Waiting")
        SENDING = "sending", _("Being sent")
        UNKNOWN = "unknown", _("Answer lost")
        PARKED = "parked", _("Waiting for configuration")
        SENT = "sent", _("Sent")
        DEAD = "dead", _("Given up")

    connection = models.ForeignKey(Connection, models.PROTECT, related_name="messages")
    key = models.CharField(max_length=300, unique=True)
    verb = models.CharField(max_length=30)
    lane = models.CharField(max_length=200)
    priority = models.PositiveSmallIntegerField(default=5)
    payload = models.JSONField()
    state = models.CharField(max_length=10, choices=State, default=State.PENDING)
    subject = models.CharField(max_length=200, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    looks = models.PositiveSmallIntegerField(default=0)
    due_at = models.DateTimeField()
    lease_until = models.DateTimeField(null=True)
    last_answer = models.TextField(blank=True)
    actor = models.CharField(max_length=80)
    created_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True)

    class Meta:
        indexes = (
            models.Index(
                fields=["connection", "priority", "due_at", "id"],
                condition=models.Q(state__in=["pending", "sending", "unknown"]),
                name="outbox_due",
            ),
            models.Index(fields=["state", "id"], condition=~models.Q(state="sent"), name="outbox_unfinished"),
            models.Index(fields=["lane", "id"], name="outbox_lane"),
        )

    def __str__(self) -> str:
        return self.key


class InboxDelivery(models.Model):
    """A webhook's raw body, stored before anything is done about it; its delivery id makes a repetition harmless."""

    connection = models.ForeignKey(Connection, models.PROTECT, related_name="deliveries")
    delivery_id = models.CharField(max_length=200)
    headers = models.JSONField(default=dict)
    body = models.BinaryField()
    received_at = models.DateTimeField()
    handled_at = models.DateTimeField(null=True)
    outcome = models.CharField(max_length=300, blank=True)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["connection", "delivery_id"], name="one_delivery_per_id"),)
