"""Who fixes: teams and their members."""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils.translation import gettext_lazy as _


class Team(models.Model):
    """`aliases`: other values of an owner tag that mean this team: names, e-mail addresses, case-folded."""

    slug = models.SlugField(max_length=80, unique=True)
    name = models.CharField(max_length=200)
    email = models.EmailField(blank=True)
    aliases = ArrayField(models.CharField(max_length=300), default=list, blank=True)
    archived_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("slug",)

    def __str__(self) -> str:
        return self.name


class Member(models.Model):
    """A person of a team, known by e-mail address; `user` once that person has signed in here."""

    class Part(models.TextChoices):
        MEMBER = "member", _("Member")
        LEAD = "lead", _("Lead")

    team = models.ForeignKey(Team, models.CASCADE, related_name="members")
    email = models.EmailField()
    name = models.CharField(max_length=200, blank=True)
    part = models.CharField(max_length=10, choices=Part, default=Part.MEMBER)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="memberships")

    class Meta:
        constraints = (models.UniqueConstraint(fields=["team", "email"], name="one_membership_per_team"),)

    def __str__(self) -> str:
        return self.name or self.email
