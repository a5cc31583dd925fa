"""Who may come in: people, their roles, their tokens and one-time links."""

from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils.translation import gettext_lazy as _

from triage.models.team import Team


class UserManager(BaseUserManager["User"]):
    def create_user(self, email: str, password: str | None = None, **fields: Any) -> "User":
        """Without a password the user can only come in by a one-time link."""
        user = self.model(email=self.normalize_email(email).casefold(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user


class User(AbstractBaseUser):
    """A person. Events know only the number; name and address can be erased without touching the trail."""

    email = models.EmailField(unique=True)
    name = models.CharField(max_length=200, blank=True)
    is_active = models.BooleanField(default=True)
    language = models.CharField(max_length=5, choices=[("fr", "Français"), ("en", "English")], blank=True)
    theme = models.CharField(max_length=5, choices=[("light", _("Light")), ("dark", _("Dark"))], blank=True)
    time_zone = models.CharField(max_length=60, blank=True)
    unread = models.PositiveIntegerField(default=0, db_default=0)  # notifications; kept by domain.bell
    created_at = models.DateTimeField(auto_now_add=True)
    erased_at = models.DateTimeField(null=True)

    USERNAME_FIELD = "email"
    objects = UserManager()

    def __str__(self) -> str:
        return self.name or self.email

    @property
    def actor(self) -> str:
        """How events name this person."""
        return f"user:{self.pk}"


class Role(models.TextChoices):
    """What a person or a token may do. Each is a set of rights (domain.access); several add up."""

    VIEWER = "viewer", _("Viewer")
    CONTRIBUTOR = "contributor", _("Contributor of a team")
    TRIAGER = "triager", _("Triager")
    APPROVER = "approver", _("Approver")
    SENIOR_APPROVER = "senior_approver", _("Senior approver")
    AUDITOR = "auditor", _("Auditor")
    ADMINISTRATOR = "administrator", _("Administrator")


class RoleGrant(models.Model):
    """A role given to a person; for a contributor, in one team."""

    user = models.ForeignKey(User, models.CASCADE, related_name="grants")
    role = models.CharField(max_length=15, choices=Role)
    team = models.ForeignKey(Team, models.CASCADE, null=True, blank=True, related_name="+")

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["user", "role", "team"], nulls_distinct=False, name="one_grant_per_role"),
            models.CheckConstraint(condition=models.Q(role__in=Role.values), name="grant_role_known"),
            models.CheckConstraint(
                condition=models.Q(role=Role.CONTRIBUTOR, team__isnull=False)
                | (~models.Q(role=Role.CONTRIBUTOR) & models.Q(team__isnull=True)),
                name="contributors_have_a_team",
            ),
        )


class ApiToken(models.Model):
    """A token of the API: only its SHA-256 is kept. `scopes` such as `imports:write`."""

    name = models.CharField(max_length=200)
    user = models.ForeignKey(User, models.CASCADE, related_name="tokens")
    prefix = models.CharField(max_length=12)
    sha256 = models.BinaryField(max_length=32, unique=True)
    scopes = ArrayField(models.CharField(max_length=40))
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)
    last_used_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return self.name


class SignInLink(models.Model):
    """A link that signs its user in once, within its time. Only its SHA-256 is kept."""

    user = models.ForeignKey(User, models.CASCADE, related_name="+")
    sha256 = models.BinaryField(max_length=32, unique=True)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)


class IdempotencyKey(models.Model):
    """What a POST with an Idempotency-Key was answered, so that its repetition is answered the same."""

    token = models.ForeignKey(ApiToken, models.CASCADE, related_name="+")
    key = models.CharField(max_length=255)
    request = models.BinaryField(max_length=32)  # SHA-256 of method, path and body
    status = models.SmallIntegerField(null=True)
    response = models.JSONField(null=True)
    created_at = models.DateTimeField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=["token", "key"], name="one_answer_per_idempotency_key"),)
