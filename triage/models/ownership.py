"""How an owner is found: an ordered chain of rules, and the stored explanation of what each step said."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from triage.models.team import Team


class OwnerRule(models.Model):
    """One step of the chain; the first that names a team wins.

    `params` by kind: tag {"keys": [...]}, account {}, account_tag {"keys": [...]}, path {"patterns": [{"pattern", "team"}, …]},
    pattern {"patterns": [{"pattern", "team"}, …]}, fallback {"team": slug}.
    """

    class Kind(models.TextChoices):
        TAG = "tag", _("Tag of the asset")
        ACCOUNT = "account", _("Owner of the account")
        ACCOUNT_TAG = "account_tag", _("Tag of the account")
        PATH = "path", _("Path in the repository")
        PATTERN = "pattern", _("Identifier of the asset")
        FALLBACK = "fallback", _("Everything else")

    position = models.PositiveIntegerField()
    kind = models.CharField(max_length=12, choices=Kind)
    name = models.CharField(max_length=200)
    params = models.JSONField(default=dict)
    enabled = models.BooleanField(default=True)

    class Meta:
        ordering = ("position", "id")

    def __str__(self) -> str:
        return self.name


class OwnerTrail(models.Model):
    """What the chain answered, stored once for all assets with the same answer.

    `steps`: [{"rule": id, "kind", "name", "result": "matched" | "skipped" | "no team", "why": Text}, …].
    """

    digest = models.BinaryField(max_length=16, unique=True)
    team = models.ForeignKey(Team, models.PROTECT, null=True, related_name="+")
    steps = models.JSONField()
