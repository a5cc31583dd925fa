"""Who is told what, and what each has been told: once."""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from triage.models.connection import Connection
from triage.models.team import Team


class Subject(models.TextChoices):
    """What a message can be about."""

    NEW = "new", _("New and urgent")
    DUE = "due", _("Due soon")
    BREACH = "breach", _("Deadline missed")
    PROOF = "proof", _("Proven fixed, or back again")
    EXCEPTION = "exception", _("Exceptions")
    UNOWNED = "unowned", _("Without an owner")
    ALARM = "alarm", _("Broken connections")


class Preference(models.Model):
    """How a team, a person, or (with neither) everybody else wants to be told. What is not said is as for everybody.

    `address`: a channel or a user over there; '' where the connection finds people by e-mail address. `subjects`: those that are
    told at all, None for all. `digest_hour`, `quiet_from`, `quiet_until`: hours of the recipient's own day. `hourly`: so many
    messages an hour, what is more goes into the digest.
    """

    team = models.OneToOneField(Team, models.CASCADE, null=True, related_name="preference")
    user = models.OneToOneField(settings.AUTH_USER_MODEL, models.CASCADE, null=True, related_name="preference")
    connection = models.ForeignKey(Connection, models.PROTECT, null=True, related_name="preferences")
    address = models.CharField(max_length=200, blank=True)
    subjects = models.JSONField(null=True)
    language = models.CharField(max_length=5, blank=True)
    time_zone = models.CharField(max_length=60, blank=True)
    digest_hour = models.PositiveSmallIntegerField(null=True)
    quiet_from = models.PositiveSmallIntegerField(null=True)
    quiet_until = models.PositiveSmallIntegerField(null=True)
    weekends = models.BooleanField(null=True)
    hourly = models.PositiveSmallIntegerField(null=True)

    class Meta:
        constraints = (
            models.CheckConstraint(condition=models.Q(team=None) | models.Q(user=None), name="preference_of_one"),
            models.UniqueConstraint(
                fields=["team"], nulls_distinct=False, condition=models.Q(user=None), name="one_preference_of_everybody"
            ),
        )


class Told(models.Model):
    """Something that a recipient is to be told, or was. `recipient`: `team:7`, `user:3`, `role:security`; `event`: what happened.

    `thread`: what belongs together over there. `content`: facts of the moment. `message`: of the outbox, once it left.
    """

    class State(models.TextChoices):
        WAITING = "waiting", _("Waiting")
        SENT = "sent", _("Sent")
        DROPPED = "dropped", _("Not sent")

    recipient = models.CharField(max_length=80)
    event = models.CharField(max_length=200)
    subject = models.CharField(max_length=10, choices=Subject)
    finding = models.BigIntegerField(null=True)
    severity = models.PositiveSmallIntegerField(default=0)
    urgent = models.BooleanField(default=False)
    thread = models.CharField(max_length=200, blank=True)
    content = models.JSONField(default=dict)
    state = models.CharField(max_length=8, choices=State, default=State.WAITING)
    why = models.CharField(max_length=200, blank=True)
    message = models.CharField(max_length=300, blank=True)
    at = models.DateTimeField()
    due_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["recipient", "event"], name="told_once"),)
        indexes = (
            models.Index(fields=["recipient", "due_at"], condition=models.Q(state="waiting"), name="told_waiting"),
            models.Index(fields=["recipient", "sent_at"], name="told_sent"),
            models.Index(fields=["finding"], name="told_of_finding"),
            models.Index(fields=["event"], name="told_event"),
        )


class Thread(models.Model):
    """A message over there to which more belongs. `remote`: its name there; `shown`: hash of what it says now."""

    connection = models.ForeignKey(Connection, models.CASCADE, related_name="threads")
    recipient = models.CharField(max_length=80)
    name = models.CharField(max_length=200)
    remote = models.CharField(max_length=300, blank=True)
    shown = models.BinaryField(null=True)
    started_at = models.DateTimeField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=["connection", "recipient", "name"], name="one_thread_of_a_name"),)


class Press(models.Model):
    """A button pressed, a form sent, a command typed: each acts once."""

    connection = models.ForeignKey(Connection, models.CASCADE, related_name="presses")
    press_id = models.CharField(max_length=200)
    action = models.CharField(max_length=60)
    value = models.CharField(max_length=2000, blank=True)
    who = models.CharField(max_length=200)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    at = models.DateTimeField()
    outcome = models.CharField(max_length=300, blank=True)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["connection", "press_id"], name="one_press_acts_once"),)
