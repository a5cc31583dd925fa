"""What people did to findings, one or many at once, so that it can be looked at and taken back."""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from triage.models.finding import Finding


class Act(models.Model):
    """`params`: what the verb needs (a team's slug, a status). `query`: what was meant, '' for chosen ones.

    `total`: what was meant; `done` of it, and `skipped`, each with its reason on the item. `undoes`: what this takes back.
    `lease_until`: as an import's; what a dead worker left goes on at the items that are missing.
    """

    class Verb(models.TextChoices):
        ASSIGN = "assign", _("Assign to a team")
        RELEASE = "release", _("Let the rules decide")
        MOVE = "move", _("Change the status")
        PERSON = "person", _("Assign to a person")
        DISOWN = "disown", _("Not ours")
        ACKNOWLEDGE = "acknowledge", _("Acknowledge")
        UNDO = "undo", _("Undo")

    class State(models.TextChoices):
        WAITING = "waiting", _("Waiting")
        RUNNING = "running", _("Running")
        DONE = "done", _("Done")

    verb = models.CharField(max_length=15, choices=Verb)
    params = models.JSONField(default=dict)
    query = models.TextField(blank=True)
    reason = models.CharField(max_length=500, blank=True)
    actor = models.CharField(max_length=80)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="acts")
    door = models.CharField(max_length=10)
    at = models.DateTimeField()
    state = models.CharField(max_length=10, choices=State, default=State.WAITING)
    total = models.PositiveIntegerField(default=0)
    done = models.PositiveIntegerField(default=0)
    skipped = models.PositiveIntegerField(default=0)
    undoes = models.OneToOneField("self", models.PROTECT, null=True, related_name="undone_by")
    finished_at = models.DateTimeField(null=True)
    lease_until = models.DateTimeField(null=True)

    class Meta:
        indexes = (
            models.Index(fields=["user", "-id"], name="act_newest"),
            models.Index(fields=["id"], condition=models.Q(state__in=["waiting", "running"]), name="act_waiting"),
        )

    def __str__(self) -> str:
        return f"A-{self.pk}"


class ActItem(models.Model):
    """A finding of an act. `seen`: the version that was looked at, null for any. `why`: a Text, for what was skipped.

    `before`: what stood in the columns that the verb changes. `after`: the version that the act left: as long as it is that one,
    nobody has changed it since.
    """

    act = models.ForeignKey(Act, models.CASCADE, db_index=False, related_name="items")
    finding = models.ForeignKey(Finding, models.PROTECT, db_index=False, related_name="+")
    seen = models.IntegerField(null=True)
    done = models.BooleanField(null=True)
    why = models.JSONField(null=True)
    before = models.JSONField(default=dict)
    after = models.IntegerField(null=True)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["act", "finding"], name="one_item_of_an_act"),)
        indexes = (models.Index(fields=["act", "id"], condition=models.Q(done=None), name="act_item_waiting"),)
