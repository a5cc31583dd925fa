"""A Backstage catalogue: entities with an annotation that names a cloud account, and the group that owns them.

https://backstage.io/docs/features/software-catalog/descriptor-format: YAML documents with kind, metadata (name, annotations, tags) and
spec (owner, lifecycle, type). `owner` is an entity reference: `group:default/payments` means the group payments.
"""

from collections.abc import Iterator
from typing import Any

import yaml
from django.utils.translation import gettext_noop as _

from triage.ports import DirectoryAccount, Skipped, Text, UnreadableReport

LABEL = "Backstage"
ANNOTATIONS = {
    "amazonaws.com/account-id": "aws", "aws.amazon.com/account-id": "aws", "amazon.com/account-id": "aws",
    "azure.com/subscription-id": "azure", "dev.azure.com/subscription-id": "azure", "google.com/project-id": "gcp",
    "cloud.google.com/project-id": "gcp", "github.com/project-slug": "code",
}  # fmt: skip
NO_ENTITY = _("The document is no entity: it has no kind and metadata.")


def sniff(text: str) -> str | None:
    return LABEL if "apiVersion:" in text and "backstage.io/" in text and "kind:" in text else None


def read(text: str) -> Iterator[DirectoryAccount | Skipped]:
    try:
        documents = list(yaml.load_all(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        raise UnreadableReport(_("Line %(line)s: this is not YAML."), line=mark.line + 1 if mark else 1) from None
    for position, entity in enumerate(documents):
        if entity is None:
            continue
        metadata = entity.get("metadata") if isinstance(entity, dict) else None
        if not isinstance(metadata, dict) or "kind" not in entity:
            yield Skipped(position, Text(NO_ENTITY))
            continue
        yield from _accounts(entity, metadata, f"document {position + 1}")


def _accounts(entity: dict[str, Any], metadata: dict[str, Any], place: str) -> Iterator[DirectoryAccount]:
    spec = entity.get("spec") if isinstance(entity.get("spec"), dict) else {}
    annotations = metadata.get("annotations") if isinstance(metadata.get("annotations"), dict) else {}
    assert spec is not None and annotations is not None  # noqa: S101, PT018 - for the type checker
    owner = str(spec.get("owner", "")).rpartition("/")[2].rpartition(":")[2]
    for name, provider in ANNOTATIONS.items():
        if value := str(annotations.get(name, "")).strip():
            uid = value.zfill(12) if provider == "aws" and value.isdecimal() else value
            yield DirectoryAccount(
                provider, uid, str(metadata.get("title") or metadata.get("name") or ""), owner=owner,
                unit=str(spec.get("system") or spec.get("domain") or ""), environment=str(spec.get("lifecycle", "")), place=place,
            )  # fmt: skip
