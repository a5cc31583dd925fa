"""A configured outside system: which plugin, its settings, its secrets and its health."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class Connection(models.Model):
    """`secrets`: encrypted, write-only. `options`: everything else. The breaker opens after repeated failures."""

    class State(models.TextChoices):
        READY = "ready", _("Ready")
        CONFIGURE = "configure", _("To be configured")
        REFUSED = "refused", _("Access refused")
        BROKEN = "broken", _("Not answering")
        OFF = "off", _("Switched off")

    kind = models.CharField(max_length=20)  # tickets, notifiers
    plugin = models.CharField(max_length=60)
    name = models.SlugField(max_length=80, unique=True)
    options = models.JSONField(default=dict)
    secrets = models.BinaryField(null=True)
    state = models.CharField(max_length=10, choices=State, default=State.READY)
    state_reason = models.JSONField(null=True)
    failures = models.PositiveSmallIntegerField(default=0)
    paused_until = models.DateTimeField(null=True)
    last_success_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.name
