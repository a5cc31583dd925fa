"""Where assets live: an AWS account, a subscription, a project, a cluster, a tenant, a repository."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils.translation import gettext, gettext_noop
from django.utils.translation import gettext_lazy as _


class Environment(models.TextChoices):
    PRODUCTION = "prod", _("Production")
    STAGING = "preprod", _("Pre-production")
    DEVELOPMENT = "dev", _("Development")
    TEST = "test", _("Test")
    UNKNOWN = "", _("Unknown")


class Criticality(models.IntegerChoices):
    UNKNOWN = 0, _("Not rated")
    LOW = 1, _("Low")
    MEDIUM = 2, _("Medium")
    HIGH = 3, _("High")
    VITAL = 4, _("Vital")


UNNAMED = gettext_noop("unknown repository")  # of a report that does not say which


class Account(models.Model):
    """`environment` and `criticality` hold for all of its assets that say nothing themselves."""

    provider = models.CharField(max_length=40)
    uid = models.CharField(max_length=500)
    name = models.CharField(max_length=300, blank=True)
    email = models.CharField(max_length=300, blank=True)
    organization = models.CharField(max_length=200, blank=True)
    unit = models.CharField(max_length=300, blank=True)
    tags = models.JSONField(default=dict, blank=True)
    environment = models.CharField(max_length=10, choices=Environment, blank=True)
    criticality = models.SmallIntegerField(choices=Criticality, default=Criticality.UNKNOWN)
    team = models.ForeignKey("triage.Team", models.SET_NULL, null=True, blank=True, related_name="accounts")
    in_scope = models.BooleanField(default=True)
    scope_reason = models.CharField(max_length=300, blank=True)
    options = models.JSONField(default=dict, blank=True)  # how verifiers reach it (role, endpoint); never a secret
    aliases = ArrayField(models.CharField(max_length=500), default=list, blank=True)
    alarmed_at = models.DateTimeField(null=True)  # when it was told that nobody scanned it lately; null while somebody does
    created_at = models.DateTimeField()

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["provider", "uid"], name="one_account_per_uid"),
            models.CheckConstraint(condition=models.Q(environment__in=Environment.values), name="account_environment_known"),
        )

    def __str__(self) -> str:
        return self.name or self.uid or gettext(UNNAMED)

    @property
    def asked(self) -> str:
        """How a query names it."""
        return self.uid or "none"
