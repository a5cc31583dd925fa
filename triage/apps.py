"""The application: after each migration the database's application role gets exactly what it needs."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class TriageConfig(AppConfig):
    name = "triage"
    verbose_name = "CSPM Triage"

    def ready(self) -> None:
        from triage import checks  # noqa: F401, PLC0415 - registers on import
        from triage.models.privileges import grant  # noqa: PLC0415 - models are not loaded before

        post_migrate.connect(grant, sender=self, dispatch_uid="triage.privileges")
