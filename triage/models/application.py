"""What a set of assets is for: what is at stake, which data it holds, which rules it is under."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils.translation import gettext_lazy as _

from triage.models.account import Criticality


class DataClass(models.TextChoices):
    UNKNOWN = "", _("Unknown")
    PUBLIC = "public", _("Public")
    INTERNAL = "internal", _("Internal")
    CONFIDENTIAL = "confidential", _("Confidential")
    PERSONAL = "personal", _("Personal data")
    PAYMENT = "payment", _("Payment data")
    HEALTH = "health", _("Health data")


class Application(models.Model):
    """An application takes in the assets that carry one of its `tags` ([[key, value], …]; a value may end in *), and those of its
    `accounts` (`provider:uid`). Of several that fit, the one of the lowest position counts.

    `stake`: what happens when it fails, in a sentence. `frameworks`: those that its assets are under, such as `hds`, `pci`.
    """

    slug = models.SlugField(max_length=80, unique=True)
    name = models.CharField(max_length=200)
    position = models.PositiveIntegerField(default=0)
    stake = models.CharField(max_length=500, blank=True)
    criticality = models.SmallIntegerField(choices=Criticality, default=Criticality.UNKNOWN)
    data = models.CharField(max_length=15, choices=DataClass, blank=True)
    frameworks = ArrayField(models.CharField(max_length=120), default=list, blank=True)
    tags = models.JSONField(default=list, blank=True)
    accounts = ArrayField(models.CharField(max_length=550), default=list, blank=True)
    archived_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("position", "slug")
        constraints = (models.CheckConstraint(condition=models.Q(data__in=DataClass.values), name="application_data_known"),)

    def __str__(self) -> str:
        return self.name or self.slug


class Vulnerability(models.Model):
    """What is known of a CVE, from an imported bundle: `epss` (FIRST, 0 to 1), `kev_since` (CISA's list of what is exploited)."""

    cve = models.CharField(max_length=30, unique=True)
    epss = models.FloatField(null=True)
    kev_since = models.DateField(null=True)
    updated_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.cve
