"""What can be misconfigured: a bucket, a role, an image, a file; with the tags it carries and has carried.

The hot tables' references are not foreign key constraints in the database: a row-level check for each of 100,000 imported rows
costs more than parsing them. The insert trigger checks them a statement at a time, and the application role cannot delete what
they point at (docs/adr/0003-references-of-hot-tables.md).
"""

from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVectorField
from django.db import models
from django.utils.translation import gettext_lazy as _

from triage.models.account import Account, Criticality, Environment


class TagSet(models.Model):
    """A set of tags, stored once. `tags`: [[key, value], …] as reported; `folded`: the same, case-folded, for search."""

    digest = models.BinaryField(max_length=16, unique=True)
    tags = models.JSONField()
    folded = models.JSONField()

    class Meta:
        indexes = (GinIndex(fields=["folded"], name="tagset_folded", opclasses=["jsonb_path_ops"]),)

    def __str__(self) -> str:
        return " · ".join(f"{key}={value}" for key, value in self.tags)


class Exposure(models.IntegerChoices):
    UNKNOWN = 0, _("No known exposure")
    INTERNET = 1, _("Reachable from the internet")


class Asset(models.Model):
    """`key`: BLAKE2b-128 of provider, account and uid. `looks`: CRC-32 of name, type and region, to see a change cheaply."""

    key = models.BinaryField(max_length=16, unique=True)
    account = models.ForeignKey(Account, models.PROTECT, db_constraint=False, db_index=False, related_name="assets")
    uid = models.TextField()
    name = models.TextField(blank=True)
    type = models.CharField(max_length=200, blank=True)
    service = models.CharField(max_length=100, blank=True)
    region = models.CharField(max_length=200, blank=True)
    tag_set = models.ForeignKey(TagSet, models.PROTECT, db_constraint=False, db_index=False)
    tags_since = models.DateTimeField()
    environment = models.CharField(max_length=10, choices=Environment, blank=True)
    criticality = models.SmallIntegerField(choices=Criticality, default=Criticality.UNKNOWN)
    application = models.ForeignKey(
        "triage.Application", models.PROTECT, null=True, db_constraint=False, db_index=False, related_name="assets"
    )
    exposure = models.SmallIntegerField(choices=Exposure, default=Exposure.UNKNOWN)
    team = models.ForeignKey("triage.Team", models.PROTECT, null=True, db_constraint=False, db_index=False, related_name="assets")
    trail = models.ForeignKey("triage.OwnerTrail", models.PROTECT, db_constraint=False, db_index=False)
    looks = models.BigIntegerField(default=0)
    first_seen = models.DateTimeField()
    first_scan = models.ForeignKey(
        "triage.Scan", models.PROTECT, null=True, db_constraint=False, db_index=False, related_name="+"
    )

    class Meta:
        indexes = (
            models.Index(fields=["account", "id"], name="asset_account"),
            models.Index(fields=["tag_set"], name="asset_tag_set"),
        )

    def __str__(self) -> str:
        return self.name or self.uid


class AssetTags(models.Model):
    """A set of tags that the asset carried until `until`. The present one is on the asset itself."""

    asset = models.ForeignKey(Asset, models.PROTECT, related_name="tag_history")
    tag_set = models.ForeignKey(TagSet, models.PROTECT, related_name="+", db_index=False)
    team = models.ForeignKey("triage.Team", models.PROTECT, null=True, related_name="+", db_index=False)
    trail = models.ForeignKey("triage.OwnerTrail", models.PROTECT, related_name="+", db_index=False)
    since = models.DateTimeField()
    until = models.DateTimeField()
    scan = models.ForeignKey("triage.Scan", models.PROTECT, null=True, related_name="+", db_index=False)

    class Meta:
        indexes = (models.Index(fields=["asset", "until"], name="asset_tags_until"),)
        constraints = (models.CheckConstraint(condition=models.Q(since__lte=models.F("until")), name="asset_tags_in_order"),)


class AssetFacts(models.Model):
    """What a collector read of an asset. `facts`: by name, as `ports.Fact` declares them; one that could not be read is not there.

    `since`: when they were first read so; rows that say the same again are not written, and the newest complete scope of the
    scanner `cspm` says when they were last confirmed. `region`: '' of what has none. `tags_read`: its tags were read as well, so
    that a report without tags takes none away. What was not there any more has no row.
    """

    asset = models.OneToOneField(Asset, models.PROTECT, primary_key=True, db_constraint=False, related_name="collected")
    account = models.ForeignKey(Account, models.PROTECT, db_constraint=False, db_index=False, related_name="+")
    kind = models.CharField(max_length=40)
    region = models.CharField(max_length=200, blank=True)
    facts = models.JSONField()
    tags_read = models.BooleanField()
    since = models.DateTimeField()

    class Meta:
        indexes = (models.Index(fields=["kind", "account"], name="assetfacts_kind"),)


class AssetSearch(models.Model):
    """The words of an asset's name and uid. Written by the worker after an import: it costs more than the import itself."""

    asset = models.OneToOneField(Asset, models.CASCADE, primary_key=True, db_constraint=False, related_name="search")
    words = SearchVectorField()

    class Meta:
        indexes = (GinIndex(fields=["words"], name="asset_search_words"),)
