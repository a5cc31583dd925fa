"""E-mail by the server that the installation is configured with (CSPM_EMAIL_URL).

Threads hang together by Message-ID (RFC 5322, 3.6.4), which follows from the message's key: one that arrives twice is known as one.
"""

import hashlib
import html
import smtplib
import socket
from collections.abc import Iterator
from email.utils import parseaddr

from django.conf import settings
from django.core.mail import EmailMultiAlternatives, get_connection
from django.utils.translation import gettext_noop as _

from triage.ports import DeliveryError, Notice, Options, Probe, Refused, Setting, Text, Unreachable

LABEL = _("E-mail")
PER_SECOND = 5.0
REPEATABLE = True
SETTINGS = (
    Setting("sender", _("Sender"), _("Empty for CSPM_EMAIL_FROM.")),
    Setting("to", _("Address for everybody"), _("Where messages go that have no other recipient.")),
)
TIMEOUT = 15


def send(notice: Notice, options: Options, /) -> str:
    to = notice.to or str(options.get("to", ""))
    if "@" not in parseaddr(to)[1]:
        raise Unreachable("there is no address to send it to")
    sender = str(options.get("sender") or settings.DEFAULT_FROM_EMAIL)
    number = _message_id(notice.key, sender)
    headers = {"Message-ID": number, "Auto-Submitted": "auto-generated", "X-CSPM-Notice": notice.key}
    if notice.thread:
        headers |= {"In-Reply-To": notice.thread, "References": notice.thread}
    if away := str(notice.facts.get("unsubscribe", "")):
        headers |= {"List-Unsubscribe": f"<{away}>", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}
    with_connection = get_connection(timeout=TIMEOUT)
    subject = " ".join(notice.title.split())[:200]
    message = EmailMultiAlternatives(subject, _plain(notice), sender, [to], headers=headers, connection=with_connection)
    message.attach_alternative(_html(notice), "text/html")
    try:
        message.send()
    except smtplib.SMTPAuthenticationError:
        raise Refused("the mail server does not take our sign-in") from None
    except smtplib.SMTPRecipientsRefused as error:
        code = next(iter(error.recipients.values()))[0]
        raise (Unreachable if code >= 500 else DeliveryError)(f"{code}: the address is refused") from None
    except smtplib.SMTPResponseException as error:
        raise DeliveryError(f"{error.smtp_code}: the mail server refuses it", permanent=error.smtp_code >= 500) from None
    except smtplib.SMTPServerDisconnected:
        raise DeliveryError("the mail server hung up", unknown=True) from None
    except (ConnectionRefusedError, socket.gaierror):
        raise DeliveryError("the mail server cannot be reached") from None
    except (OSError, smtplib.SMTPException) as error:
        raise DeliveryError(f"no answer of the mail server: {type(error).__name__}", unknown=True) from None
    return number


def leads_to(_options: Options, /) -> str:
    """The mail server; '' where mails are only shown."""
    return str(settings.EMAIL_HOST) if settings.EMAIL_BACKEND.endswith("smtp.EmailBackend") else ""


def find(_notice: Notice, _options: Options, /) -> str | None:
    return None


def probe(options: Options, /) -> Iterator[Probe]:
    """Whether the mail server lets us in; nothing is sent."""
    del options
    try:
        connection = get_connection(timeout=TIMEOUT)
        connection.open()
        connection.close()
        yield Probe(Text(_("The mail server accepts us")), True)
    except (OSError, smtplib.SMTPException) as error:
        yield Probe(Text(_("The mail server accepts us")), False, Text("%(said)s", {"said": type(error).__name__}))


def _message_id(key: str, sender: str) -> str:
    domain = parseaddr(sender)[1].rpartition("@")[2] or "localhost"
    return f"<{hashlib.sha256(key.encode()).hexdigest()[:40]}@{domain}>"


def _plain(notice: Notice) -> str:
    lines = [notice.text, "", *(f"{row.name}  {row.text}\n    {row.url}" for row in notice.rows), notice.more]
    links = [f"{button.label}: {button.url}" for button in notice.buttons if button.url]
    return "\n".join(line for line in [*lines, "", notice.url, *links] if line or line == "").strip() + "\n"


def _html(notice: Notice) -> str:
    rows = "".join(
        f'<li><a href="{html.escape(row.url)}">{html.escape(row.name)}</a> {html.escape(row.text)}</li>' for row in notice.rows
    )
    links = [(button.label, button.url) for button in notice.buttons if button.url]
    shown = " · ".join(f'<a href="{html.escape(url)}">{html.escape(label)}</a>' for label, url in links)
    title = f'<a href="{html.escape(notice.url)}">{html.escape(notice.title)}</a>' if notice.url else html.escape(notice.title)
    text = "".join(f"<p>{html.escape(line)}</p>" for line in [notice.text, notice.more] if line)
    return f"<html><body><h2>{title}</h2>{text}<ul>{rows}</ul><p>{shown}</p></body></html>"
