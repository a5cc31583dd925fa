"""What conditions on facts mean: each operator on each type, what is unknown, what is said of a condition that means nothing."""

import random
import time
from datetime import timedelta
from fnmatch import fnmatchcase

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.factories import AT
from triage.domain.custom_checks import truth
from triage.domain.custom_checks.kinds import facts_of, kinds
from triage.domain.custom_checks.language import EXAMPLES, OPERATORS, SAID, condition, kind_in, rule
from triage.domain.custom_checks.truth import Subject, asked, covers, holds, matches, missing, said
from triage.domain.search.tree import And, Clause, Not, Operator, Or, Query, QueryError, Value
from triage.ports import FactType

ROLE = {
    "permissions": ["*", "s3:Get*"], "trust_policy": ["arn:aws:iam::123456789012:root", "*"], "trusts_anyone": True, "path": "/",
    "attached_policies": ["AdministratorAccess"], "inline_policies": [], "permissions_boundary": "", "service_linked": False,
    "age_days": (AT - timedelta(days=400)).isoformat(), "unused_days": (AT - timedelta(days=91, hours=2)).isoformat(), "name": "deploy-Prod",
}  # fmt: skip
GROUP = {"open_ports": ["22", "8000-8100"], "sources": ["0.0.0.0/0"], "rules": 7, "open_egress": True}
KEY = {"age_days": "", "state": "Enabled"}
TAGS = {"owner": "Web", "note": "", "cost center": "42"}


def judged(text, facts=ROLE, *, kind="iam_role", tags=TAGS, at=AT):
    return holds(condition(text, kind).root, Subject(kind, facts, tags), at)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('permissions contains "*" and trust_policy allows "*"', True),
        ('iam_role.permissions contains "*" and iam_role.trust_policy allows "*"', True),
        ('permissions contient "*" et trust_policy autorise "*"', True),
        # contains: as written, whatever the case; allows: as AWS reads it; matches: as who writes the check reads it
        ('permissions contains "s3:get*"', True),
        ('permissions contains "s3:GetObject"', False),
        ('permissions allows "s3:GetObject"', True),
        ('permissions allows "iam:PassRole"', True),
        ('trust_policy allows "arn:aws:iam::999999999999:root"', True),
        ('permissions matches "S3:*"', True),
        ('permissions matches "ec2:*"', False),
        ("permissions matches s3:*", True),
        ("permissions allows s3:*", True),
        ('permissions contains "iam:*", "*"', True),
        ('permissions does not contain "iam:*"', True),
        ('permissions doesn’t contain "*"', False),
        ('permissions ne contient pas "iam:*"', True),
        ('trust_policy n’autorise pas "*"', False),
        # a flag may stand alone
        ("trusts_anyone", True),
        ("iam_role.trusts_anyone", True),
        ("not trusts_anyone", False),
        ("-service_linked", True),
        ("trusts_anyone is true", True),
        ("trusts_anyone = vrai", True),
        ("trusts_anyone est faux", False),
        ("trusts_anyone is not false", True),
        ("trusts_anyone != no", True),
        # days
        ("unused_days > 90", True),
        ("unused_days > 91", False),
        ("unused_days >= 91 and unused_days <= 91", True),
        ("unused_days: 91", True),
        ("unused_days:80..100", True),
        ("unused_days:..90", False),
        ("unused_days > 90d", True),
        ("unused_days > 12w", True),
        ("unused_days > 1y", False),
        ("age_days > 1an", True),
        ("unused_days < 90,5", QueryError),
        # texts
        ('path is "/"', True),
        ('name is "deploy-prod"', True),
        ("name:deploy*", True),
        ("name contains PROD", True),
        ('name matches "*-prod"', True),
        ('name matches "?eploy-*"', True),
        ("name matches prod", False),
        ("name is deploy-prod, other", True),
        ("name != a, b", True),
        ("permissions_boundary is empty", True),
        ("permissions_boundary est vide", True),
        ('permissions_boundary is ""', True),
        ("permissions_boundary is not empty", False),
        ('path is "empty"', False),
        # lists
        ("inline_policies is empty", True),
        ("attached_policies is empty", False),
        ("attached_policies is not empty", True),
        # tags
        ("tag.owner is web", True),
        ("tag.Owner = Web", True),
        ('tag."Cost Center" > 3', QueryError),
        ('tag."Cost Center" is 42', True),
        ("tag.team is empty", True),
        ("tag.note is missing", True),
        ("tag.owner:*", True),
        ("tag.team:*", False),
        ("not tag.owner:*", False),
        ('tag.owner matches "w*"', True),
        ("iam_role.tag.owner is web", True),
        # structure
        ("service_linked or trusts_anyone and (path is / or path is x)", True),
        ("service_linked ou trusts_anyone et non (path est x)", True),
        ("trusts_anyone path:/", True),
    ],
)
def test_what_a_condition_means(text, value):
    if value is QueryError:
        with pytest.raises(QueryError):
            judged(text)
    else:
        assert judged(text) is value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("open_ports allows 22", True), ("open_ports allows 8080", True), ("open_ports contains 8000-8100", True),
        ("open_ports allows 8000-8101", False), ("open_ports allows 3389, 8050", True), ("open_ports allows 443", False),
        ("open_ports is empty", False), ('sources contains "0.0.0.0/0"', True), ("rules > 6.5", True), ("rules = 7", True), ("rules:1..7", True),
    ],
)  # fmt: skip
def test_ports_and_numbers(text, value):
    assert judged(text, GROUP, kind="security_group") is value


def test_what_has_no_age_is_no_days_old():
    assert judged("access_key_age_days > 0", {"access_key_age_days": ""}, kind="iam_user") is False


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("mfa", None), ("not mfa", None), ("mfa is not true", None), ("mfa or console_access", True), ("mfa and console_access", None),
        ("mfa and not console_access", False), ("not (mfa and not console_access)", True), ("not (mfa or console_access)", False),
        ("tag.owner is web", None), ("tag.owner is missing", None), ("unused_days > 3", None),
    ],
)  # fmt: skip
def test_what_could_not_be_read_is_unknown_and_no_more(text, value):
    facts = {"console_access": True, "unused_days": "yesterday"}
    assert judged(text, facts, kind="iam_user", tags=None) is value


def test_it_is_said_which_facts_decide_and_which_are_missing():
    root = condition('trust_policy allows "*" and not (unused_days < 30 or tag.team:x) and trusts_anyone', "iam_role").root
    of = Subject("iam_role", {name: value for name, value in ROLE.items() if name != "trusts_anyone"}, TAGS)
    assert asked(root) == [("trust_policy", ""), ("unused_days", ""), ("tag", "team"), ("trusts_anyone", "")]
    assert said(root, of, AT) == "trust_policy: arn:aws:iam::123456789012:root, *; unused_days: 91; tag.team: –; trusts_anyone: ?"
    assert missing(root, of) == ["trusts_anyone"]


# --- what goes wrong ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said_", "part"),
    [
        ("", "A condition is missing here. An example: permissions allows", ""),
        ("permisions contains x", "iam_role has no fact “permisions”. Did you mean permissions", "permisions"),
        ("last_used_days > 90", "Did you mean unused_days", "last_used_days"),
        ("frobnicated", "iam_role has no fact “frobnicated”. `cspm checks facts iam_role` lists them.", "frobnicated"),
        ("permissions > 3", "“permissions” can't be compared with “>”. An example: permissions allows \"…\"", "permissions > 3"),
        ("trusts_anyone contains x", "can't be compared with “contains”. An example: trusts_anyone is true", "trusts_anyone contains x"),
        ("trusts_anyone is perhaps", "“perhaps” does not fit “trusts_anyone”, which is true or false.", "perhaps"),
        ('permissions is "*"', "“permissions” is a list, which can be empty; or write permissions allows", '"*"'),
        ("permissions", "“permissions” alone is not a condition. An example: permissions allows", "permissions"),
        ('"public"', "A text alone is not a condition", '"public"'),
        ("unused_days > soon", "“soon” is not a number, which “unused_days” is. An example: unused_days > 90", "soon"),
        ("unused_days > 1, 2", "After “>” there can be one value only.", "2"),
        ("permissions contains s3:*", 'write "s3:*" for the star itself, or “matches”', "s3:*"),
        ("path.x is 3", "“path” has no parts", "path.x"),
        ("tag is x", "Say which tag: tag.owner, for example.", "tag"),
        ("s3_bucket.public and trusts_anyone", "This check is about iam_role, and “s3_bucket” is another kind", "s3_bucket"),
        ("iam_rol.path is /", "There is no kind “iam_rol”. Did you mean iam_role", "iam_rol"),
        ("trusts_anyone is", "A value is missing here.", ""),
        ("trusts_anyone and", "Something is missing at the end.", ""),
        ("(trusts_anyone", "A bracket is never closed.", ""),
        ("trusts_anyone)", "This bracket was never opened.", ")"),
        ('name is "x', "This quotation mark is never closed.", '"x'),
        ('permissions contains ""', "There is nothing to look for", '""'),
        ("(" * 21 + "trusts_anyone" + ")" * 21, "20 levels", "("),
        ("trusts_anyone " * 101, "100 conditions", "trusts_anyone"),
        ("trusts_anyone" * 200, "2000 characters", None),
        ("name is " + "x" * 501, "500 characters", None),
        ("name is " + ",".join("x" * 101), "100 values", None),
    ],
)  # fmt: skip
def test_it_is_said_what_is_wrong_and_where(text, said_, part):
    with pytest.raises(QueryError) as caught:
        condition(text, "iam_role")
    assert said_ in str(caught.value)
    if part is not None:
        assert text[caught.value.position :][: caught.value.length] == part


def test_a_port_that_is_none():
    for wrong in ("http", "70000", "90-80", "-1"):
        with pytest.raises(QueryError, match="neither a port"):
            condition(f"open_ports allows {wrong}", "security_group")


@pytest.mark.parametrize(
    ("text", "cond", "severity"),
    [
        ('if iam_role.permissions contains "*" and iam_role.trust_policy allows "*" then severity = high',
         'iam_role.permissions contains "*" and iam_role.trust_policy allows "*"', "high"),
        ('si iam_role.permissions contient "*" alors gravité = haute', 'iam_role.permissions contient "*"', "high"),
        ("IF s3_bucket.public THEN severity: critical.", "s3_bucket.public", "critical"),
        ('if iam_role.name is "if x then y" then severity is low', 'iam_role.name is "if x then y"', "low"),
        ("si s3_bucket.public alors sévérité est critique", "s3_bucket.public", "critical"),
        ("if\n  s3_bucket.public\nthen severity = medium", " s3_bucket.public", "medium"),
    ],
)  # fmt: skip
def test_rules_in_one_sentence(text, cond, severity):
    found, at, named = rule(text)
    assert (found.strip(), named) == (cond.strip(), severity)
    assert text[at:].startswith(found)


@pytest.mark.parametrize(
    "text", ["", "if x", "x then severity = high", "if x then urgency = high", "if x then severity = enormous", "if " * 900],
)  # fmt: skip
def test_what_is_no_rule(text):
    with pytest.raises(QueryError):
        rule(text)


def test_the_kind_is_in_the_condition():
    assert kind_in('iam_role.permissions contains "s3_bucket.x"') == "iam_role"
    assert kind_in('tag.owner is "s3_bucket.public"') == ""
    assert kind_in("trusts_anyone") == ""
    with pytest.raises(QueryError, match="Did you mean iam_role"):
        kind_in("iam_rolle.path is /")


# --- all of it ----------------------------------------------------------------------------------------------------------------


def test_each_fact_can_be_asked_for_as_its_example_shows():
    for kind in kinds():
        for fact in facts_of(kind).values():
            name = "tag.owner" if fact.name == "tag" else fact.name
            assert condition(EXAMPLES[fact.type] % name, kind).root


def test_names_of_facts_are_no_words_of_the_language():
    words = {word for phrase in SAID for word in phrase.split()} | {
        "and",
        "or",
        "not",
        "et",
        "ou",
        "non",
        "if",
        "then",
        "si",
        "alors",
    }
    for kind in kinds():
        assert not words & set(facts_of(kind))


_FLAGS = ["trusts_anyone", "service_linked"]
_LEAVES = st.one_of(
    st.builds(lambda name, value: Clause(name, Operator.IS, (Value(value),)), st.sampled_from(_FLAGS), st.sampled_from(["true", "false"])),
    st.builds(
        lambda operator, number: Clause("unused_days", operator, (Value(str(number)),)),
        st.sampled_from(sorted(OPERATORS[FactType.AGE])), st.integers(0, 5),
    ),
    st.builds(
        lambda operator, text: Clause("permissions", operator, (Value(text),)),
        st.sampled_from([Operator.CONTAINS, Operator.ALLOWS, Operator.MATCHES]), st.sampled_from(["a", "a:*", "*", "b:c"]),
    ),
)  # fmt: skip
_TREES = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(
        inner.map(Not), st.lists(inner, min_size=2, max_size=3).map(lambda p: And(tuple(p))),
        st.lists(inner, min_size=2, max_size=3).map(lambda p: Or(tuple(p))),
    ),
    max_leaves=10,
)  # fmt: skip
_MOMENTS = st.integers(0, 5).map(lambda days: (AT - timedelta(days=days)).isoformat())
_FACTS = st.fixed_dictionaries(
    {},
    optional={
        "trusts_anyone": st.booleans(), "service_linked": st.booleans(), "unused_days": _MOMENTS,
        "permissions": st.lists(st.sampled_from(["a", "a:*", "*", "b:?"]), max_size=3),
    },
)  # fmt: skip


def plain(node, facts):
    """Two-valued logic over facts that are all known, written another way."""
    match node:
        case And(parts):
            return all(plain(part, facts) for part in parts)
        case Or(parts):
            return any(plain(part, facts) for part in parts)
        case Not(part):
            return not plain(part, facts)
    return holds(node, Subject("iam_role", facts, {}), AT)


@settings(max_examples=500, deadline=None)
@given(_TREES, _FACTS, st.data())
def test_what_is_known_stays_whatever_the_missing_facts_turn_out_to_be(root, facts, data):
    """Sound: a verdict without some facts is the verdict with them. And with all of them there is one."""
    early = holds(root, Subject("iam_role", facts, {}), AT)
    whole = {
        "trusts_anyone": data.draw(st.booleans()), "service_linked": data.draw(st.booleans()), "unused_days": data.draw(_MOMENTS),
        "permissions": data.draw(st.lists(st.sampled_from(["a", "a:*", "*", "b:?"]), max_size=3)),
    } | facts  # fmt: skip
    late = holds(root, Subject("iam_role", whole, {}), AT)
    assert late is plain(root, whole)
    assert late in (True, False)
    assert early in (None, late)
    assert early is not None or missing(root, Subject("iam_role", facts, {}))


@settings(max_examples=300, deadline=None)
@given(_TREES, _FACTS)
def test_laws_of_denial(root, facts):
    of = Subject("iam_role", facts, {})
    value = holds(root, of, AT)
    assert holds(Not(Not(root)), of, AT) is value
    assert holds(Or((root, root)), of, AT) is value
    other = {True: False, False: True, None: None}[value]
    assert holds(Not(root), of, AT) is other
    assert holds(And((root, Not(root))), of, AT) is (None if value is None else False)


@settings(max_examples=300, deadline=None)
@given(_TREES)
def test_what_is_written_is_read_as_the_same(root):
    normal = condition(Query(root).text(), "iam_role")
    assert condition(normal.text(), "iam_role") == normal


@settings(max_examples=1000, deadline=None)
@given(st.text("ab*?", max_size=8), st.text("ab*?", max_size=8))
def test_patterns(pattern, text):
    assert matches(pattern, text) == fnmatchcase(text, pattern)
    if covers(pattern, text):
        rng = random.Random(f"{pattern} {text}")
        for _try in range(20):
            instance = "".join(
                {"*": "".join(rng.choices("ab", k=rng.randrange(4))), "?": rng.choice("ab")}.get(c, c) for c in text
            )
            assert matches(pattern, instance)


def test_nothing_takes_long():
    begun = time.process_time()
    assert not matches("*a" * 250 + "b", "a" * 2_000)
    assert judged("permissions matches " + '"' + "*a" * 249 + 'b"', {"permissions": ["a" * 500] * 100}) is False
    assert time.process_time() - begun < 5


def test_nothing_but_a_query_error_comes_of_any_text():
    rng = random.Random(20261121)
    pieces = [
        *'ab():<>=!,."*\\ \n“”«»\0\ud800é0', "permissions ", "contains ", "allows ", "is ", "not ", "and ", "or ", "tag.", "trusts_anyone ",
        "unused_days ", "> ", "90d ", "empty ", "iam_role.", "s3_bucket.", "does ", "does not contain ", "n’est pas ", '"*"', "..", "matches ",
        *['permissions contains "*" ', "unused_days > 90 ", "tag.owner is web ", "(trusts_anyone) "] * 5,
    ]  # fmt: skip
    read = 0
    for _try in range(4000):
        text = "".join(rng.choice(pieces) for _ in range(rng.choice((2, 3, 6, 20))))
        query = read_or_error(text)
        if isinstance(query, QueryError):
            assert 0 <= query.position <= query.position + query.length <= max(len(text), query.position)
            assert str(query)
        else:
            read += 1
            assert truth.holds(query.root, Subject("iam_role", ROLE, TAGS), AT) in (True, False, None)
    assert read > 50


def read_or_error(text):
    try:
        return condition(text, "iam_role")
    except QueryError as error:
        return error
