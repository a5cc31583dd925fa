"""A configured outside system: which plugin, its settings, its secrets and its health."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class Disclosure(models.TextChoices):
    """What leaves the house through a connection."""

    FULL = "full", _("Everything that helps to fix it")
    MINIMAL = "minimal", _("What is wrong, without names of accounts and assets and without the fix")
    LINK = "link", _("A number and a link")


class Connection(models.Model):
    """`options`: settings that are no secrets, by name; `teams` among them: what a team has of its own, by slug.

    `secrets`: by name, `env:NAME` or encrypted (domain.vault), never shown. `failures`: in a row; the breaker opens after some.
    `paced_until`: when the next message may leave by the rate that is kept (`per_second`), if nothing had left before. `probes`:
    what the last test found (`triage.ports.Probe`).
    """

    class State(models.TextChoices):
        READY = "ready", _("Ready")
        REFUSED = "refused", _("Access refused")
        BROKEN = "broken", _("Not answering")
        OFF = "off", _("Switched off")

    kind = models.CharField(max_length=20)  # tickets, notifiers, sources, witnesses
    plugin = models.CharField(max_length=60)
    name = models.SlugField(max_length=80, unique=True)
    options = models.JSONField(default=dict)
    secrets = models.JSONField(default=dict)
    disclosure = models.CharField(max_length=10, choices=Disclosure, default=Disclosure.FULL)
    per_second = models.FloatField(default=100)
    state = models.CharField(max_length=10, choices=State, default=State.READY)
    state_reason = models.TextField(blank=True)
    failures = models.PositiveSmallIntegerField(default=0)
    paused_until = models.DateTimeField(null=True)
    paced_until = models.DateTimeField(null=True)
    last_success_at = models.DateTimeField(null=True)
    tested_at = models.DateTimeField(null=True)
    probes = models.JSONField(default=list)
    created_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.name


class Alarm(models.Model):
    """Something about the outside that a person has to mend: raised once an episode, however often it is met."""

    class Kind(models.TextChoices):
        DOWN = "down", _("Does not answer")
        REFUSED = "refused", _("Refuses the sign-in")
        UNCONFIGURED = "unconfigured", _("Configuration incomplete")
        DEAD = "dead", _("Messages were given up")
        TWIN = "twin", _("Duplicate ticket")
        UNREACHABLE = "unreachable", _("Somebody cannot be reached")
        SILENT = "silent", _("No reports arriving")
        UNREADABLE = "unreadable", _("Unreadable reports")
        PARTIAL = "partial", _("Cannot see everything it checks")
        CONTESTED = "contested", _("Claimed fixed repeatedly")

    connection = models.ForeignKey(Connection, models.CASCADE, related_name="alarms")
    kind = models.CharField(max_length=15, choices=Kind)
    subject = models.CharField(max_length=200, blank=True)
    detail = models.TextField(blank=True)
    times = models.PositiveIntegerField(default=1)
    raised_at = models.DateTimeField()
    resolved_at = models.DateTimeField(null=True)
    told_at = models.DateTimeField(null=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=["connection", "kind", "subject"], condition=models.Q(resolved_at=None), name="one_alarm_an_episode"
            ),
        )

    def __str__(self) -> str:
        return f"{self.connection_id} {self.kind} {self.subject}".strip()
