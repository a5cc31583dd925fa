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
DEEPEST = 50
ANNOTATIONS = {
    "amazonaws.com/account-id": "aws", "aws.amazon.com/account-id": "aws", "amazon.com/account-id": "aws",
    "azure.com/subscription-id": "azure", "dev.azure.com/subscription-id": "azure", "google.com/project-id": "gcp",
    "cloud.google.com/project-id": "gcp", "github.com/project-slug": "code",
}  # fmt: skip
NO_ENTITY = _("The document is not an entity: it has no kind and metadata.")


def sniff(text: str) -> str | None:
    return LABEL if "apiVersion:" in text and "backstage.io/" in text and "kind:" in text else None


def read(text: str) -> Iterator[DirectoryAccount | Skipped]:
    loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)  # all scalars as they are written: 001234567012 is no number
    try:
        _check(text, loader)
        documents = list(yaml.load_all(text, Loader=loader))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise UnreadableReport(_("Line %(line)s: this is not YAML."), line=mark.line + 1 if mark else 1) from None
    for position, entity in enumerate(documents):
        if not entity:
            continue
        metadata = entity.get("metadata") if isinstance(entity, dict) else None
        if not isinstance(metadata, dict) or "kind" not in entity:
            yield Skipped(position, Text(NO_ENTITY))
            continue
        yield from _accounts(entity, metadata, f"document {position + 1}")


def _check(text: str, loader: Any) -> None:
    """Composing recurses without a limit, and references multiply: neither is anything that a catalogue needs."""
    depth = 0
    for event in yaml.parse(text, Loader=loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST or isinstance(event, yaml.AliasEvent):
            line = event.start_mark.line + 1 if event.start_mark else 1
            raise UnreadableReport(_("Line %(line)s: the file is nested too deeply, or refers to itself."), line=line)


def _text(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""


def _uid(provider: str, value: str) -> str:
    """Account numbers with their zeros, repositories as reports spell them."""
    if provider == "aws" and value.isdecimal():
        return value.zfill(12)
    return f"github.com/{value}" if provider == "code" and not value.startswith("github.com/") else value


def _accounts(entity: dict[str, Any], metadata: dict[str, Any], place: str) -> Iterator[DirectoryAccount]:
    spec, annotations = entity.get("spec"), metadata.get("annotations")
    spec = spec if isinstance(spec, dict) else {}
    annotations = annotations if isinstance(annotations, dict) else {}
    owner = _text(spec.get("owner")).rpartition("/")[2].rpartition(":")[2]
    for name, provider in ANNOTATIONS.items():
        if value := _text(annotations.get(name)):
            yield DirectoryAccount(
                provider, _uid(provider, value), _text(metadata.get("title")) or _text(metadata.get("name")), owner=owner,
                unit=_text(spec.get("system")) or _text(spec.get("domain")), environment=_text(spec.get("lifecycle")), place=place,
            )  # fmt: skip
