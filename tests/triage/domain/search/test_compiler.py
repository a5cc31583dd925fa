"""The database and a plain reading in memory agree on every query."""

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.triage.domain.search.world import AT, World, build, meant
from triage.domain import search
from triage.domain.search import lookups, texts, words

CLAUSES = """
status:open|status:verified,accepted|presence:gone|presence:reported|severity:critical|severity>=high|severity<medium|severity:low..high
severity:..low,critical|env:prod|env:none|env:prod,dev|team:payments|team:none|team:me|team:none,web|team:s*|team:pay@example.com
team:"équipe paiements"|assignee:me|assignee:none|assignee:bob@example.com|assignee:"bob martin"|assignee:ana*,none|account:111111111111
account:none|account:none,payments-prod|account:PAYMENTS-PROD|account:legacy-pay|account:sub-*|account="Data Platform"|account="data platform"|provider:aws|provider:AZ*
region:eu-west-1|region:EU-WEST-1|region:eu-*|region=EU-WEST-1|asset:payments|asset:payments-prod|asset:prod-pay|asset:pay_ments.py
asset:arn:aws:s3:::pay*|asset="arn:aws:s3:::logs"|asset:ymen|asset:pay*|type:awss3bucket|type:AwsS3Bucket,file|type:Aws*|type=awss3bucket
service:s3|service:S*|check:s3_bucket_versioning|check:S3_*|check:b602|scanner:prowler|scanner:chec*,bandit|title:bucket|title:"S3 b"*
title:"100%"|category:encryption|category:INTERNET*|category:encrypt|category=identity|weakness:79|weakness:CWE-7|weakness:cwe-7*
framework:CIS|framework:PCI|framework:CIS-3.0|framework:ci*|framework=CIS|control:2.1.4|control:"CIS-1.5 2.1.3"|control:2.*
tag:owner|tag:env,name|tag.env:prod|tag.ENV:PROD|tag.env:dev,prod|tag.owner:web|tag.name:n*|tag.name:n_*|tag.owner:"100%"|tag.owner:1*
tag."aws:createdBy":terraform|tag.zone:x|path:src/*|path:PAY_|path:public|path="src/app/pay_ments.py"|age>30d|age<=1w|age:7d..45d
age:..2d|due<7d|due>=2026-11-22|due:none|due<-1d|due:tomorrow,none|due:2026-11-16..2026-11-22|due<=today|sla:overdue|sla:due_soon,ok
sla:none|sla:paused|first_seen>2026-11-01|first_seen<-20d|first_seen:yesterday..|last_seen>-5d|last_seen<=-3d|last_seen<2026-11-19
last_seen:2026-11-17..2026-11-19|is:open|is:closed|is:overdue|is:mine|is:unowned|is:unassigned|is:new,regressed|is:muted|is:review
is:stand_in|is:pinned|is:paused|is:due_soon|has:ticket|has:team|has:assignee,due|has:path|has:group|score>50|score:10..40|score:7,8,9
exposure:internet|exposure:none|criticality>=high|criticality:none,low|criticality:..medium|application:shop|application:any|application:none|data:health|ticket:none|ticket:any|ticket:SEC-1,sec-4
ticket:SEC-*|id:F-900009|scan:S-9001,9002|-team:payments|-due<7d|-assignee:me|-ticket:SEC-3|severity!=low,high|region!=eu-west-1
bucket|payments|pay|s3|bucket public|"s3 bucket"|"bucket is"|"bucket publ"|PAYMENTS-prod|s3_buck|index.js|acme/shop|F-900009|prowler-9
nothinglikeit|-payments|-bucket|payments_at|"100% of"|platform|111111111111|arn:aws:s3:::web|"--"|mfa payments|payments bucket
""".replace("\n", "|").strip("|").split("|")  # fmt: skip


@st.composite
def written(draw, depth: int = 3) -> str:
    if depth == 0 or draw(st.booleans()):
        return draw(st.sampled_from(CLAUSES))
    parts = draw(st.lists(written(depth=depth - 1), min_size=1, max_size=3))
    joined = draw(st.sampled_from([" ", " or ", " et "])).join(parts)
    return draw(st.sampled_from(["({})", "-({})", "not ({})"])).format(joined)


@pytest.fixture
def world(db: None) -> World:
    return build()


def asked(query: search.Query, world: World) -> set[int]:
    return set(search.findings(query, at=AT, user=world.user, teams=world.teams).values_list("pk", flat=True))


def test_each_condition_and_its_opposite(world: World) -> None:
    everything = {row.pk for row in world.rows}
    wrong = {}
    for text in CLAUSES:
        query, wanted = search.parse(text), meant(search.parse(text), world)
        found, rest = asked(query, world), asked(search.parse(f"-({text})"), world)
        if found != wanted or rest != everything - wanted or search.parse(query.text()) != query:
            wrong[text] = (found ^ wanted, rest ^ (everything - wanted))

    assert wrong == {}


def test_the_estate_is_worth_asking(world: World) -> None:
    """Hardly a condition means none of the findings, or all of them."""
    dull = [text for text in CLAUSES if len(meant(search.parse(text), world)) in (0, len(world.rows))]

    assert set(dull) == {
        "category:encrypt", "framework=CIS", "nothinglikeit", "region=EU-WEST-1", "tag.zone:x", "type=awss3bucket", '"--"',
        "asset:ymen", '"bucket publ"', "asset:prod-pay", 'account="data platform"',
    }  # fmt: skip


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(text=written())
@example("-(-(due<7d) or team:me) assignee:none")
@example('"--" or nothinglikeit')
@example('-("--" or bucket)')
def test_any_combination(world: World, text: str) -> None:
    query = search.parse(text)

    assert asked(query, world) == meant(query, world)
    assert search.parse(query.text()) == query


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(text=written())
def test_any_combination_where_everything_is_too_common_to_be_named(world: World, text: str) -> None:
    """Large estates are asked in other words: subqueries instead of lists, arrays instead of INs."""
    query = search.parse(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(texts, "NAMED_ASSETS", 1)
        patch.setattr(lookups, "INLINE", 1)

        found = asked(query, world)

    assert found == meant(query, world)


def test_words_of_assets_come_with_the_worker_or_without(world: World) -> None:
    """Whether the worker has been there makes no difference to what is found."""
    before = {text: asked(search.parse(text), world) for text in CLAUSES}
    while words.index_assets():
        pass

    assert {text: asked(search.parse(text), world) for text in CLAUSES} == before


@pytest.mark.parametrize(
    ("text", "position", "suggested"),
    [("env:prod team:paymnts", 14, "payments"), ("assignee:bob@exmple.com", 9, "bob@example.com")],
)
def test_who_does_not_exist_is_an_error_with_a_place(world: World, text: str, position: int, suggested: str) -> None:
    with pytest.raises(search.QueryError) as caught:
        asked(search.parse(text), world)

    assert (caught.value.position, caught.value.suggestions[0]) == (position, suggested)


@pytest.mark.parametrize("text", ["assignee:me", "team:mine", "is:mine", "-(status:open -is:mine)"])
def test_nobody_has_nothing_of_their_own(db: None, text: str) -> None:
    with pytest.raises(search.QueryError, match="nobody here"):
        search.findings(search.parse(text), at=AT)


def test_what_comes_with_reports_may_be_absent(db: None) -> None:
    """A gate that asks for a repository before its first scan gets an empty answer, no error."""
    assert not search.findings(search.parse("account:acme/new framework:none-such scan:S-99"), at=AT).exists()


def test_counting_stops(world: World) -> None:
    everything = search.findings(search.parse(""), at=AT)

    assert search.counts(everything, limit=10) == (10, True)
    assert search.counts(everything, limit=48) == (48, False)
    assert search.counts(everything) == (48, False)
