"""Slack: messages, threads and buttons by a bot token. Each message carries our key in its metadata, by which a lost one is found.

The client never repeats by itself (its defaults double-post when an answer is dropped). Limits of blocks are those of
https://docs.slack.dev/reference/block-kit/blocks
"""

import hashlib
import hmac
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.client import HTTPException
from threading import Event
from typing import Any
from urllib.error import URLError
from urllib.parse import parse_qs, urlsplit

from django.utils.translation import gettext_noop as _
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.socket_mode.builtin import SocketModeClient
from slack_sdk.socket_mode.request import SocketModeRequest
from slack_sdk.socket_mode.response import SocketModeResponse
from slack_sdk.webhook import WebhookClient

from integrations.notifiers._http import asked
from triage.ports import (
    Button,
    DeliveryError,
    Forged,
    Heard,
    Limited,
    Notice,
    Options,
    Probe,
    Refused,
    Row,
    Setting,
    Text,
    Unreachable,
)

LABEL = "Slack"
PER_SECOND = 5.0
LANE_GAP = 1.1  # seconds: a message a second in one channel
REPEATABLE = False
SETTINGS = (
    Setting("token", _("Bot token"), _("xoxb-…, with chat:write, im:write, users:read, users:read.email, channels:history."),
            required=True, secret=True),
    Setting("signing_secret", _("Signing secret"), _("For buttons and commands."), secret=True),
    Setting("signing_secret_old", _("Previous signing secret"), _("Also accepted while it is being changed."), secret=True, seldom=True),
    Setting("app_token", _("App token"), _("xapp-…, for Socket Mode: “cspm listen” hears buttons where Slack cannot call us."),
            secret=True, seldom=True),
    Setting("channel", _("Channel for everybody"), _("Where messages go that have no other recipient: its id, C….")),
    Setting("base_url", _("Address"), default="https://slack.com/api/", seldom=True),
)  # fmt: skip
EVENT = "cspm_notice"
HEADER, SECTION, LABELS, BLOCKS, VALUE, FALLBACK = 150, 3000, 75, 50, 2000, 3000  # characters, and blocks
SEARCHED = timedelta(days=2)
PAGES = 20
OLD = 300  # seconds after which a signature is not accepted
GONE = {
    "channel_not_found",
    "is_archived",
    "not_in_channel",
    "user_not_found",
    "users_not_found",
    "user_disabled",
    "cannot_dm_bot",
}
SIGNED_OUT = {
    "invalid_auth",
    "not_authed",
    "token_revoked",
    "token_expired",
    "account_inactive",
    "missing_scope",
    "no_permission",
}
PASSING = {"internal_error", "fatal_error", "service_unavailable", "request_timeout"}


# --- telling ------------------------------------------------------------------------------------------------------------------


def send(notice: Notice, options: Options, /) -> str:
    """`CHANNEL:ts` of the message."""
    client = _client(options)
    channel = _channel(client, notice.to or str(options.get("channel", "")))
    thread = notice.thread.partition(":")[2]
    told = _call(
        client, "chat.postMessage", writes=True, channel=channel, metadata=_metadata(notice), unfurl_links=False,
        **({"thread_ts": thread} if thread else {}), **_said(notice),
    )  # fmt: skip
    if not told.get("ts"):
        raise DeliveryError("what it answered names no message", unknown=True)
    return f"{told.get('channel', channel)}:{told['ts']}"


def find(notice: Notice, options: Options, /) -> str | None:
    client = _client(options)
    channel = _channel(client, notice.to or str(options.get("channel", "")))
    thread = notice.thread.partition(":")[2]
    since = str(((notice.at or datetime.now(UTC)) - SEARCHED).timestamp())
    cursor = ""
    for _page in range(PAGES):
        more: dict[str, Any] = {"cursor": cursor} if cursor else {}
        if thread:
            told = _call(
                client, "conversations.replies", channel=channel, ts=thread, include_all_metadata=True, limit=200, **more
            )
        else:
            told = _call(
                client, "conversations.history", channel=channel, oldest=since, include_all_metadata=True, limit=200, **more
            )
        for message in told.get("messages") or ():
            if ((message.get("metadata") or {}).get("event_payload") or {}).get("key") == notice.key:
                return f"{channel}:{message['ts']}"
        cursor = (told.get("response_metadata") or {}).get("next_cursor", "")
        if not cursor:
            break
    return None


def update(remote: str, notice: Notice, options: Options, /) -> None:
    channel, _colon, ts = remote.partition(":")
    _call(_client(options), "chat.update", channel=channel, ts=ts, metadata=_metadata(notice), **_said(notice))


def address(email: str, options: Options, /) -> str | None:
    """The person's id over there; None for nobody, and for one who left."""
    try:
        told = _call(_client(options), "users.lookupByEmail", email=email)
    except DeliveryError as error:
        if error.permanent:
            return None
        raise
    user = told.get("user") or {}
    return None if user.get("deleted") else str(user.get("id") or "") or None


def probe(options: Options, /) -> Iterator[Probe]:
    """Sign-in, scopes, the channel for everybody; nothing is posted."""
    client = _client(options)
    try:
        who = _call(client, "auth.test")
    except DeliveryError as error:
        yield Probe(Text(_("Sign-in")), False, Text("%(said)s", {"said": str(error)}))
        return
    yield Probe(Text(_("Sign-in")), True, Text("%(who)s", {"who": f"{who.get('user', '')} · {who.get('team', '')}"}))
    if channel := str(options.get("channel", "")):
        try:
            told = _call(client, "conversations.info", channel=channel)
            archived = bool((told.get("channel") or {}).get("is_archived"))
            yield Probe(Text(_("The channel for everybody")), not archived, Text("is_archived") if archived else None)
        except DeliveryError as error:
            yield Probe(Text(_("The channel for everybody")), False, Text("%(said)s", {"said": str(error)}))
    told_so = None if options.get("signing_secret") else Text(_("Without the signing secret no button does anything."))
    yield Probe(Text(_("Buttons")), True, told_so)


def _client(options: Options) -> WebClient:
    base = str(options.get("base_url") or "https://slack.com/api/")
    return WebClient(token=str(options.get("token", "")), base_url=base.rstrip("/") + "/", retry_handlers=[], timeout=10)


def _call(client: WebClient, method: str, *, writes: bool = False, **given: Any) -> Mapping[str, Any]:
    try:
        answer = (
            client.api_call(method, json=given) if writes or method == "chat.update" else client.api_call(method, params=given)
        )
    except SlackApiError as error:
        raise _meaning(error, writes=writes) from None
    except URLError as error:
        never = (
            isinstance(error.reason, ConnectionRefusedError)
            or "getaddrinfo" in repr(error.reason)
            or "Name or service" in repr(error)
        )
        raise DeliveryError(f"no answer: {type(error.reason).__name__}", unknown=writes and not never) from None
    except (OSError, HTTPException, SlackClientError, ValueError) as error:
        raise DeliveryError(f"no answer: {type(error).__name__}", unknown=writes) from None
    data = answer.data
    if not isinstance(data, dict):
        raise DeliveryError("what it answered is not JSON", unknown=writes)
    return data


def _meaning(error: SlackApiError, *, writes: bool) -> DeliveryError:
    answer = error.response
    if isinstance(answer, dict):  # what is not JSON comes so
        return DeliveryError("what it answered is not JSON", unknown=writes)
    status, headers = answer.status_code, {name.lower(): value for name, value in (answer.headers or {}).items()}
    wait = asked(str(headers.get("retry-after", "")))
    data = answer.data if isinstance(answer.data, dict) else {}
    said = str(data.get("error", ""))
    if not re.fullmatch(r"[a-z0-9_]*", said):  # the client's own words for what is not JSON
        return DeliveryError("what it answered is not JSON", unknown=writes, retry_after=wait)
    if status == 429 or said in ("ratelimited", "rate_limited", "message_limit_exceeded"):
        return Limited(said or "429", retry_after=wait)
    if said in SIGNED_OUT:
        needed = f": {data['needed']}" if data.get("needed") else ""
        return Refused(f"{said}{needed}")
    if not said or status >= 500 or said in PASSING:
        return DeliveryError(said or f"{status} without a word of its own", unknown=writes, retry_after=wait)
    return Unreachable(said) if said in GONE else DeliveryError(said, permanent=True)


def _channel(client: WebClient, to: str) -> str:
    """Its id. A person's is the conversation with the bot; a name is looked up."""
    if not to:
        raise Unreachable("there is no channel to send it to")
    if re.fullmatch(r"[UW][A-Z0-9]{2,}", to):
        told = _call(client, "conversations.open", users=to)
        return str((told.get("channel") or {}).get("id", ""))
    if not to.startswith("#"):
        return to
    cursor = ""
    for _page in range(PAGES):
        more: dict[str, Any] = {"cursor": cursor} if cursor else {}
        told = _call(
            client, "conversations.list", types="public_channel,private_channel", limit=500, exclude_archived=True, **more
        )
        for channel in told.get("channels") or ():
            if channel.get("name") == to[1:]:
                return str(channel["id"])
        cursor = (told.get("response_metadata") or {}).get("next_cursor", "")
        if not cursor:
            break
    raise Unreachable("channel_not_found")


def _metadata(notice: Notice) -> dict[str, Any]:
    return {"event_type": EVENT, "event_payload": {"key": notice.key}}


def _said(notice: Notice) -> dict[str, Any]:
    """Text for notifications, and blocks within Slack's limits."""
    blocks: list[dict[str, Any]] = [{"type": "header", "text": {"type": "plain_text", "text": _cut(notice.title, HEADER) or "–"}}]
    if notice.text:
        blocks.append(_section(_cut(literal(notice.text), SECTION)))
    blocks += [_section(text) for text in _packed(notice.rows)]
    if notice.more:
        blocks.append({"type": "context", "elements": [{"type": "mrkdwn", "text": _cut(literal(notice.more), SECTION)}]})
    buttons = [_button(button, number) for number, button in enumerate(notice.buttons[:25])]
    blocks = blocks[: BLOCKS - 1]
    if buttons:
        blocks.append({"type": "actions", "elements": buttons})
    return {"text": _cut(literal(f"{notice.title}\n{notice.text}".strip()), FALLBACK) or "–", "blocks": blocks}


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text, "verbatim": True}}


def _packed(rows: tuple[Row, ...]) -> Iterator[str]:
    """Lines of rows, as many in a section as there is room for."""
    held = ""
    for row in rows:
        line = (
            f"• <{_target(row.url)}|{literal(_cut(row.name, 80))}> {literal(_cut(row.text, 600))}"
            if row.url
            else f"• {literal(row.text)}"
        )
        if held and len(held) + len(line) + 1 > SECTION:
            yield held
            held = ""
        held = f"{held}\n{line}" if held else line
    if held:
        yield held


def _button(button: Button, number: int) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "type": "button", "action_id": f"{button.action}:{number}"[:255],
        "text": {"type": "plain_text", "text": _cut(button.label, LABELS)},
    }  # fmt: skip
    if button.url:
        shown["url"] = button.url[:3000]
    if button.value:
        shown["value"] = button.value[:VALUE]
    if button.urgent:
        shown["style"] = "danger"
    return shown


def literal(text: str) -> str:
    """As it is: & < > escaped, and marks of emphasis parted from the word by a space of no width."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"[*_~`]", "\u200b\\g<0>\u200b", re.sub(r"[\x00-\x08\x0b-\x1f\ud800-\udfff]", "", text))


def _target(url: str) -> str:
    return re.sub(r"[<>|\s]", lambda found: f"%{ord(found[0]):02X}", url).replace("&", "&amp;")


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


# --- hearing ------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Said:
    """What a person did over there. `kind`: press, submit, command, challenge, event. `who`: the person's id."""

    kind: str
    who: str = ""
    action: str = ""
    value: str = ""
    remote: str = ""
    trigger: str = ""
    response_url: str = ""
    text: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)


def hear(headers: Mapping[str, str], body: bytes, options: Options, /) -> Heard:
    """Signed as https://docs.slack.dev/authentication/verifying-requests-from-slack says. The id makes each press act once."""
    given = {name.lower(): value for name, value in headers.items()}
    stamp = given.get("x-slack-request-timestamp", "")
    known = [str(secret) for secret in (options.get("signing_secret"), options.get("signing_secret_old")) if secret]
    if not known:
        raise Forged("no signing secret is configured")
    if not re.fullmatch(r"\d{1,12}", stamp) or abs(datetime.now(UTC).timestamp() - int(stamp)) > OLD:
        raise Forged("its time is not right")
    signature = given.get("x-slack-signature", "")
    signed = f"v0:{stamp}:".encode() + body
    expected = ["v0=" + hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest() for secret in known]
    if not any(hmac.compare_digest(each.encode(), signature.encode()) for each in expected):
        raise Forged("the signature is not right")
    return Heard(hashlib.sha256(_once(body)).hexdigest())


def _once(body: bytes) -> bytes:
    """What is the same for the same press, however often it is delivered."""
    told = _payload(body)
    if told.get("type") == "block_actions":
        action = (told.get("actions") or [{}])[0]
        place = (told.get("container") or {}).get("message_ts", "")
        return f"{(told.get('user') or {}).get('id')} {action.get('action_id')} {action.get('action_ts')} {place}".encode()
    return body


def listen(options: Options, take: Callable[[bytes, str], str], stopped: Event, /) -> None:
    """Hear by a connection that we open (Socket Mode), until stopped. `take`: (body, id), stores it; each is acknowledged then.

    Raises DeliveryError when the connection cannot be opened; later breaks are mended by the client itself.
    """

    def heard(client: Any, request: SocketModeRequest) -> None:
        body = json.dumps(request.payload).encode()
        take(body, hashlib.sha256(_once(body)).hexdigest() if request.type == "interactive" else request.envelope_id)
        client.send_socket_mode_response(SocketModeResponse(envelope_id=request.envelope_id))

    bot = _client(options)
    client = SocketModeClient(app_token=str(options.get("app_token", "")), web_client=bot)
    client.socket_mode_request_listeners.append(heard)
    try:
        client.connect()
    except SlackApiError as error:
        raise _meaning(error, writes=False) from None
    except (OSError, HTTPException, SlackClientError, ValueError) as error:
        raise DeliveryError(f"no connection: {type(error).__name__}") from None
    try:
        stopped.wait()
    finally:
        client.close()


def parse(body: bytes, /) -> Said:
    """An authentic body."""
    told = _payload(body)
    who = str((told.get("user") or {}).get("id", "")) if isinstance(told.get("user"), dict) else str(told.get("user_id", ""))
    common: dict[str, Any] = {
        "who": who,
        "trigger": str(told.get("trigger_id", "")),
        "response_url": str(told.get("response_url", "")),
    }
    if told.get("type") == "block_actions":
        action = (told.get("actions") or [{}])[0]
        place = told.get("container") or {}
        return Said(
            "press", action=str(action.get("action_id", "")).rpartition(":")[0] or str(action.get("action_id", "")),
            value=str(action.get("value", "")), remote=f"{place.get('channel_id', '')}:{place.get('message_ts', '')}", **common,
        )  # fmt: skip
    if told.get("type") == "view_submission":
        view = told.get("view") or {}
        values = (view.get("state") or {}).get("values") or {}
        fields = {name: _typed(element) for block in values.values() for name, element in block.items()}
        return Said(
            "submit",
            action=str(view.get("callback_id", "")),
            value=str(view.get("private_metadata", "")),
            fields=fields,
            **common,
        )
    if told.get("type") == "url_verification":
        return Said("challenge", text=str(told.get("challenge", "")))
    if told.get("command"):
        return Said("command", action=str(told["command"]), text=str(told.get("text", "")), **common)
    return Said("event", action=str((told.get("event") or {}).get("type", "")), **common)


def _payload(body: bytes) -> dict[str, Any]:
    text = body.decode("utf-8", "replace")
    try:
        told = json.loads(text) if text.lstrip().startswith("{") else None
        if told is None:
            form = {name: values[-1] for name, values in parse_qs(text).items()}
            told = json.loads(form["payload"]) if "payload" in form else form
    except ValueError:
        told = {}
    return told if isinstance(told, dict) else {}


def _typed(element: Mapping[str, Any]) -> str:
    return str(element.get("value") or element.get("selected_date") or (element.get("selected_option") or {}).get("value") or "")


def person(who: str, options: Options, /) -> str | None:
    """The e-mail address of a person over there."""
    try:
        told = _call(_client(options), "users.info", user=who)
    except DeliveryError as error:
        if error.permanent:
            return None
        raise
    user = told.get("user") or {}
    return None if user.get("deleted") else (user.get("profile") or {}).get("email")


@dataclass(frozen=True, slots=True)
class Form:
    """What is asked of a person. `fields`: (name, label, text or date). `callback`, `value`: come back with the answers."""

    title: str
    fields: tuple[tuple[str, str, str], ...]
    callback: str
    value: str
    send: str


def ask(trigger: str, form: Form, options: Options, /) -> None:
    """Open a form, within three seconds of what triggered it."""
    view = {
        "type": "modal", "callback_id": form.callback, "private_metadata": form.value[:SECTION],
        "title": {"type": "plain_text", "text": _cut(form.title, 24)}, "submit": {"type": "plain_text", "text": _cut(form.send, 24)},
        "blocks": [_asked(*each) for each in form.fields],
    }  # fmt: skip
    _call(_client(options), "views.open", writes=True, trigger_id=trigger, view=view)


def _asked(name: str, label: str, kind: str) -> dict[str, Any]:
    element: dict[str, Any] = {"type": "datepicker", "action_id": name}
    if kind != "date":
        element = {"type": "plain_text_input", "action_id": name, "multiline": True}
    return {"type": "input", "block_id": name, "label": {"type": "plain_text", "text": _cut(label, HEADER)}, "element": element}


def answer(response_url: str, text: str, options: Options, /) -> None:
    """To the person alone, where the button was pressed. Only to Slack's own host."""
    host = urlsplit(response_url).hostname or ""
    ours = urlsplit(str(options.get("base_url") or "https://slack.com/api/")).hostname or ""
    if host != ours and not (ours == "slack.com" and host == "hooks.slack.com"):
        raise DeliveryError("the address to answer to is not Slack's", permanent=True)
    hook = WebhookClient(response_url, retry_handlers=[], timeout=3)
    try:
        hook.send(text=literal(text), response_type="ephemeral", replace_original=False)
    except (OSError, HTTPException, SlackClientError) as error:
        raise DeliveryError(f"no answer: {type(error).__name__}", unknown=True) from None
