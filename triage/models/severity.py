"""Severities as the database keeps them: the port's five levels, with names for people."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class Severity(models.IntegerChoices):
    CRITICAL = 5, _("Critical")
    HIGH = 4, _("High")
    MEDIUM = 3, _("Medium")
    LOW = 2, _("Low")
    INFORMATIONAL = 1, _("Informational")
