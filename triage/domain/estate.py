"""Which environment an asset belongs to and how much depends on it, from its tags or else from its account."""

import re
from functools import lru_cache
from itertools import pairwise

from triage.domain.tags import CACHED, Tags, fold, joined, plain, values
from triage.models import Criticality, Environment

ENVIRONMENT_KEYS = (
    "environment", "env", "environnement", "environmentname", "envname", "environmenttype", "envtype", "stage", "deploymentstage",
    "sdlc", "lifecycle",
)  # fmt: skip
CRITICALITY_KEYS = (
    "criticality", "criticite", "businesscriticality", "criticitemetier", "criticalitylevel", "niveaudecriticite", "importance",
    "businessimpact", "critical", "critique", "tier", "servicetier",
)  # fmt: skip

# Strictest first: of several words in one value the strictest counts.
_ENVIRONMENTS: dict[Environment, frozenset[str]] = {
    Environment.PRODUCTION: frozenset({"prod", "production", "prd", "live", "pro"}),
    Environment.STAGING: frozenset({
        "preprod", "preproduction", "preprd", "ppd", "pprd", "pp", "staging", "stage", "stg", "stag", "uat", "recette", "rec",
        "rct", "qualif", "qualification", "qlf", "preview", "homologation", "acceptance", "integration", "int",
    }),
    Environment.TEST: frozenset({
        "test", "tests", "testing", "tst", "qa", "qal", "sandbox", "sbx", "sand", "bacasable", "poc", "demo", "lab", "labo",
        "playground", "experimental",
    }),
    Environment.DEVELOPMENT: frozenset({"dev", "development", "developpement", "devel", "develop", "dvl", "local"}),
}  # fmt: skip
# Plain strings and numbers: they are written by COPY, which knows no enumerations.
_BY_WORD = {word: str(environment.value) for environment, words in _ENVIRONMENTS.items() for word in words}
_STRICTEST = [str(environment.value) for environment in _ENVIRONMENTS]
_NOT_PRODUCTION = frozenset({
    "nonprod", "nonproduction", "noprod", "notprod", "horsprod", "horsproduction", "nprd", "nprod",
})  # fmt: skip
_CODES = frozenset({"pro", "pp", "rec", "int", "local", "sand", "stage", "live", "lab"})  # too common to be read in a name

_CRITICALITIES: dict[str, Criticality] = {
    **dict.fromkeys(
        ("vital", "vitale", "critical", "critique", "missioncritical", "businesscritical", "veryhigh", "treshaute", "treseleve",
         "treselevee", "highest", "tier0", "tier1", "platinum"),
        Criticality.VITAL,
    ),
    **dict.fromkeys(("high", "haute", "haut", "eleve", "elevee", "important", "importante", "major", "majeur", "majeure", "tier2",
                     "gold"), Criticality.HIGH),
    **dict.fromkeys(("medium", "moderate", "moyen", "moyenne", "modere", "moderee", "normal", "normale", "standard", "tier3",
                     "silver"), Criticality.MEDIUM),
    **dict.fromkeys(("low", "faible", "bas", "basse", "minor", "mineur", "mineure", "verylow", "tresfaible", "lowest", "tier4",
                     "bronze"), Criticality.LOW),
}  # fmt: skip


def environment_of(tags: Tags, account_environment: str = "") -> str:
    """A value of Environment: what the first telling tag says, else the account's."""
    for _key, value in values(joined(tags), ENVIRONMENT_KEYS):
        if environment := environment_named(value):
            return environment
    return account_environment


def criticality_of(tags: Tags, account_criticality: int = 0) -> int:
    """A value of Criticality: what the first telling tag says, else the account's."""
    for key, value in values(joined(tags), CRITICALITY_KEYS):
        if criticality := criticality_named(value, key=key):
            return criticality
    return account_criticality


@lru_cache(maxsize=CACHED)
def environment_named(value: str) -> str:
    """What a tag's value means: `prod-eu`, `Pre-Production`, `dev2`, `Bac à sable`, `hors prod`. '' when it says nothing."""
    return _BY_WORD.get(plain(value).rstrip("0123456789"), "") or _environment_in(value, ignored=frozenset())


@lru_cache(maxsize=CACHED)
def environment_in_name(name: str) -> str:
    """What the name of an account gives away: `acme-shop-prod`. Only whole words count, and none that names use otherwise."""
    return _environment_in(name, ignored=_CODES)


@lru_cache(maxsize=CACHED)
def criticality_named(value: str, *, key: str = "") -> int:
    """What a tag's value means; numbers only after `tier`, as nobody agrees whether 1 is the most or the least."""
    word = plain(value)
    label = plain(key)
    if label.endswith("tier") and word.isdecimal():
        word = "tier" + word
    if label in ("critical", "critique") and word in ("true", "yes", "oui", "vrai", "1"):
        return Criticality.VITAL.value
    return _CRITICALITIES.get(word, Criticality.UNKNOWN).value


def _environment_in(text: str, *, ignored: frozenset[str]) -> str:
    words = [word.rstrip("0123456789") for word in re.findall(r"[^\W_]+", fold(text))]
    # `pre-prod` and `non prod` are one word, whatever stands between.
    told = {*words, *(first + second for first, second in pairwise(words))} - ignored
    if told & _NOT_PRODUCTION:
        found = {_BY_WORD[word] for word in told if word in _BY_WORD} - {Environment.PRODUCTION.value}
        return min(found, key=_STRICTEST.index, default=Environment.STAGING.value)  # the strictest that it may be
    if told & {"preprod", "preproduction", "preprd"}:
        return Environment.STAGING.value
    return min((_BY_WORD[word] for word in told if word in _BY_WORD), key=_STRICTEST.index, default="")
