"""An auditor's mailbox: each head as an e-mail whose Message-ID is the same when it is sent again."""

from collections.abc import Iterator

from django.utils.translation import gettext_noop as _

from integrations.notifiers import email
from triage.ports import Notice, Options, Probe, SealedHead, Setting

LABEL = _("E-mail to an auditor")
SETTINGS = (
    Setting("to", _("Address"), _("Who keeps the heads."), required=True),
    Setting("sender", _("Sender"), seldom=True),
)


def probe(options: Options, /) -> Iterator[Probe]:
    return email.probe(options)


def leads_to(options: Options, /) -> str:
    return email.leads_to(options)


def publish(head: SealedHead, options: Options, /) -> str:
    notice = Notice(
        key=f"head {head.origin} {head.size}",
        to=str(options["to"]),
        title=f"{head.origin}: {head.size}",
        text=head.note,
        at=head.at,
    )
    return email.send(notice, options)
