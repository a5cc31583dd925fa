"""What a scanner tests, stored once however often a report repeats it; and the controls that it serves."""

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVectorField
from django.db import models
from django.utils.translation import get_language

from triage.models.severity import Severity


class Control(models.Model):
    """A requirement of a framework, spelled as the scanner spells it (`CIS-3.0`, `2.1.4`)."""

    framework = models.CharField(max_length=120)
    reference = models.CharField(max_length=300)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["framework", "reference"], name="one_control_per_reference"),)

    def __str__(self) -> str:
        return f"{self.framework} {self.reference}"


class Check(models.Model):
    """`severity`: as the scanner last said. `digest`: of the description, to see a change. `threat`: points for a CVE in its key
    that is exploited or likely to be (domain.risk).
    `override`: the severity that its findings have here, whatever the scanner says, and why. `runbook`, `guard`: addresses of how to
    fix it here, and of the rule that would have prevented it. `words`: for text search. `translations`: texts by language and name.
    """

    scanner = models.CharField(max_length=80)
    key = models.CharField(max_length=500)
    title = models.TextField(blank=True)
    service = models.CharField(max_length=100, blank=True)
    severity = models.SmallIntegerField(choices=Severity)
    description = models.TextField(blank=True)
    risk = models.TextField(blank=True)
    remediation = models.TextField(blank=True)
    remediation_url = models.TextField(blank=True)
    remediation_cli = models.TextField(blank=True)
    remediation_terraform = models.TextField(blank=True)
    remediation_other = models.TextField(blank=True)
    categories = ArrayField(models.TextField(), default=list, blank=True)
    weaknesses = ArrayField(models.TextField(), default=list, blank=True)
    references = ArrayField(models.TextField(), default=list, blank=True)
    translations = models.JSONField(default=dict, db_default={})
    exposes = models.BooleanField(default=False)
    threat = models.SmallIntegerField(db_default=0)
    override = models.SmallIntegerField(choices=Severity, null=True)
    override_reason = models.CharField(max_length=500, db_default="")
    runbook = models.CharField(max_length=1000, db_default="")
    guard = models.CharField(max_length=1000, db_default="")
    following = models.BigIntegerField(null=True)
    controls = models.ManyToManyField(Control, through="CheckControl", related_name="checks")
    digest = models.BinaryField(max_length=16)
    words = SearchVectorField(null=True)
    updated_at = models.DateTimeField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=["scanner", "key"], name="one_check_per_key"),)
        indexes = (GinIndex(fields=["words"], name="check_words"), GinIndex(fields=["categories"], name="check_categories"))

    def __str__(self) -> str:
        return self.said_title or self.key

    @property
    def language(self) -> str:
        """Of its texts as they are shown: the one that is active, if it is said in that; else English, which scanners speak."""
        active = (get_language() or "en")[:2]
        return active if active in self.translations else "en"

    @property
    def said_title(self) -> str:
        return self._said("title")

    @property
    def said_description(self) -> str:
        return self._said("description")

    @property
    def said_risk(self) -> str:
        return self._said("risk")

    @property
    def said_remediation(self) -> str:
        return self._said("remediation")

    def _said(self, name: str) -> str:
        """The text in the language that is active; as the scanner says it where that is not translated."""
        return str(self.translations.get(self.language, {}).get(name) or getattr(self, name))


class CheckControl(models.Model):
    """A check serves a control. A new scanner brings twenty thousand such pairs at once, hence no constraint for each (ADR 3).

    `derived`: the scanner does not say so; it follows from another control (domain.compliance).
    """

    check_ref = models.ForeignKey(
        Check, models.CASCADE, db_constraint=False, db_index=False, related_name="+", db_column="check_id"
    )
    control = models.ForeignKey(Control, models.CASCADE, db_constraint=False, related_name="+")
    derived = models.BooleanField(db_default=False)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["check_ref", "control"], name="one_link_per_control"),)
