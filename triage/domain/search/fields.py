"""What can be asked: every field of the query language, its names, its values and where it is kept. What is not here is refused."""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from enum import Enum, auto
from functools import cache

from django.utils.translation import gettext_noop as _

from triage.domain.search.tree import Operator
from triage.domain.tags import fold
from triage.models import Criticality, DataClass, Environment, Exposure, Presence, Severity, Status
from triage.models.account import UNNAMED


class Kind(Enum):
    """How the values of a field are written and compared."""

    CHOICE = auto()  # one of the field's choices
    RANKED = auto()  # the same, in an order: `>=` has a meaning
    TEXT = auto()  # as the report spells it, whatever the case; a star behind for what begins so
    NUMBER = auto()
    PUBLIC_ID = auto()  # F-000123, S-12; the letter may be left out
    TIME = auto()  # a day, a moment, or so long before or after now
    DURATION = auto()  # 30d


@dataclass(frozen=True, slots=True)
class Choice:
    """A value with a name. `stored`: what the column holds. `label`: message id. `synonyms`: French first."""

    name: str
    stored: object
    label: str
    synonyms: tuple[str, ...] = ()


IS = frozenset({Operator.IS})
TEXTUAL = frozenset({Operator.IS, Operator.EQUALS})
ORDERED = frozenset({Operator.IS, Operator.MORE, Operator.AT_LEAST, Operator.LESS, Operator.AT_MOST})


@dataclass(frozen=True, slots=True)
class Field:
    """One field.

    `label`: message id. `synonyms`: French first. `paths`: ORM paths from the finding, any of which may match; the
    first part says where the field lives (`check_ref__key`: in the check). `choices`: all values of CHOICE and RANKED, and the
    words with a meaning of their own (`none`, `me`) of the others. `indexed`: a condition on this field alone is answered through
    an index, however many findings there are. `keyed`: written `tag.KEY`. `example`: for help and errors.
    """

    name: str
    label: str
    kind: Kind
    paths: tuple[str, ...]
    synonyms: tuple[str, ...]
    example: str
    operators: frozenset[Operator] = IS
    choices: tuple[Choice, ...] = ()
    indexed: bool = False
    keyed: bool = False

    def choice(self, text: str) -> Choice | None:
        """The choice of that name or synonym, whatever its case and accents."""
        return _spellings(self.name).get(folded(text))

    def close(self, text: str) -> list[str]:
        """Choices that are spelled nearly so."""
        return _nearly(text, _spellings(self.name))


def folded(text: str) -> str:
    """What names are compared as: no case, no accents, `_` for hyphen and space."""
    return fold(text).replace("-", "_").replace(" ", "_")


NONE = Choice("none", None, _("None"), ("aucun", "aucune", "sans", "personne", "nobody"))
ANY = Choice("any", None, _("Any"), ("quelconque", "un"))

_STATUS = (
    Choice("open", Status.OPEN.value, _("Open"), ("ouvert", "ouverte")),
    Choice("in_progress", Status.IN_PROGRESS.value, _("In progress"), ("en_cours",)),
    Choice("fix_claimed", Status.FIX_CLAIMED.value, _("Fix claimed"), ("corrigé", "déclaré_corrigé", "claimed")),
    Choice("verified", Status.VERIFIED.value, _("Verified"), ("vérifié", "vérifiée", "fixed")),
    Choice("accepted", Status.ACCEPTED.value, _("Risk accepted"), ("accepté", "acceptée", "risque_accepté")),
    Choice("false_positive", Status.FALSE_POSITIVE.value, _("False positive"), ("faux_positif",)),
    Choice("manual", Status.MANUAL.value, _("To be attested"), ("manuel", "manuelle", "à_attester")),
    Choice("attested", Status.ATTESTED.value, _("Attested"), ("attesté", "attestée")),
)
_PRESENCE = (
    Choice("reported", Presence.REPORTED.value, _("Reported"), ("signalé", "signalée", "présent")),
    Choice("unreported", Presence.UNREPORTED.value, _("No longer reported"), ("plus_signalé", "non_signalé")),
    Choice("gone", Presence.GONE.value, _("Gone"), ("disparu", "disparue")),
)
_SEVERITY = (
    Choice("informational", Severity.INFORMATIONAL.value, _("Informational"), ("information", "informative", "info")),
    Choice("low", Severity.LOW.value, _("Low"), ("faible", "basse", "bas")),
    Choice("medium", Severity.MEDIUM.value, _("Medium"), ("moyenne", "moyen", "modérée", "moderate")),
    Choice("high", Severity.HIGH.value, _("High"), ("haute", "haut", "élevée", "élevé")),
    Choice("critical", Severity.CRITICAL.value, _("Critical"), ("critique",)),
)
_ENVIRONMENT = (
    Choice("prod", Environment.PRODUCTION.value, _("Production"), ("production",)),
    Choice("preprod", Environment.STAGING.value, _("Pre-production"), ("préproduction", "recette", "staging")),
    Choice("dev", Environment.DEVELOPMENT.value, _("Development"), ("développement", "development")),
    Choice("test", Environment.TEST.value, _("Test"), ()),
    Choice("none", Environment.UNKNOWN.value, _("Unknown"), ("aucun", "inconnu", "unknown")),
)
_CRITICALITY = (
    Choice("none", Criticality.UNKNOWN.value, _("Not rated"), ("inconnue", "aucune", "unknown")),
    Choice("low", Criticality.LOW.value, _("Low"), ("faible", "basse")),
    Choice("medium", Criticality.MEDIUM.value, _("Medium"), ("moyenne", "modérée")),
    Choice("high", Criticality.HIGH.value, _("High"), ("haute", "élevée")),
    Choice("vital", Criticality.VITAL.value, _("Vital"), ("vitale", "critical", "critique")),
)
_EXPOSURE = (
    Choice("internet", Exposure.INTERNET.value, _("Reachable from the internet"), ("public", "publique")),
    Choice("none", Exposure.UNKNOWN.value, _("No known exposure"), ("inconnue", "aucune", "unknown")),
)
_DATA = (
    Choice("public", DataClass.PUBLIC.value, _("Public"), ("publiques",)),
    Choice("internal", DataClass.INTERNAL.value, _("Internal"), ("internes",)),
    Choice("confidential", DataClass.CONFIDENTIAL.value, _("Confidential"), ("confidentielles",)),
    Choice("personal", DataClass.PERSONAL.value, _("Personal data"), ("personnelles", "pii", "dcp")),
    Choice("payment", DataClass.PAYMENT.value, _("Payment data"), ("paiement", "pci")),
    Choice("health", DataClass.HEALTH.value, _("Health data"), ("santé", "phi")),
)
_SLA = (
    Choice("overdue", None, _("Overdue"), ("en_retard", "dépassé", "breached")),
    Choice("due_soon", None, _("Due soon"), ("bientôt", "proche", "soon")),
    Choice("ok", None, _("On time"), ("dans_les_temps", "à_temps")),
    Choice("none", None, _("No due date"), ("aucun", "aucune", "sans")),
    Choice("paused", None, _("Paused"), ("en_pause", "suspendu")),
)
_IS = (
    Choice("open", None, _("To fix"), ("ouvert", "ouverte", "à_corriger")),
    Choice("closed", None, _("Nothing to be done"), ("fermé", "fermée", "clos")),
    Choice("overdue", None, _("Overdue"), ("en_retard", "dépassé")),
    Choice("due_soon", None, _("Due soon"), ("bientôt", "bientôt_due")),
    Choice("paused", None, _("Paused"), ("en_pause", "suspendu")),
    Choice("mine", None, _("Mine or my team's"), ("à_moi", "moi", "mien")),
    Choice("unowned", None, _("Without a team"), ("sans_propriétaire", "sans_équipe", "orphelin")),
    Choice("unassigned", None, _("Without an assignee"), ("non_assigné", "sans_responsable")),
    Choice("pinned", None, _("Team set by hand"), ("épinglé", "épinglée")),
    Choice("new", None, _("First seen this week"), ("nouveau", "nouvelle")),
    Choice("regressed", None, _("Was fixed before"), ("régressé", "régressée", "rechute")),
    Choice("muted", None, _("Muted by the scanner"), ("muet", "sourdine", "masqué")),
    Choice("review", None, _("The scanner asks for manual review"), ("à_revoir", "revue")),
    Choice("stand_in", None, _("Stands for something that does not exist"), ("remplaçant", "absence")),
)
_HAS = (
    Choice("ticket", None, _("Ticket"), ("billet",)),
    Choice("team", None, _("Team"), ("équipe", "owner", "propriétaire")),
    Choice("assignee", None, _("Assignee"), ("assigné", "responsable")),
    Choice("due", None, _("Due date"), ("échéance",)),
    Choice("path", None, _("Place in code"), ("chemin", "place")),
    Choice("group", None, _("Group of several scanners"), ("groupe",)),
)
_ME = Choice("me", None, _("Me"), ("moi", "mine", "my", "mien", "mienne"))

ALL = (
    Field("id", _("Number"), Kind.PUBLIC_ID, ("pk",), ("identifiant", "numéro", "finding"), "id:F-000123", indexed=True),
    Field("status", _("Status"), Kind.CHOICE, ("status",), ("statut", "état", "state"), "status:open", choices=_STATUS),
    Field("presence", _("Presence"), Kind.CHOICE, ("presence",), (), "presence:gone", choices=_PRESENCE),
    Field(
        "severity", _("Severity"), Kind.RANKED, ("severity",), ("gravité", "sévérité", "sev"), "severity>=high", ORDERED,
        choices=_SEVERITY,
    ),
    Field(
        "env", _("Environment"), Kind.CHOICE, ("environment",), ("environnement", "environment"), "env:prod",
        choices=_ENVIRONMENT,
    ),
    Field(
        "team", _("Team"), Kind.TEXT, ("team__slug", "team__name", "team__aliases"), ("équipe", "propriétaire", "owner"),
        "team:payments", choices=(NONE, _ME), indexed=True,
    ),
    Field(
        "assignee", _("Assignee"), Kind.TEXT, ("assignee__email", "assignee__name"), ("assigné", "responsable", "assigned"),
        "assignee:me", choices=(NONE, _ME),
    ),
    Field(
        "account", _("Account"), Kind.TEXT, ("account__uid", "account__name", "account__aliases"),
        ("compte", "subscription", "abonnement"), "account:123456789012", TEXTUAL, indexed=True,
        choices=(Choice("none", "", UNNAMED, ("aucun", "inconnu", "unknown")),),
    ),
    Field(
        "provider", _("Provider"), Kind.TEXT, ("account__provider",), ("fournisseur", "cloud"), "provider:aws", TEXTUAL,
        indexed=True,
    ),
    Field("region", _("Region"), Kind.TEXT, ("region",), (), "region:eu-west-*", TEXTUAL),
    Field(
        "asset", _("Asset"), Kind.TEXT, ("asset__uid", "asset__name"), ("actif", "ressource", "resource"),
        "asset:invoices-bucket", TEXTUAL, indexed=True,
    ),
    Field("type", _("Type of asset"), Kind.TEXT, ("asset__type",), ("type_actif", "resource_type"), "type:AwsS3Bucket", TEXTUAL),
    Field("service", _("Service"), Kind.TEXT, ("check_ref__service",), (), "service:s3", TEXTUAL, indexed=True),
    Field(
        "check", _("Check"), Kind.TEXT, ("check_ref__key",), ("règle", "test", "rule", "vérification"), "check:s3_*", TEXTUAL,
        indexed=True,
    ),
    Field(
        "scanner", _("Scanner"), Kind.TEXT, ("check_ref__scanner",), ("outil", "tool", "source"), "scanner:prowler", TEXTUAL,
        indexed=True,
    ),
    Field(
        "title", _("Title"), Kind.TEXT, ("check_ref__title",), ("titre", "intitulé"), "title:encryption", TEXTUAL, indexed=True,
    ),
    Field(
        "category", _("Category"), Kind.TEXT, ("check_ref__categories",), ("catégorie", "categories"), "category:encryption",
        TEXTUAL, indexed=True,
    ),
    Field(
        "weakness", _("Weakness"), Kind.TEXT, ("check_ref__weaknesses",), ("faiblesse", "cwe"), "weakness:CWE-79", TEXTUAL,
        indexed=True,
    ),
    Field(
        "framework", _("Framework"), Kind.TEXT, ("check_ref__controls__framework",),
        ("référentiel", "cadre", "compliance", "conformité"), "framework:CIS", TEXTUAL, indexed=True,
    ),
    Field(
        "control", _("Control"), Kind.TEXT, ("check_ref__controls__reference",), ("contrôle", "exigence", "requirement"),
        "control:2.1.4", TEXTUAL, indexed=True,
    ),
    Field(
        "tag", _("Tag"), Kind.TEXT, ("asset__tag_set__folded",), ("étiquette", "tags", "label"), "tag.env:prod", indexed=True,
        keyed=True,
    ),
    Field(
        "path", _("Path in code"), Kind.TEXT, ("place__path",), ("chemin", "fichier", "file"), "path:src/*", TEXTUAL,
        indexed=True,
    ),
    Field("age", _("Age"), Kind.DURATION, ("first_seen",), ("ancienneté",), "age>30d", ORDERED),
    Field(
        "due", _("Due date"), Kind.TIME, ("due_at",), ("échéance", "due_at", "deadline"), "due<7d", ORDERED, choices=(NONE,),
        indexed=True,
    ),
    Field("sla", _("Deadline"), Kind.CHOICE, (), ("délai", "délais"), "sla:overdue", choices=_SLA, indexed=True),
    Field(
        "first_seen", _("First seen"), Kind.TIME, ("first_seen",), ("première_vue", "premier_vu", "vu_le", "created", "opened"),
        "first_seen>2026-01-01", ORDERED,
    ),
    Field(
        "last_seen", _("Last seen"), Kind.TIME, ("last_seen",), ("dernière_vue", "dernier_vu", "seen"), "last_seen<-14d", ORDERED,
    ),
    Field("scan", _("Scan that saw it first"), Kind.PUBLIC_ID, ("first_scan_id",), ("import", "analyse"), "scan:S-12"),
    Field("is", _("State"), Kind.CHOICE, (), ("est",), "is:open", choices=_IS, indexed=True),
    Field("has", _("Has"), Kind.CHOICE, (), ("avec", "with"), "has:ticket", choices=_HAS),
    Field("score", _("Risk score"), Kind.NUMBER, ("score",), ("risque", "risk"), "score>80", ORDERED, indexed=True),
    Field("exposure", _("Exposure"), Kind.CHOICE, ("asset__exposure",), ("exposition",), "exposure:internet", choices=_EXPOSURE),
    Field(
        "criticality", _("Criticality of the asset"), Kind.RANKED, ("asset__criticality",), ("criticité",), "criticality>=high",
        ORDERED, choices=_CRITICALITY,
    ),
    Field(
        "application", _("Application"), Kind.TEXT, ("asset__application__slug",), ("app", "appli"), "application:shop", TEXTUAL,
        choices=(NONE, ANY),
    ),
    Field("data", _("Data of the application"), Kind.CHOICE, ("asset__application__data",), ("données",), "data:health", choices=_DATA),
    Field(
        "ticket", _("Ticket"), Kind.TEXT, ("tickets__key",), ("billet", "tickets", "issue"), "ticket:none", TEXTUAL,
        choices=(NONE, ANY), indexed=True,
    ),
)  # fmt: skip

FIELDS: dict[str, Field] = {each.name: each for each in ALL}


def named(name: str) -> Field | None:
    """The field of that name or synonym, English or French, with accents or without."""
    return _names().get(folded(name))


def close(name: str) -> list[str]:
    """Names of fields that are spelled nearly so, as they were meant: a French one for a French slip."""
    return _nearly(name, _names())


def _nearly(text: str, known: Mapping[str, Field] | Mapping[str, Choice]) -> list[str]:
    nearest = {known[near].name: near for near in reversed(get_close_matches(folded(text), list(known), n=5))}
    return [_accented()[near] for near in reversed(nearest.values())][:3]


@cache
def _names() -> dict[str, Field]:
    return {folded(name): each for each in ALL for name in (each.name, *each.synonyms)}


@cache
def _spellings(name: str) -> dict[str, Choice]:
    return {folded(spelling): choice for choice in FIELDS[name].choices for spelling in (choice.name, *choice.synonyms)}


@cache
def _accented() -> dict[str, str]:
    """Folded names as they are spelled."""
    named_things: list[Field | Choice] = [*ALL, *(choice for each in ALL for choice in each.choices)]
    return {folded(spelling): spelling for thing in named_things for spelling in (thing.name, *thing.synonyms)}
