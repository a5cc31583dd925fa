"""Who fixes: the chain in memory, the estate asked again, hands, explanations, and what nobody owns."""

import random
from datetime import UTC, datetime, timedelta
from hashlib import blake2b

import pytest
from django.db import OperationalError, connection, transaction
from django.test.utils import CaptureQueriesContext

from triage.domain.access import Actor
from triage.domain.audit import recording
from triage.domain.errors import Invalid, NotAllowed, NotFound, Stale
from triage.domain.estate import criticality_of, environment_of
from triage.domain.ingest.identity import asset_key, prefix
from triage.domain.ownership.assigning import assign, release, team_named
from triage.domain.ownership.chain import RULES_LOCK, AccountFacts, Chain, account_facts
from triage.domain.ownership.explaining import explain
from triage.domain.ownership.names import TeamFacts
from triage.domain.ownership.resolving import resolve_all
from triage.domain.ownership.steps import digest, from_json, to_json
from triage.domain.ownership.surveying import preview
from triage.domain.ownership.trails import trail_ids
from triage.domain.ownership.unowned import unowned
from triage.models import (
    Account,
    Asset,
    AssetTags,
    Check,
    Event,
    Finding,
    OwnerRule,
    OwnerTrail,
    TagSet,
    Team,
)

AT = datetime(2026, 11, 2, 9, tzinfo=UTC)
LATER = AT + timedelta(days=7)
ADMIN = Actor(name="os:0", door="cli", roles=frozenset({"administrator"}))
VIEWER = Actor(name="user:7", door="page", roles=frozenset({"viewer"}))
TEAMS = (
    TeamFacts(1, "payments", "Paiements", "payments@example.com", ("billing", "pay@example.com")),
    TeamFacts(2, "web", "Web", "", ("frontend",), (("alice@example.com", False), ("bob@example.com", True))),
    TeamFacts(3, "data-platform", "Data Platform", "", (), (("bob@example.com", False), ("carl@example.com", False))),
    TeamFacts(4, "ml", "Machine learning", "", (), (("carl@example.com", False),)),
)
ACCOUNT = AccountFacts(1, "aws", "123456789012")


def rule(kind, name="", **params):
    return OwnerRule(kind=kind, name=name or kind, params=params)


def owner(*tags, rules=None, account=ACCOUNT, **what):
    return Chain(rules, TEAMS).resolve(account=account, tags=tags, **what).team_id


def steps(*tags, rules=None, account=ACCOUNT, **what):
    answer = Chain(rules, TEAMS).resolve(account=account, tags=tags, **what)
    return [(step.kind, step.result.value, str(step.why)) for step in answer.steps]


# --- tags ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "key",
    [
        "owner",
        "Owner",
        "OWNER",
        "team",
        "Team",
        "squad",
        "Équipe",
        "equipe",
        "CostCenter:owner",
        "acme/team",
        "owned_by",
        "Owner-Team",
    ],
)
def test_an_owner_tag_is_read_in_any_spelling(key):
    assert owner((key, "payments")) == 1


@pytest.mark.parametrize(
    ("value", "team"),
    [
        ("payments", 1), ("Payments ", 1), ("PAIEMENTS", 1), ("billing", 1), ("payments@example.com", 1), ("PAYMENTS@elsewhere.org", 1),
        ("pay@example.com", 1), ("payments+aws@example.com", 1), ("mailto:payments@example.com", 1), ("@payments", 1),
        ("team-payments", 1), ("Équipe Paiements", 1), ("payments team", 1),
        ("alice@example.com", 2), ("Alice Martin <alice@example.com>", 2), ("web@example.com", 2), ("frontend@example.com", 2),
        ("data_platform", 3), ("Data platform", 3), ("dataplatform@example.com", 3), ("machine-learning", 4),
        ("bob@example.com", 2),  # leads web, is a member of data-platform
        ("carl@example.com", None),  # a member of two teams alike
        ("nobody", None), ("nobody@example.com", None), ("", None), ("   ", None), ("-", None),
    ],
)  # fmt: skip
def test_a_value_means_a_team(value, team):
    assert owner(("owner", value)) == team


@pytest.mark.parametrize(
    "value",
    ["foo, web", "web, payments", "web; payments", "web & ml", "web/payments", "foo and web", "x@y.org, alice@example.com"],
)
def test_of_several_teams_the_first_that_is_known_owns(value):
    assert owner(("owner", value)) == 2
    assert "is the first that is a team here: web" in steps(("owner", value))[0][2]


def test_an_unknown_address_is_not_taken_apart():
    assert owner(("owner", "foo+web@example.com")) is None


def test_a_kms_key_names_its_owner_in_a_pair():
    assert owner(("TagKey", "env"), ("TagValue", "prod"), ("TagKey", "Owner"), ("TagValue", "web")) == 2
    assert owner(("TagKey", "team"), ("TagValue", "payments")) == 1


def test_the_whole_key_counts_before_its_last_segment():
    assert owner(("CostCenter:owner", "payments"), ("owner", "web")) == 2


def test_an_unknown_value_is_said_and_the_chain_goes_on():
    assert steps(("Owner", "foo"), ("team", "web")) == [
        ("tag", "no team", "The tag “Owner” says “foo”, which is not a team here. Add it to a team as an alias."),
        ("tag", "matched", "The tag “team” says “web”: the team web."),
        ("account", "skipped", "An earlier step found the owner."),
        ("account_tag", "skipped", "An earlier step found the owner."),
    ]


def test_a_value_that_may_mean_several_teams_is_said():
    assert steps(("owner", "carl@example.com"))[0] == (
        "tag", "no team", "The tag “owner” says “carl@example.com”, which may mean several teams: data-platform, ml.",
    )  # fmt: skip


def test_a_hostile_value_is_neither_stored_whole_nor_stored_raw():
    why = steps(("owner", "x\x00\x1b[31m\ud800" + "a" * 1_000_000))[0][2]

    assert len(why) < 300
    assert why.isprintable()


def test_thousands_of_owner_tags_do_not_make_thousands_of_steps():
    assert len(steps(*[("owner", f"nobody{n}") for n in range(5000)])) < 20


# --- the other steps ----------------------------------------------------------------------------------------------------------


def test_without_a_tag_the_account_decides_and_then_its_tags():
    held = AccountFacts(1, "aws", "1", team_id=3)
    tagged = AccountFacts(2, "aws", "2", tags=(("Owner", "ml"),))

    assert owner(("env", "prod"), account=held) == 3
    assert owner(("env", "prod"), account=tagged) == 4
    assert owner(("owner", "web"), account=held) == 2
    assert owner(("env", "prod")) is None


def test_an_account_of_an_archived_team_says_so():
    gone = AccountFacts(1, "aws", "1", team_id=99)

    assert ("account", "no team", "The account belongs to a team that is archived.") in steps(account=gone)


CODEOWNERS = rule(
    "path", repository="acme/*",
    patterns=[
        {"pattern": "*", "team": "web"},
        {"pattern": "/infra/", "team": "data-platform"},
        {"pattern": "*.tf", "team": "@acme/ml"},
        {"pattern": "/infra/legacy/*", "team": ""},
        {"pattern": "docs/**/api.md", "team": "unknown"},
    ],
)  # fmt: skip
REPOSITORY = AccountFacts(5, "code", "acme/shop")


@pytest.mark.parametrize(
    ("path", "team"),
    [
        ("src/app.py", 2), ("infra/net/vpc.yaml", 3), ("infra/net/vpc.tf", 4), ("infra/legacy/x", None), ("infra/legacy/deep/x", 3),
        ("docs/a/b/api.md", None), ("docs/api.md", None),
    ],
)  # fmt: skip
def test_paths_follow_codeowners_the_last_pattern_wins(path, team):
    assert owner(rules=[CODEOWNERS], account=REPOSITORY, asset=path, path=path) == team


@pytest.mark.parametrize(
    ("pattern", "path", "fits"),
    [
        ("*", "a/b.c", True), ("*.js", "x/y.js", True), ("*.js", "y.jsx", False), ("/build/logs/", "build/logs/a/b", True),
        ("/build/logs/", "x/build/logs/a", False), ("docs/*", "docs/a.md", True), ("docs/*", "docs/b/a.md", False), ("docs/*", "x/docs/a.md", False),
        ("apps/", "x/apps/a", True), ("apps/", "apps", False), ("**/logs", "a/b/logs/x", True), ("**/logs", "logs", True),
        ("/apps/github", "apps/github/x", True), ("/scripts/**/x", "scripts/x", True), ("/scripts/**/x", "scripts/a/b/x", True),
        ("infra/**", "infra/a/b", True), ("infra/**", "infra", False), ("Makefile", "a/Makefile", True), ("/Makefile", "a/Makefile", False),
        ("a?c", "abc", True), ("a?c", "a/c", False), (r"\#x", "#x", True), ("/*", "x", True), ("/*", "x/y", False), ("a[b]", "a[b]", True),
    ],
)  # fmt: skip
def test_a_codeowners_pattern_fits_what_github_says(pattern, path, fits):
    rules = [rule("path", patterns=[{"pattern": pattern, "team": "web"}])]

    assert (owner(rules=rules, account=REPOSITORY, path=path) == 2) is fits


def test_a_path_rule_passes_over_what_is_no_code_or_another_repository():
    elsewhere = AccountFacts(6, "code", "other/shop")

    assert steps(rules=[CODEOWNERS], path="") == [("path", "skipped", "It has no path in a repository.")]
    assert steps(rules=[CODEOWNERS], account=elsewhere, path="a.py") == [
        ("path", "skipped", "It is not in the repository acme/*.")
    ]


def test_identifiers_are_matched_by_pattern_the_first_wins():
    rules = [
        rule(
            "pattern",
            patterns=[{"pattern": "arn:aws:s3:::pay-*", "team": "payments"}, {"pattern": "arn:aws:s3:::*", "team": "web"}],
        )
    ]

    assert owner(rules=rules, asset="arn:aws:s3:::pay-logs") == 1
    assert owner(rules=rules, asset="arn:aws:s3:::PAY-logs") == 1
    assert owner(rules=rules, asset="arn:aws:s3:::site") == 2
    assert owner(rules=rules, asset="arn:aws:sqs:::site") is None


def test_what_nobody_else_owns_falls_to_the_last_rule():
    rules = [rule("tag", keys=["service-owner"]), rule("fallback", team="ml")]

    assert owner(("owner", "web"), rules=rules) == 4
    assert owner(("Service Owner", "web"), rules=rules) == 2


def test_rules_that_are_all_switched_off_are_not_the_default_chain():
    assert Chain([], TEAMS).resolve(account=ACCOUNT, tags=(("owner", "web"),)).steps == ()


# --- what an answer depends on ------------------------------------------------------------------------------------------------


def test_the_key_of_an_answer_holds_no_more_than_the_rules_read():
    chain = Chain(None, TEAMS)

    def key(*tags, **what):
        return chain.key(account=ACCOUNT, tags=tags, **what)

    assert not chain.reads_asset
    assert not chain.reads_path
    assert key(("owner", "web"), ("Name", "a"), asset="x", path="p") == key(("Name", "b"), ("owner", "web"), asset="y", path="q")
    assert key(("owner", "web")) != key(("owner", "ml"))
    assert key(("owner", "web")) != chain.key(account=REPOSITORY, tags=(("owner", "web"),))


def test_the_key_of_an_answer_holds_path_and_identifier_when_rules_read_them():
    by_path = Chain([CODEOWNERS], TEAMS)
    by_asset = Chain([rule("pattern", patterns=[{"pattern": "a*", "team": "web"}])], TEAMS)

    assert by_path.reads_path
    assert by_path.key(account=REPOSITORY, tags=(), path="a") != by_path.key(account=REPOSITORY, tags=(), path="a.tf")
    assert by_path.key(account=REPOSITORY, tags=(), path="a") == by_path.key(account=REPOSITORY, tags=(), path="b")
    assert by_asset.reads_asset
    assert by_asset.key(account=ACCOUNT, tags=(), asset="a") != by_asset.key(account=ACCOUNT, tags=(), asset="b")
    assert by_asset.key(account=ACCOUNT, tags=(), asset="b") == by_asset.key(
        account=REPOSITORY, tags=(("owner", "web"),), asset="c"
    )


def test_equal_answers_are_one_object_and_one_digest():
    chain = Chain(None, TEAMS)
    other = AccountFacts(9, "aws", "9", team_id=4)

    first = chain.resolve(account=ACCOUNT, tags=(("owner", "web"), ("Name", "a")))
    second = chain.resolve(account=other, tags=(("owner", "web"), ("Name", "b")))

    assert first is second
    assert digest(first.steps, first.team_id) == first.digest
    assert digest(first.steps, None) != first.digest


def test_remembered_answers_are_the_ones_that_a_fresh_chain_gives():
    rng = random.Random(1)
    rules = [
        rule("path", patterns=[{"pattern": "*.tf", "team": "ml"}]),
        rule("tag"),
        rule("account"),
        rule("pattern", patterns=[{"pattern": "a*", "team": "web"}]),
    ]
    chain = Chain(rules, TEAMS)
    accounts = [AccountFacts(n, "aws", str(n), team_id=rng.choice([None, 1, 99])) for n in range(3)]
    for _ in range(2000):
        what = {
            "account": rng.choice(accounts), "tags": rng.choice([(), (("owner", "web"),), (("owner", "foo"),), (("team", "ml"), ("x", "y"))]),
            "asset": rng.choice(["a1", "b1"]), "path": rng.choice(["", "x.tf", "y.py"]),
        }  # fmt: skip
        assert chain.resolve(**what) == Chain(rules, TEAMS).resolve(**what)


def test_steps_survive_storage():
    answer = Chain(None, TEAMS).resolve(account=ACCOUNT, tags=(("owner", "foo"),))

    assert from_json(to_json(answer.steps)) == answer.steps


# --- the estate ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def teams(db):
    return {slug: Team.objects.create(slug=slug, name=slug.title()) for slug in ("payments", "web", "ml")}


@pytest.fixture
def account(db):
    return Account.objects.create(provider="aws", uid="123456789012", name="shop", created_at=AT)


@pytest.fixture
def check(db):
    return Check.objects.create(scanner="prowler", key="s3_public", title="Public", severity=4, digest=b"c" * 16, updated_at=AT)


def tag_set(tags):
    digest = blake2b(repr(tags).encode(), digest_size=16).digest()
    return TagSet.objects.get_or_create(digest=digest, defaults={"tags": [list(pair) for pair in tags], "folded": {}})[0]


def make_asset(account, uid, *tags, at=AT):
    """As an import would store it."""
    answer = Chain.load().resolve(
        account=account_facts(account), tags=tags, asset=uid, path=uid if account.provider == "code" else ""
    )
    return Asset.objects.create(
        key=asset_key(prefix(account.provider, account.uid), uid), account=account, uid=uid, name=uid.rpartition(":")[2],
        tag_set=tag_set(tags), tags_since=at, team_id=answer.team_id, trail_id=trail_ids([answer])[answer.digest], first_seen=at,
        environment=environment_of(tags, account.environment), criticality=criticality_of(tags, account.criticality),
    )  # fmt: skip


def make_finding(asset, check, *, severity=4, score=50, at=AT):
    with recording(actor="worker", at=at, door="task"):
        return Finding.objects.create(
            identity=blake2b(f"{asset.uid}{check.pk}".encode(), digest_size=16).digest(), check_ref=check, asset=asset,
            account=asset.account, severity=severity, scanner_severity=severity, score=score, team_id=asset.team_id, trail_id=asset.trail_id,
            environment=asset.environment, first_seen=at, last_seen=at, clock_from=at, changed_at=at,
        )  # fmt: skip


def test_a_new_rule_moves_assets_and_the_findings_that_no_hand_holds(teams, account, check):
    loose, held = (make_asset(account, f"arn:aws:s3:::{name}") for name in ("loose", "held"))
    follows, pinned = make_finding(loose, check), make_finding(held, check)
    assign(finding=pinned.pk, team=teams["ml"], actor=ADMIN, at=AT)
    OwnerRule.objects.create(position=1, kind="fallback", name="Everything else", params={"team": "web"})

    summary = resolve_all(actor=ADMIN, at=LATER)

    follows.refresh_from_db()
    pinned.refresh_from_db()
    assert (summary.assets, summary.moved, summary.findings) == (2, 2, 1)
    assert (follows.team, pinned.team, pinned.asset.team) == (teams["web"], teams["ml"], teams["web"])
    assert OwnerTrail.objects.get(pk=follows.trail_id).steps[0]["result"] == "matched"
    event = Event.objects.get(subject="finding", subject_id=follows.pk, kind="owner")
    assert (event.actor, event.at, event.after["team_id"]) == ("os:0", LATER, teams["web"].pk)
    assert event.reason == "the owner rules were applied to the whole estate"


def test_asking_the_estate_twice_writes_once(teams, account, check):
    make_finding(make_asset(account, "arn:aws:s3:::a"), check)
    OwnerRule.objects.create(position=1, kind="fallback", name="Rest", params={"team": "web"})
    resolve_all(actor=ADMIN, at=AT)
    events, history = Event.objects.count(), AssetTags.objects.count()

    again = resolve_all(actor=ADMIN, at=LATER)

    assert (again.moved, again.explained, again.findings) == (0, 0, 0)
    assert (Event.objects.count(), AssetTags.objects.count()) == (events, history)


def test_a_rule_that_decides_nothing_new_writes_nothing(teams, account, check):
    make_finding(make_asset(account, "arn:aws:s3:::a", ("owner", "web")), check)
    OwnerRule.objects.create(
        position=1, kind="pattern", name="Odd ones", params={"patterns": [{"pattern": "arn:aws:sqs:*", "team": "ml"}]}
    )
    OwnerRule.objects.create(position=2, kind="tag", name="Owner tag of the asset")

    summary = resolve_all(actor=ADMIN, at=LATER)

    assert (summary.assets, summary.moved, summary.explained, summary.findings) == (1, 0, 0, 0)


def test_pattern_rules_are_asked_asset_by_asset(teams, account):
    pay, site = make_asset(account, "arn:aws:s3:::pay-1"), make_asset(account, "arn:aws:s3:::site")
    OwnerRule.objects.create(
        position=1, kind="pattern", name="Buckets", params={"patterns": [{"pattern": "*pay-*", "team": "payments"}]}
    )

    resolve_all(actor=ADMIN, at=LATER)

    pay.refresh_from_db()
    site.refresh_from_db()
    assert (pay.team, site.team) == (teams["payments"], None)


def test_files_are_owned_by_their_path(teams, check):
    repository = Account.objects.create(provider="code", uid="acme/shop", created_at=AT)
    infra, app = make_asset(repository, "infra/main.tf"), make_asset(repository, "src/app.py")
    finding = make_finding(infra, check)
    OwnerRule.objects.create(
        position=1, kind="path", name="CODEOWNERS", params={"patterns": [{"pattern": "/infra/", "team": "ml"}]}
    )

    resolve_all(actor=ADMIN, at=LATER)

    finding.refresh_from_db()
    app.refresh_from_db()
    assert (finding.team, app.team) == (teams["ml"], None)


def test_an_account_that_becomes_production_changes_its_findings_and_their_score(account, check):
    quiet, tagged = make_asset(account, "arn:aws:s3:::quiet"), make_asset(account, "arn:aws:s3:::tagged", ("env", "dev"))
    finding, other = make_finding(quiet, check), make_finding(tagged, check, score=60)
    Account.objects.filter(pk=account.pk).update(environment="prod", criticality=4)

    summary = resolve_all(actor=ADMIN, at=LATER)

    finding.refresh_from_db()
    other.refresh_from_db()
    assert summary.rejudged == 2
    assert (finding.environment, other.environment) == ("prod", "dev")
    assert (finding.score, other.score) == (60 + 8 + 8, 60 + 0 + 8)


def test_a_dry_run_says_who_would_get_what_and_writes_nothing(teams, account, check):
    for n in range(3):
        make_asset(account, f"arn:aws:s3:::{n}")
    make_asset(account, "arn:aws:s3:::mine", ("owner", "payments"))
    before = Event.objects.count()

    diff = preview(actor=ADMIN, rules=[rule("tag"), rule("fallback", team="ml")])

    assert (diff.assets, diff.changed) == (4, 3)
    assert [(move.before, move.after, move.assets) for move in diff.moves] == [(None, "ml", 3)]
    assert set(diff.moves[0].samples) <= {f"arn:aws:s3:::{n}" for n in range(3)}
    assert preview(actor=ADMIN).moves == ()
    assert Event.objects.count() == before
    assert OwnerRule.objects.count() == 0


@pytest.mark.parametrize("more", [{}, {"patterns": [{"pattern": "arn:*", "team": "ml"}]}])
def test_a_dry_run_counts_the_findings_that_would_follow_the_worst_first(teams, account, check, more):
    for n in range(4):
        follows = make_finding(make_asset(account, f"arn:aws:s3:::{n}"), check, score=n)
    assign(finding=follows.pk, team=None, actor=ADMIN, at=AT)
    make_finding(make_asset(account, "arn:aws:s3:::mine", ("owner", "payments")), check)
    rules = [rule("tag"), rule("pattern", **more) if more else rule("fallback", team="ml")]

    [move] = preview(actor=ADMIN, rules=rules, findings=True).moves

    assert (move.before, move.after, move.assets, move.findings) == (None, "ml", 4, 3)
    assert [each.score for each in move.worst] == [2, 1, 0]
    assert preview(actor=ADMIN, rules=rules).findings == 0


@pytest.mark.parametrize("assets", [3, 30])
def test_statements_do_not_grow_with_the_estate(teams, account, check, assets):
    for n in range(assets):
        make_finding(make_asset(account, f"arn:aws:s3:::{n}"), check)
    OwnerRule.objects.create(position=1, kind="fallback", name="Rest", params={"team": "web"})

    with CaptureQueriesContext(connection) as queries:
        resolve_all(actor=ADMIN, at=LATER)

    assert Finding.objects.filter(team=teams["web"]).count() == assets
    assert len(queries) < 40


def test_rules_are_not_applied_beside_an_import_that_read_older_ones(teams, account):
    make_asset(account, "arn:aws:s3:::a")
    importing = connection.copy()
    try:
        with importing.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute("SELECT pg_advisory_xact_lock_shared(%s)", [RULES_LOCK])
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = '100ms'")
        with pytest.raises(OperationalError, match="lock timeout"), transaction.atomic():
            resolve_all(actor=ADMIN, at=LATER)
        Chain.load(hold=True)  # another import is not in the way
    finally:
        importing.close()
    resolve_all(actor=ADMIN, at=LATER)


def test_only_who_may_configure_resolves_the_estate(db):
    with pytest.raises(NotAllowed):
        resolve_all(actor=VIEWER, at=AT)
    with pytest.raises(NotAllowed):
        preview(actor=VIEWER)


def test_an_archived_team_owns_nothing_any_more(teams, account):
    asset = make_asset(account, "arn:aws:s3:::a", ("owner", "web"))
    Team.objects.filter(slug="web").update(archived_at=AT)

    resolve_all(actor=ADMIN, at=LATER)

    asset.refresh_from_db()
    assert asset.team is None


# --- by hand ------------------------------------------------------------------------------------------------------------------


def test_a_hand_assignment_holds_until_it_is_released(teams, account, check):
    finding = make_finding(make_asset(account, "arn:aws:s3:::a", ("owner", "web")), check)

    assigned = assign(finding=finding.pk, team=teams["ml"], actor=ADMIN, at=AT, reason="on loan")
    resolve_all(actor=ADMIN, at=LATER)
    kept = Finding.objects.get(pk=finding.pk)
    released = release(finding=finding.pk, actor=ADMIN, at=LATER)

    assert (assigned.team, assigned.pinned) == (teams["ml"], True)
    assert (kept.team, kept.version) == (teams["ml"], assigned.version)
    assert (released.team, released.pinned) == (teams["web"], False)
    assert list(Event.objects.filter(subject="finding", kind="owner").order_by("seq").values_list("reason", flat=True)) == [
        "on loan",
        "",
    ]


def test_assigning_what_is_assigned_writes_nothing(teams, account, check):
    finding = make_finding(make_asset(account, "arn:aws:s3:::a"), check)
    first = assign(finding=finding.pk, team=teams["ml"], actor=ADMIN, at=AT)

    assert assign(finding=finding.pk, team=teams["ml"], actor=ADMIN, at=LATER).version == first.version


def test_assigning_over_somebody_elses_change_is_refused(teams, account, check):
    finding = make_finding(make_asset(account, "arn:aws:s3:::a"), check)
    assign(finding=finding.pk, team=teams["ml"], actor=ADMIN, at=AT)

    with pytest.raises(Stale):
        assign(finding=finding.pk, team=teams["web"], actor=ADMIN, at=LATER, version=finding.version)

    assert Finding.objects.get(pk=finding.pk).team == teams["ml"]


def test_who_may_not_triage_does_not_assign(teams, account, check):
    finding = make_finding(make_asset(account, "arn:aws:s3:::a"), check)
    contributor = Actor(name="user:3", door="page", roles=frozenset({"contributor"}), teams=frozenset({teams["ml"].pk}))

    for actor in (VIEWER, contributor):
        with pytest.raises(NotAllowed):
            assign(finding=finding.pk, team=teams["ml"], actor=actor, at=AT)
    assert not Finding.objects.get(pk=finding.pk).pinned


def test_wrong_teams_and_findings_are_said(teams, account, check):
    finding = make_finding(make_asset(account, "arn:aws:s3:::a"), check)
    teams["web"].archived_at = AT

    with pytest.raises(Invalid, match="archived"):
        assign(finding=finding.pk, team=teams["web"], actor=ADMIN, at=AT)
    with pytest.raises(NotFound, match="no finding F-000999"):
        assign(finding=999, team=teams["ml"], actor=ADMIN, at=AT)
    with pytest.raises(Invalid, match="not assigned by hand"):
        release(finding=finding.pk, actor=ADMIN, at=AT)
    with pytest.raises(NotFound, match="Did you mean “payments”"):
        team_named("paymnts")


# --- explanations -------------------------------------------------------------------------------------------------------------


def test_an_asset_is_explained_as_it_was_stored(teams, account):
    make_asset(account, "arn:aws:s3:::a", ("Owner", "foo"), ("team", "web"))

    [told] = explain(name="arn:aws:s3:::a", actor=ADMIN)

    assert (told.team, told.stored, told.tags) == ("web", True, (("Owner", "foo"), ("team", "web")))
    assert [step.result.value for step in told.steps] == ["no team", "matched", "skipped", "skipped"]
    assert told.notes == ()


def test_an_explanation_says_when_the_rules_of_today_say_otherwise(teams, account):
    make_asset(account, "arn:aws:s3:::a")
    OwnerRule.objects.create(position=1, kind="fallback", name="Rest", params={"team": "ml"})

    [told] = explain(name="arn:aws:s3:::a", actor=ADMIN)

    assert told.team is None
    assert [str(note) for note in told.notes] == ["By the rules of today its owner would be ml. `cspm owner apply` makes it so."]


def test_who_owned_it_on_a_date_is_told_with_the_tags_of_that_date(teams, account):
    asset = make_asset(account, "arn:aws:s3:::a", ("owner", "web"))
    AssetTags.objects.create(
        asset=asset, tag_set=asset.tag_set, team=teams["web"], trail_id=asset.trail_id, since=AT, until=LATER
    )
    answer = Chain.load().resolve(account=account_facts(account), tags=(("owner", "ml"),))
    Asset.objects.filter(pk=asset.pk).update(
        tag_set=tag_set((("owner", "ml"),)), tags_since=LATER, team=teams["ml"], trail_id=trail_ids([answer])[answer.digest]
    )

    [then] = explain(name=asset.uid, actor=ADMIN, as_of=AT + timedelta(days=1))
    [now] = explain(name=asset.uid, actor=ADMIN, as_of=LATER)

    assert (then.team, then.tags, then.since) == ("web", (("owner", "web"),), AT)
    assert (now.team, now.tags) == ("ml", (("owner", "ml"),))
    with pytest.raises(NotFound, match="was not known on 2026-11-01; it was first seen on 2026-11-02"):
        explain(name=asset.uid, actor=ADMIN, as_of=AT - timedelta(days=1))


def test_who_owned_it_before_the_rules_changed_is_told(teams, account):
    asset = make_asset(account, "arn:aws:s3:::a")
    for position, (slug, at) in enumerate([("web", AT + timedelta(days=1)), ("ml", AT + timedelta(days=3))]):
        OwnerRule.objects.all().delete()
        OwnerRule.objects.create(position=position, kind="fallback", name="Rest", params={"team": slug})
        resolve_all(actor=ADMIN, at=at)

    owners = [explain(name=asset.uid, actor=ADMIN, as_of=AT + timedelta(days=day))[0].team for day in (0, 2, 4)]

    assert owners == [None, "web", "ml"]


def test_a_finding_is_explained_and_replayed_from_its_events(teams, account, check):
    finding = make_finding(make_asset(account, "arn:aws:s3:::a", ("owner", "web")), check)
    assign(finding=finding.pk, team=teams["ml"], actor=ADMIN, at=LATER, reason="on loan")

    [now] = explain(name=f"f-{finding.pk}", actor=ADMIN)
    [then] = explain(name=str(finding), actor=ADMIN, as_of=AT + timedelta(days=1))

    assert (now.team, now.steps[0].kind) == ("ml", "hand")
    assert [str(note) for note in now.notes] == ["Assigned by hand by os:0 on 2026-11-09: on loan"]
    assert (then.team, then.notes) == ("web", ())
    with pytest.raises(NotFound):
        explain(name=str(finding), actor=ADMIN, as_of=AT - timedelta(days=1))


def test_what_nobody_reported_yet_is_asked_live(teams, account):
    Account.objects.filter(pk=account.pk).update(team=teams["payments"])
    Account.objects.create(provider="code", uid="acme/shop", created_at=AT)
    OwnerRule.objects.create(position=1, kind="path", name="CODEOWNERS", params={"patterns": [{"pattern": "*.tf", "team": "ml"}]})
    OwnerRule.objects.create(position=2, kind="account", name="Account")

    [queue] = explain(name="arn:aws:sqs:eu-west-3:123456789012:orders", actor=ADMIN)
    [file] = explain(name="acme/shop:infra/main.tf", actor=ADMIN)

    assert (queue.team, queue.stored) == ("payments", False)
    assert (file.team, file.stored) == ("ml", False)
    with pytest.raises(NotFound, match="Nothing here is called"):
        explain(name="arn:aws:s3:::elsewhere", actor=ADMIN)


def test_a_name_that_several_assets_have_explains_each(teams, account):
    make_asset(account, "arn:aws:s3:::logs", ("owner", "web"))
    make_asset(account, "arn:aws:sqs:::logs", ("owner", "ml"))

    assert [told.team for told in explain(name="logs", actor=ADMIN)] == ["web", "ml"]


# --- nobody's -----------------------------------------------------------------------------------------------------------------


def test_the_unowned_are_ranked_by_what_is_gravest_with_the_tag_to_mend(teams, account, check):
    calm = Account.objects.create(provider="aws", uid="2", name="calm", created_at=AT)
    make_finding(make_asset(calm, "arn:aws:s3:::calm"), check, severity=2)
    for n in range(2):
        make_finding(make_asset(account, f"arn:aws:s3:::{n}", ("Owner", "foo")), check, severity=5, score=80 + n)
    make_finding(make_asset(account, "arn:aws:s3:::bare"), check, severity=3, score=10)
    make_finding(make_asset(account, "arn:aws:s3:::mine", ("owner", "web")), check, severity=5)

    first, second = unowned(actor=ADMIN)

    assert (first.account, first.findings, second.account) == (account, 3, calm)
    assert [(severity.label, n) for severity, n in first.by_severity] == [("Critical", 2), ("Medium", 1)]
    assert [(cause.findings, cause.tag) for cause in first.causes] == [(2, ("Owner", "foo")), (1, None)]
    assert "aliases" in str(first.causes[0].fix)
    assert [finding.score for finding in first.worst] == [81, 80, 10]


@pytest.mark.parametrize("accounts", [1, 5])
def test_the_unowned_take_a_number_of_statements(teams, check, django_assert_num_queries, accounts):
    for n in range(accounts):
        account = Account.objects.create(provider="aws", uid=str(n), created_at=AT)
        make_finding(make_asset(account, f"arn:aws:s3:::{n}"), check)

    with django_assert_num_queries(7):
        assert len(unowned(actor=ADMIN)) == accounts


# --- the workload -------------------------------------------------------------------------------------------------------------


def test_every_tag_that_names_a_team_finds_it():
    rng = random.Random("workload")
    slugs = ["payments", "identity", "data-platform", "mobile", "search", "web", "sre", "ml", "billing", "partners"]
    chain = Chain(None, [TeamFacts(n, slug, slug.title()) for n, slug in enumerate(slugs, 1)])
    for _ in range(1000):
        slug = rng.choice(slugs)
        tags = (
            (rng.choice(["owner", "Owner", "team", "Team", "CostCenter:owner"]), slug + rng.choice(["", "@example.com"])),
            ("env", "prod"),
        )
        assert chain.resolve(account=ACCOUNT, tags=tags).team_id == slugs.index(slug) + 1
