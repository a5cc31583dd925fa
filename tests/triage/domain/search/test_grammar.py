"""What a text means, what it looks like when written back, and what is said of a text that means nothing."""

import random
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from triage.domain.search import QueryError, parse
from triage.domain.search.fields import ALL
from triage.domain.search.grammar import MAX_CLAUSES, MAX_DEPTH, MAX_LENGTH
from triage.domain.search.tree import And, Clause, Node, Not, Operator, Or, Query, Value, Words, both, either, negated


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("", ""),
        ("   ", ""),
        (
            "severity>=high env:prod team:payments status:open -tag.env:dev age>30d text",
            "severity>=high env:prod team:payments status:open -tag.env:dev age>30d text",
        ),
        (
            "gravité:critique env:prod équipe:paiements statut:ouvert est:en_retard",
            "severity:critical env:prod team:paiements status:open is:overdue",
        ),
        ("GRAVITE >= Haute", "severity>=high"),
        ('est:"En retard"', "is:overdue"),
        ("âge>30j échéance<2sem", "age>30d due<2w"),
        ("échéance:demain première_vue>31/12/2025", "due:tomorrow first_seen>2025-12-31"),
        ("propriétaire:aucun owner:none équipe:moi", "team:none team:none team:me"),
        ("a and b or not c", "a b or -c"),
        ("a et b ou non c", "a b or -c"),
        ("a AND (b OR c)", "a (b or c)"),
        ("(a (b c))", "a b c"),
        ("a or (b or c)", "a or b or c"),
        ("-(a b) --c", "-(a b) c"),
        ("severity!=low,medium", "-severity:low,medium"),
        ("severity:>=high", "severity>=high"),
        ("status=open", "status:open"),
        ("check=s3_x check:s3_*", "check=s3_x check:s3_*"),
        ('"public bucket" “seau public” « seau »', '"public bucket" "seau public" "seau"'),
        ('account:"Data Platform",x title:"a \\"b\\""*', 'account:"Data Platform",x title:"a \\"b\\""*'),
        ("arn:aws:s3:::web https://hub.example/x 10:30", "arn:aws:s3:::web https://hub.example/x 10:30"),
        ("asset:arn:aws:s3:::web", "asset:arn:aws:s3:::web"),
        ('tag."aws:createdBy":x tag.Cost-Center:1', 'tag."aws:createdby":x tag.cost-center:1'),
        ("id:12 id:f-12 scan:s-3", "id:F-000012 id:F-000012 scan:S-3"),
        ("due:2026-01-01..2026-02-01 score:..5 severity:low..", "due:2026-01-01..2026-02-01 score:..5 severity:low.."),
        ("cwe:79", "weakness:CWE-79"),
        ('"or" "severity:high"', '"or" "severity:high"'),
        ("S3 - public", "S3 - public"),
        ("first_seen:2026-02-01T10:30", "first_seen:2026-02-01T10:30"),
    ],
)
def test_a_text_is_written_back_in_one_way(text: str, canonical: str) -> None:
    query = parse(text)

    assert query.text() == canonical
    assert parse(canonical) == query


@pytest.mark.parametrize(
    ("text", "place", "suggestions", "said"),
    [
        ("env:prod sevrity:high", "sevrity", ["severity"], "no field “sevrity”. Did you mean severity"),
        ("gravit:haute", "gravit", ["gravité"], "Did you mean gravité"),
        ("xyzzy:1", "xyzzy", [], "put it in quotation marks"),
        ("env:prod severity:hgih", "hgih", ["high"], "not a value of “severity”"),
        ("gravité:crtique", "crtique", ["critique"], "Did you mean critique"),
        ("is:purple", "purple", ["open", "closed"], "Possible values: open, closed"),
        ("severity>=high,low", "low", [], "one value only"),
        ("status>open", "status>open", ["status:open"], "can't be compared"),
        ("check.x:y", "check.x", ["check:s3_*"], "has no parts"),
        ("age:30d", "30d", ["age>30d"], "An example: age>30d"),
        ("age>-3d", "-3d", ["age>30d"], "not a value"),
        ("due:7d", "7d", ["due<7d"], "not a value"),
        ("due<2026-02-30", "2026-02-30", ["due<7d"], "not a value"),
        ("due<99999y", "99999y", ["due<7d"], "not a value"),
        ("first_seen>7d", "7d", ["-7d"], "is in the past"),
        ("score>x", "x", ["score>80"], "not a value"),
        ("id:G-12", "G-12", ["id:F-000123"], "not a value"),
        ("check=s3_*", "s3_*", [], "whole value"),
        ('asset:"--"', '"--"', [], "no letter or digit"),
        ('team:""', '""', ["team:payments"], "not a value"),
        ("a severity:", "", [], "A value is missing"),
        ("severity:high, env:prod", "env:prod", ["informational"], "not a value of “severity”"),
        ("(a or b", "", [], "never closed"),
        ("a or b)", ")", [], "never opened"),
        ("a ()", ")", [], "nothing in these brackets"),
        ("a or", "", [], "missing at the end"),
        ("or a", "or", [], "can't stand here"),
        ('a "b', '"b', [], "never closed"),
        ("team:a\x00b", "a\x00b", [], "can't be printed"),
        ("\ud800", "\ud800", [], "can't be printed"),
    ],
)
def test_a_mistake_is_shown_where_it_is(text: str, place: str, suggestions: list[str], said: str) -> None:
    with pytest.raises(QueryError) as caught:
        parse(text)

    error = caught.value
    assert text[error.position : error.position + error.length] == place
    assert list(error.suggestions[: len(suggestions)]) == suggestions
    assert said in str(error)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x" * (MAX_LENGTH + 1), "longer than 2000"),
        ("(" * (MAX_DEPTH + 1) + "a" + ")" * (MAX_DEPTH + 1), "20 levels"),
        ("(" * 1000, "20 levels"),
        ("-" * 1999 + "a", "20 levels"),
        ("not " * 400 + "a", "20 levels"),
        ("a " * (MAX_CLAUSES + 1), "100 conditions"),
        ("env:prod or " * (MAX_CLAUSES + 1), "100 conditions"),
        ("check:" + ",".join(f"c{n}" for n in range(101)), "100 values"),
        ("check:" + "c" * 501, "500 characters"),
        ("(a or " * 300, "20 levels"),
    ],
)
def test_limits_are_kept(text: str, said: str) -> None:
    with pytest.raises(QueryError, match=said):
        parse(text)


def test_as_much_as_is_allowed_is_read() -> None:
    assert parse("(" * MAX_DEPTH + "a" + ")" * MAX_DEPTH) == Query(Words("a"))
    assert len(parse("a " * MAX_CLAUSES).root.parts) == MAX_CLAUSES


def test_nothing_but_a_query_error_comes_of_any_text() -> None:
    rng = random.Random(20261121)
    pieces = [
        *'abF-():<>=!,."*\\ \n\t“”«»\0\ud800é019', "severity", "env:", "team:", "or ", "and ", "not ", "due", "tag.", "..", "is:", "id:",
        "age>", "30d", "none", "“", "arn:", "2026-01-01",
    ]  # fmt: skip
    read = 0
    for _ in range(3000):
        text = "".join(rng.choice(pieces) for _ in range(rng.randrange(30)))
        query = read_or_error(text)
        if isinstance(query, QueryError):
            assert 0 <= query.position <= query.position + query.length <= len(text)
            assert str(query)
        else:
            read += 1
            assert parse(query.text()) == query
    assert read > 150


def read_or_error(text: str) -> Query | QueryError:
    try:
        return parse(text)
    except QueryError as error:
        return error


def test_the_longest_texts_are_read_at_once() -> None:
    begun = time.process_time()
    for text in ("a" * 2000, "check:" + "c," * 990, '"' * 2000, "a:" * 1000, "é-" * 1000, "-(" * 1000, "*" * 2000):
        read_or_error(text)

    assert time.process_time() - begun < 1


# --- every tree that can be built is written so that it is read as the same --------------------------------------------------------

_TEXT = st.text(st.characters(blacklist_categories=("Cs", "Cc")), min_size=1, max_size=12).filter(
    lambda text: text.strip() == text
)
_CLAUSES = st.one_of(
    st.builds(
        lambda name, texts, prefix: Clause(name, Operator.IS, tuple(Value(text, prefix=prefix) for text in texts)),
        st.sampled_from(["account", "check", "region", "title", "path", "framework"]), st.lists(_TEXT, min_size=1, max_size=3), st.booleans(),
    ),
    st.builds(lambda key, text: Clause("tag", Operator.IS, (Value(text),), key.casefold()), st.from_regex(r"\A[\w:/@-]{1,8}\Z"), _TEXT),
    st.sampled_from([parse(field.example).root for field in ALL]),
    st.builds(Words, _TEXT, st.just(True)),
    st.sampled_from([Words("bucket"), Words("s3_x"), Words("-"), Words("F-000012")]),
)  # fmt: skip
_TREES = st.recursive(
    _CLAUSES,
    lambda inner: st.one_of(
        inner.map(negated), st.lists(inner, min_size=2, max_size=3).map(both), st.lists(inner, min_size=2, max_size=3).map(either)
    ),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(_TREES)
@example(Clause("account", Operator.IS, (Value("<"), Value(">=", prefix=True), Value("a..b"), Value("none"), Value("="))))
@example(And((Or((Words("a"), Words("b"))), Not(And((Words("c"), Words("d")))))))
def test_what_is_written_is_read_as_the_same(root: Node) -> None:
    query = Query(root)

    assert parse(query.text()) == query


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", False),
        ("is:open severity:high", False),
        ("bucket", True),
        ('-"public bucket"', True),
        ("is:open (env:prod OR bucket)", True),
    ],
)
def test_free_text_is_known_wherever_it_stands(text, words):
    assert parse(text).has_words is words
