"""Secrets out of what is kept for years: structures by the names of their parts, texts by what stands in them, however nested.

It errs on the side of taking out: what is kept under a lock cannot be cleaned later. `masking` is the milder one, for texts that
people read and that stay as they are where they came from. Ids of access keys stay: they say which key, and open nothing.
"""

import base64
import binascii
import json
import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote

from triage.domain.masking import MASK, without_secrets

DEEPEST = 60  # levels of structure and of texts within texts; what lies deeper is taken out

# A name says that its value gives access when it ends so, letters and digits alone counted.
_ENDINGS = (
    "secret", "secretkey", "secretaccesskey", "secretstring", "secretbinary", "secretvalue", "password", "passwd", "passphrase", "pwd",
    "passcode", "token", "authorization", "cookie", "jwt", "privatekey", "keymaterial", "signature", "apikey", "accountkey",
    "sharedaccesskey", "masterkey", "stringseed", "samlassertion", "userdata", "customdata", "startupscript",
)  # fmt: skip
# Places in a list of answers, marks that make a request one, whether IMDSv2 is asked for: they open nothing.
_HARMLESS = ("nexttoken", "continuationtoken", "clienttoken", "requesttoken", "paginationtoken", "starttoken", "pagetoken",
    "httptoken", "httptokens",
)  # fmt: skip
_EXACTLY = ("pass", "sig", "otp")
_PASS = re.compile(r"(?:[_.-](?i:pass)|[a-z]Pass)$")  # DB_PASS and dbPass, and no bypass
_ENVIRONMENT = re.compile(r"(env|environment|environment_?variables|variables|env_?vars|stage_?variables)", re.IGNORECASE)
_NAMING = re.compile(r"(parameter|option|attribute|variable)?_?(name|key|field)", re.IGNORECASE)
_VALUE = re.compile(r"(parameter|option|attribute|variable|string|default)?_?values?", re.IGNORECASE)

_KEY_ID = re.compile(r"(?:AKIA|ASIA)[A-Z0-9]{16}")
# 40 characters of base64 beside the id of a key are its secret; 40 of hexadecimal are a revision.
_KEY_SECRET = r"(?<![A-Za-z0-9/+])(?![0-9a-f]{40})[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=])"  # noqa: S105
_KEY_PAIR = re.compile(rf"(?P<keep>\b{_KEY_ID.pattern}\b[\s\S]{{1,200}}?){_KEY_SECRET}")
_LONE_SECRET = re.compile(_KEY_SECRET)
# user:password@host, with what people write into passwords; a port is none.
_IN_ADDRESS = re.compile(r"(?P<keep>\b[A-Za-z][A-Za-z0-9+.-]*://[^\s/:@\"'<>]{0,200}:)(?!\d+(?:[/?#]|$))[^\s\"'<>]{1,300}(?=@)")
_IN_HEADER = re.compile(r"(?P<keep>\b(?:Bearer|Basic)\s+)(?=[^\s]*[0-9A-Z=+/._-])[A-Za-z0-9+/=._~-]{8,}")
_IN_ELEMENT = re.compile(r"(?P<open><(?P<name>[A-Za-z_][\w.:-]*)(?:\s[^<>]*)?>)(?P<value>[^<>]+)(?=</)")
_FLAG = re.compile(r"(?P<name>(?<![\w-])--?[A-Za-z][\w-]*)\s+(?=[^\s-])")
# An ARN is passed over: in one, `secret:` names a kind.
_ASSIGNED = re.compile(r"\barn:aws[\w-]*:[\w:/.*+@-]*|(?<![\w.-])(?P<name>[A-Za-z_][\w.-]*+)(?:\\*[\"'])?\s*+(?:=>?|:)\s*+")
_ASSIGNED_VALUE = re.compile(
    r"""(?P<quote>\\*["'])(?P<inner>(?:(?!(?P=quote))(?:\\.|[^\\])|\\)*)(?P=quote)?"""
    r"""|(?:(?:Bearer|Basic|Digest|Token|AWS4-HMAC-SHA256)\s+)?[^\s"';&<>]+(?:,\s*(?:Signature|SignedHeaders|Credential)=[^\s,"']+)*""",
    re.IGNORECASE,
)
_POINTING = re.compile(r"(?:true|false|null|none|undefined)\b[^\w]*$|\$[{(]|\{\{resolve:|arn:aws|[\[{(<•]|\*{3}", re.IGNORECASE)
_PACKED = re.compile(r"[A-Za-z0-9+/_-]{16,}={0,2}")


class _Twice(Exception):
    """A name that stands twice in an object: what a parser keeps of it is not all that is there."""


def clean(value: Any) -> Any:
    """The same without what gives access. Mappings get text names and sequences become lists, as in JSON.

    Taken out: values under names that say so (also of pairs as {Name, Value}, of headers and environments), and in texts passwords,
    tokens, signatures of addresses and private keys; texts that are JSON, percent-encoded or base64 are looked into.
    """
    return _cleaned(value, 0)


def gives_access(name: str) -> bool:
    """Whether a value of this name is one that gives access: `MasterUserPassword`, `x-api-key`, `DB_PASS`."""
    plain = re.sub(r"[^a-z0-9]", "", unicodedata.normalize("NFKC", name).casefold()).rstrip("0123456789")
    if plain.endswith(_HARMLESS):
        return False
    return plain in _EXACTLY or plain.endswith(_ENDINGS) or _PASS.search(name.rstrip("0123456789")) is not None


# --- structures ---------------------------------------------------------------------------------------------------------------


def _cleaned(value: Any, depth: int) -> Any:
    if depth > DEEPEST:
        return MASK
    if isinstance(value, Mapping):
        return _mapping(value, depth + 1)
    if isinstance(value, list | tuple | set | frozenset):
        return _sequence(value, depth + 1)
    if isinstance(value, bytes | bytearray | memoryview):
        return _bytes(bytes(value), depth + 1)
    return _text(value, depth + 1) if isinstance(value, str) else value


def _mapping(value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
    named = any(isinstance(part, str) and _NAMING.fullmatch(str(name)) and gives_access(part) for name, part in value.items())
    pair = _holds_key(value.values())
    cleaned = {}
    for name, part in value.items():
        label = str(name)
        if gives_access(label) or (named and _VALUE.fullmatch(label)):
            kept = _masked(part)
        elif _ENVIRONMENT.fullmatch(label) and isinstance(part, Mapping | list | tuple):
            kept = _environment(part, depth)
        elif label.endswith("s") and gives_access(label[:-1]):
            kept = _masked(part) if isinstance(part, str) else _plural(part, depth)
        else:
            kept = _beside_key(part) if pair else part
            kept = _cleaned(kept, depth)
        cleaned[_text(label, depth)] = kept
    return cleaned


def _sequence(value: Iterable[Any], depth: int) -> list[Any]:
    parts = list(value)
    if len(parts) == 2 and isinstance(parts[0], str) and gives_access(parts[0]):  # a header, as pairs have them
        return [parts[0], _masked(parts[1])]
    if _holds_key(parts):
        parts = [_beside_key(part) for part in parts]
    return [_cleaned(part, depth) for part in parts]


def _masked(value: Any) -> Any:
    """No text and no number of it stays; that there is none, or whether there is one, does."""
    if isinstance(value, Mapping):
        return {str(name): _masked(part) for name, part in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_masked(part) for part in value]
    return value if value is None or isinstance(value, bool) or value in ("", b"") else MASK


def _plural(value: Any, depth: int) -> Any:
    """`passwords: […]` hold them, `secrets: [{name, valueFrom}]` point at them."""
    if isinstance(value, list | tuple):
        return [_cleaned(part, depth) if isinstance(part, Mapping) else _masked(part) for part in value]
    return _cleaned(value, depth)


def _environment(value: Any, depth: int) -> Any:
    """Variables of a function, a container, a build: their names stay. Nobody can say which of the values are secret."""
    if depth > DEEPEST:
        return MASK
    if isinstance(value, Mapping):
        if any(_VALUE.fullmatch(str(name)) for name in value):
            return {
                str(name): _masked(part) if _VALUE.fullmatch(str(name)) else _cleaned(part, depth + 1)
                for name, part in value.items()
            }
        return {str(name): _environment(part, depth + 1) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_environment(part, depth + 1) for part in value]
    if isinstance(value, str) and "=" in value:  # as containers have them: NAME=value
        return value.partition("=")[0] + "=" + MASK
    return _masked(value)


def _holds_key(parts: Iterable[Any]) -> bool:
    return any(isinstance(part, str) and _KEY_ID.fullmatch(part.strip()) for part in parts)


def _beside_key(part: Any) -> Any:
    return _LONE_SECRET.sub(MASK, part) if isinstance(part, str) else part


# --- texts --------------------------------------------------------------------------------------------------------------------


def _bytes(value: bytes, depth: int) -> str:
    """As text, if they are one; what cannot be read cannot be judged."""
    text = _decoded(value)
    return MASK if text is None else _text(text, depth)


def _decoded(value: bytes) -> str | None:
    """UTF-8, or UTF-16 as PowerShell writes it; None for what is no text."""
    for encoding in ("utf-16-le",) if b"\x00" in value else ("utf-8",):
        try:
            text = value.decode(encoding).removeprefix("\ufeff")
        except UnicodeDecodeError:
            return None
        return text if all(char.isprintable() or char in "\r\n\t" for char in text) else None
    return None


def _text(text: str, depth: int) -> str:
    if depth > DEEPEST:
        return MASK
    document = _document(text, depth)
    if document is not None:
        return document
    if "%" in text and (plain := unquote(text)) != text:
        kept = _text(plain, depth + 1)
        if kept != plain:
            return kept
    text = _PACKED.sub(lambda found: _unpacked(found[0], depth), _whole(text, depth))
    text = without_secrets(_IN_ADDRESS.sub(_kept, text))
    for pattern in (_KEY_PAIR, _IN_HEADER):
        text = pattern.sub(_kept, text)
    text = _IN_ELEMENT.sub(lambda found: found["open"] + MASK if gives_access(found["name"]) else found[0], text)
    return _assigned(_flags(text))


def _kept(found: re.Match[str]) -> str:
    return found["keep"] + MASK


def _document(text: str, depth: int) -> str | None:
    """A text that is a JSON document; as it stands when there is nothing in it. None for any other text."""
    if not text.lstrip("\ufeff \t\r\n").startswith(("{", "[", '"')):
        return None
    try:
        parsed = json.loads(text.lstrip("\ufeff"), object_pairs_hook=_once)
    except (_Twice, RecursionError):
        return MASK
    except ValueError:
        return None
    kept = _cleaned(parsed, depth + 1)
    return text if kept == parsed else json.dumps(kept, ensure_ascii=False)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _part in pairs}) < len(pairs):
        raise _Twice
    return dict(pairs)


def _whole(text: str, depth: int) -> str:
    """Base64 in lines, as mails and user data have it, is one text."""
    packed = "".join(text.split())
    if packed == text or not _PACKED.fullmatch(packed):
        return text
    return MASK if _unpacked(packed, depth) == MASK else text


def _unpacked(packed: str, depth: int) -> str:
    """MASK when it is base64 of something to be cleaned."""
    body = packed.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        plain = _decoded(base64.b64decode(body + "=" * (-len(body) % 4), validate=True))
    except (binascii.Error, ValueError):
        return packed
    return packed if plain is None or _text(plain, depth + 1) == plain else MASK


def _flags(text: str) -> str:
    """`--password hunter2`"""
    return _replaced(text, _FLAG, lambda found: gives_access(found["name"].lstrip("-")))


def _assigned(text: str) -> str:
    """`password = "…"`, `Authorization: …`, `?X-Amz-Signature=…`, `Pwd=…;`"""
    return _replaced(text, _ASSIGNED, lambda found: bool(found["name"]) and gives_access(found["name"]))


def _replaced(text: str, before: re.Pattern[str], wanted: Any) -> str:
    parts, done = [], 0
    while (found := before.search(text, done)) is not None:
        parts.append(text[done : found.end()])
        done = found.end()
        value = _ASSIGNED_VALUE.match(text, done) if wanted(found) else None
        if value is None:
            continue
        said = value["inner"] if value["quote"] else value[0]
        if said and not _POINTING.match(said):
            quote = value["quote"] or ""
            parts.append(f"{quote}{MASK}{quote}")
            done = value.end()
    return "".join(parts) + text[done:]
