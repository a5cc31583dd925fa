"""A remote issue for a group of findings."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from triage.models.connection import Connection
from triage.models.finding import Finding
from triage.models.team import Team


class Ticket(models.Model):
    """`group_key`: what its items share (owner, check, account by default). `mark`: our idempotency mark in the remote system.

    `remote_id` is the identity over there, `key` may change. `category`: where it stands, as the port says. `missing`: how many looks
    in a row did not find it. `due_at`, `severity`: what the ticket says.
    """

    class State(models.TextChoices):
        WANTED = "wanted", _("Being opened")
        LIVE = "live", _("Open")
        CLOSED = "closed", _("Closed")
        DELETED = "deleted", _("Deleted in the ticket system")
        FAILED = "failed", _("Could not be opened")

    connection = models.ForeignKey(Connection, models.PROTECT, related_name="tickets")
    group_key = models.CharField(max_length=300)
    mark = models.CharField(max_length=40, unique=True)
    team = models.ForeignKey(Team, models.PROTECT, null=True, related_name="tickets")
    state = models.CharField(max_length=10, choices=State, default=State.WANTED)
    remote_id = models.CharField(max_length=200, blank=True)
    key = models.CharField(max_length=200, blank=True)
    url = models.CharField(max_length=1000, blank=True)
    category = models.CharField(max_length=15, blank=True)
    remote_status = models.CharField(max_length=100, blank=True)
    remote_assignee = models.CharField(max_length=200, blank=True)
    remote_updated_at = models.DateTimeField(null=True)
    due_at = models.DateTimeField(null=True)
    severity = models.PositiveSmallIntegerField(default=0)
    missing = models.PositiveSmallIntegerField(default=0)
    created_at = models.DateTimeField()
    checked_at = models.DateTimeField(null=True)
    closed_at = models.DateTimeField(null=True)
    findings = models.ManyToManyField(Finding, through="TicketItem", related_name="tickets")

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=["connection", "group_key"],
                condition=models.Q(state__in=["wanted", "live"]),
                name="one_living_ticket_per_group",
            ),
        )

    def __str__(self) -> str:
        return self.key or self.mark


class TicketItem(models.Model):
    ticket = models.ForeignKey(Ticket, models.PROTECT, related_name="items")
    finding = models.ForeignKey(Finding, models.PROTECT, related_name="ticket_items")
    added_at = models.DateTimeField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=["ticket", "finding"], name="one_item_per_ticket"),)
