"""What people say to each other about findings, and what they are told within the product."""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from triage.models.exception import RiskException
from triage.models.finding import Finding


class Comment(models.Model):
    """`text` as it was typed: no markup. It stands here alone; the audit trail has its SHA-256, so that it can be withdrawn or erased."""

    finding = models.ForeignKey(Finding, models.PROTECT, db_constraint=False, db_index=False, related_name="comments")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="comments")
    text = models.TextField()
    at = models.DateTimeField()
    edited_at = models.DateTimeField(null=True)
    withdrawn_at = models.DateTimeField(null=True)

    class Meta:
        indexes = (models.Index(fields=["finding", "id"], name="comment_finding"),)

    def __str__(self) -> str:
        return f"{self.finding_id}#{self.pk}"


class Notification(models.Model):
    """Something that a person is told within the product. `about`: words of the kind (a status, an outcome), as it was then."""

    class Kind(models.TextChoices):
        MENTION = "mention", _("You were mentioned")
        COMMENT = "comment", _("A comment on what is yours")
        ASSIGNED = "assigned", _("It was assigned to you")
        DISOWNED = "disowned", _("A team says that it is not theirs")
        DECIDED = "decided", _("Your request was decided")
        VERIFIED = "verified", _("Your verification is done")

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="notifications")
    kind = models.CharField(max_length=10, choices=Kind)
    finding = models.ForeignKey(Finding, models.CASCADE, null=True, db_constraint=False, db_index=False, related_name="+")
    exception = models.ForeignKey(RiskException, models.CASCADE, null=True, related_name="+")
    comment = models.ForeignKey(Comment, models.CASCADE, null=True, related_name="+")
    about = models.CharField(max_length=40, blank=True)
    actor = models.CharField(max_length=80)
    at = models.DateTimeField()
    read_at = models.DateTimeField(null=True)

    class Meta:
        indexes = (models.Index(fields=["user", "-id"], name="notification_newest"),)
