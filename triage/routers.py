"""The second connection is for progress alone: nothing is migrated or read through it by itself."""

from typing import Any


class DefaultOnly:
    def db_for_read(self, _model: Any, **_hints: Any) -> str:
        return "default"

    def db_for_write(self, _model: Any, **_hints: Any) -> str:
        return "default"

    def allow_migrate(self, db: str, _app_label: str, **_hints: Any) -> bool:
        return db == "default"
