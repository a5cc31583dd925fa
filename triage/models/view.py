"""A search of the queue that somebody keeps under a name."""

from django.conf import settings
from django.db import models


class SavedView(models.Model):
    """`shared`: everybody sees it; whoever made it, and who triages, may take it away. `query` in the language of the queue."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="views")
    name = models.CharField(max_length=80)
    query = models.CharField(max_length=2000)
    order = models.CharField(max_length=20, blank=True)
    group = models.CharField(max_length=20, blank=True)
    shared = models.BooleanField(default=False)
    created_at = models.DateTimeField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=["user", "name"], name="one_view_of_a_name"),)
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name
