"""The configuration as a file: what is wrong is said with its line, applying twice changes nothing, export is the inverse."""

from datetime import UTC, datetime

import pytest
import yaml
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from triage.domain.access import Actor
from triage.domain.configuration.applying import apply, compare, export, rehearse
from triage.domain.configuration.document import WrongConfiguration
from triage.domain.errors import NotAllowed
from triage.domain.ownership.chain import Chain, account_facts
from triage.domain.ownership.trails import trail_ids
from triage.models import Account, Asset, Event, Member, OwnerRule, TagSet, Team

AT = datetime(2026, 11, 2, 9, tzinfo=UTC)
ADMIN = Actor(name="os:0", door="cli", roles=frozenset({"administrator"}))
FILE = """\
version: 1
teams:
  - slug: payments
    name: Payments
    email: Payments@Example.com
    aliases: [Paiements, pay@example.com]
    members:
      - alice@example.com
      - {email: bob@example.com, name: Bob, part: lead}
  - slug: data-platform
accounts:
  - provider: aws
    uid: 018134828551
    name: no
    environment: Production
    criticality: vital
    team: payments
  - {provider: aws, uid: 210000000002, in_scope: false, scope_reason: a sandbox}
owner_rules:
  - kind: tag
    keys: [owner, team]
  - kind: path
    repository: acme/*
    codeowners: |
      # everything
      *       @acme/payments
      /infra/ @acme/data-platform
  - kind: pattern
    name: Buckets
    patterns:
      - {pattern: "arn:aws:s3:::pay-*", team: payments}
  - kind: account
    enabled: no
  - {kind: fallback, team: data-platform}
"""


def problems(text, **options):
    with pytest.raises(WrongConfiguration) as raised:
        compare(text=text, actor=ADMIN, name="cspm.yaml", **options)
    return [str(problem.text) for problem in raised.value.problems]


def put(text, **options):
    return [(change.kind.value, change.section, change.key) for change in apply(text=text, actor=ADMIN, at=AT, **options).changes]


# --- applying -----------------------------------------------------------------------------------------------------------------


def test_a_file_is_applied_whole(db):
    put(FILE)

    payments = Team.objects.get(slug="payments")
    production, sandbox = Account.objects.order_by("uid")
    assert (payments.name, payments.email, payments.aliases) == (
        "Payments",
        "payments@example.com",
        ["paiements", "pay@example.com"],
    )
    assert list(payments.members.order_by("email").values_list("email", "name", "part")) == [
        ("alice@example.com", "", "member"), ("bob@example.com", "Bob", "lead"),
    ]  # fmt: skip
    assert Team.objects.get(slug="data-platform").name == "Data platform"
    assert (production.uid, production.name, production.environment, production.criticality) == ("018134828551", "no", "prod", 4)
    assert (production.team, production.in_scope) == (payments, True)
    assert (sandbox.in_scope, sandbox.scope_reason) == (False, "a sandbox")
    assert [(rule.kind, rule.enabled) for rule in OwnerRule.objects.all()] == [
        ("tag", True), ("path", True), ("pattern", True), ("account", False), ("fallback", True),
    ]  # fmt: skip


def test_applying_twice_changes_nothing_and_writes_no_event(db):
    put(FILE)
    events = Event.objects.count()

    again = apply(text=FILE, actor=ADMIN, at=AT)

    assert (again.changes, again.owners) == ((), None)
    assert Event.objects.count() == events


def test_each_change_is_an_event_of_its_own_and_nothing_else_is(db):
    put(FILE)
    before = Event.objects.count()

    put("teams:\n  - {slug: payments, name: Pay}\n  - slug: data-platform", reason="renamed")

    [event] = Event.objects.order_by("id")[before:]
    assert (event.subject, event.subject_id, event.kind) == ("team", Team.objects.get(slug="payments").pk, "changed")
    assert (event.before, event.after, event.reason, event.actor) == ({"name": "Payments"}, {"name": "Pay"}, "renamed", "os:0")


def test_events_know_people_by_number_only(db):
    put(FILE)
    put("teams: [{slug: payments, members: [bob@example.com, carl@example.com]}]")

    joined = Event.objects.filter(subject="team", kind="changed").get().after
    assert joined["joined"] == [Member.objects.get(email="carl@example.com").pk]
    assert "left" in joined
    assert "@example.com" not in str(list(Event.objects.filter(kind="changed").values_list("before", "after")))


def test_what_the_file_does_not_name_stays(db):
    put(FILE)
    Account.objects.filter(uid="018134828551").update(name="as the scanner says")

    assert put("accounts: [{provider: aws, uid: 018134828551, criticality: low}]") == [
        ("changed", "accounts", "aws:018134828551")
    ]

    account = Account.objects.get(uid="018134828551")
    assert (account.name, account.criticality, account.environment) == ("as the scanner says", 1, "prod")
    assert Team.objects.count() == 2
    assert OwnerRule.objects.count() == 5


def test_pruning_archives_teams_and_puts_accounts_out_of_scope(db):
    put(FILE)

    changes = put("teams: [{slug: payments}]\naccounts: [{provider: aws, uid: 210000000002}]", prune=True)

    assert changes == [("archived", "teams", "data-platform"), ("changed", "accounts", "aws:018134828551")]
    assert Team.objects.get(slug="data-platform").archived_at == AT
    gone = Account.objects.get(uid="018134828551")
    assert (gone.in_scope, gone.scope_reason) == (False, "not named in the configuration file")
    assert OwnerRule.objects.count() == 5  # the file has no such section


def test_a_team_that_is_named_again_is_restored(db):
    put(FILE)
    put("teams: [{slug: payments}]", prune=True)

    assert put("teams: [{slug: data-platform}]") == [("restored", "teams", "data-platform")]

    assert Team.objects.get(slug="data-platform").archived_at is None


def test_the_list_of_rules_is_the_whole_chain_and_rules_keep_their_number(db):
    put(FILE)
    buckets = OwnerRule.objects.get(name="Buckets").pk

    changes = put("owner_rules:\n- kind: pattern\n  name: Buckets\n  patterns: [{pattern: 'x*', team: payments}]\n- kind: tag")

    assert sorted(changes) == [
        ("changed", "owner_rules", "Buckets"), ("changed", "owner_rules", "Owner tag of the asset"),
        ("removed", "owner_rules", "Everything else"), ("removed", "owner_rules", "Path in the repository"),
        ("removed", "owner_rules", "Team of the account"),
    ]  # fmt: skip
    first, second = OwnerRule.objects.all()
    assert (first.pk, first.params["patterns"][0]["pattern"], second.kind, second.params) == (buckets, "x*", "tag", {})


def test_an_empty_list_of_rules_is_no_chain_and_no_list_is_no_word(db):
    put(FILE)

    assert put("owner_rules:") == []
    assert len(put("owner_rules: []")) == 5
    assert not OwnerRule.objects.exists()


def test_two_rules_may_have_one_name(db):
    text = "owner_rules:\n- {kind: account_tag}\n- {kind: account_tag, keys: [squad]}"

    assert [key for _kind, _section, key in put(text)] == ["Owner tag of the account", "Owner tag of the account (2)"]
    assert put(text) == []


def test_teams_may_be_written_as_a_mapping(db):
    put("teams:\n  web: {name: Web}\n  ml:\n")

    assert list(Team.objects.values_list("slug", "name")) == [("ml", "Ml"), ("web", "Web")]


def test_owners_follow_what_was_applied(db):
    account = Account.objects.create(provider="aws", uid="018134828551", created_at=AT)
    asset = make_asset(account, "arn:aws:s3:::site")

    rehearsed = rehearse(text=FILE, actor=ADMIN, at=AT)
    assert Team.objects.count() == 0
    applied = apply(text=FILE, actor=ADMIN, at=AT)

    asset.refresh_from_db()
    assert [(move.before, move.after, move.assets) for move in rehearsed.preview.moves] == [(None, "data-platform", 1)]
    assert (applied.owners.moved, asset.team.slug, asset.environment, asset.criticality) == (1, "data-platform", "prod", 4)


def make_asset(account, uid):
    answer = Chain.load().resolve(account=account_facts(account), tags=())
    tags, _made = TagSet.objects.get_or_create(digest=bytes(16), defaults={"tags": [], "folded": {}})
    return Asset.objects.create(
        key=uid.encode().ljust(16)[:16], account=account, uid=uid, tag_set=tags, tags_since=AT, first_seen=AT,
        team_id=answer.team_id, trail_id=trail_ids([answer])[answer.digest],
    )  # fmt: skip


def test_only_who_may_configure_sees_and_changes_it(db):
    triager = Actor(name="user:1", door="page", roles=frozenset({"triager"}))
    for verb in (
        lambda: compare(text=FILE, actor=triager),
        lambda: apply(text=FILE, actor=triager, at=AT),
        lambda: export(actor=triager),
    ):
        with pytest.raises(NotAllowed):
            verb()
    assert not Team.objects.exists()


@pytest.mark.parametrize("teams", [2, 60])
def test_statements_do_not_grow_with_the_file(db, teams):
    text = yaml.safe_dump(
        {
            "teams": [{"slug": f"t{n}", "members": [f"p{n}@example.com"]} for n in range(teams)],
            "accounts": [{"provider": "aws", "uid": f"{n:012}", "team": f"t{n}"} for n in range(teams)],
            "owner_rules": [{"kind": "account", "name": f"r{n}"} for n in range(teams)],
        }
    )

    with CaptureQueriesContext(connection) as queries:
        apply(text=text, actor=ADMIN, at=AT)

    assert Account.objects.filter(team__isnull=False).count() == teams
    assert len(queries) < 60


# --- the inverse --------------------------------------------------------------------------------------------------------------


def test_what_is_exported_changes_nothing_when_applied(db):
    put(FILE)
    OwnerRule.objects.filter(kind="fallback").update(position=90)

    text = export(actor=ADMIN)

    assert compare(text=text, actor=ADMIN, prune=True) == []
    assert "uid: '018134828551'" in text
    assert "codeowners: |" in text
    assert "data-platform" in text


def test_an_export_into_an_empty_installation_makes_the_same(db):
    with transaction.atomic():
        put(FILE)
        text = export(actor=ADMIN)
        transaction.set_rollback(True)
    assert not Account.objects.exists()

    put(text)

    assert export(actor=ADMIN) == text


def test_what_refers_to_an_archived_team_can_still_be_exported_and_applied(db):
    put(FILE)
    Team.objects.filter(slug="payments").update(archived_at=AT)

    assert compare(text=export(actor=ADMIN), actor=ADMIN) == []


words = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=30)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=st.lists(words, max_size=4), alias=words, note=words, pattern=words.filter(str.strip))
def test_whatever_people_write_survives_the_file(db, names, alias, note, pattern):
    params = {"patterns": [{"pattern": pattern.strip(), "team": ""}]}
    with transaction.atomic():
        for n, name in enumerate(names):
            Team.objects.create(slug=f"t{n}", name=name.strip() or "x", aliases=[f"{alias.strip()}{n}".casefold()])
            Account.objects.create(provider="aws", uid=f"{n:012}", name=name.strip(), scope_reason=note.strip(), created_at=AT)
        OwnerRule.objects.create(position=3, kind="pattern", name=note.strip() or "x", params=params)

        changes = compare(text=export(actor=ADMIN), actor=ADMIN, prune=True)
        transaction.set_rollback(True)

    assert changes == []


# --- what is wrong ------------------------------------------------------------------------------------------------------------


def test_all_that_is_wrong_is_said_at_once_with_its_line_and_what_was_meant(db):
    assert problems(
        """\
teams:
  - slug: Data Platform
    nam: x
  - slug: web
    members: [nobody, {email: a@b.fr, part: leed}]
  - slug: web
accounts:
  - provider: aws
    uid: 1
    team: wep
    in_scope: maybe
  - {uid: 2}
owner_rules:
  - kind: tags
  - kind: fallback
  - kind: account
    keys: [a]
  - kind: path
  - kind: pattern
    patterns: [{patern: x, team: [web]}]
rules: []
"""
    ) == [
        "Line 2: “Data Platform” cannot be a team's slug. Use small letters, digits and hyphens, such as data-platform.",
        "Line 3: teams has no key “nam”. Did you mean “name”?",
        "Line 5: teams.email is not an e-mail address: “nobody”.",
        "Line 5: teams.members.part cannot be “leed”. Did you mean “lead”?",
        "Line 6: the team “web” is here twice.",
        "Line 10: there is no team “wep”. Did you mean “web”?",
        "Line 11: accounts.in_scope should be true or false, and is “maybe”.",
        "Line 12: accounts has no “provider”.",
        "Line 14: owner_rules.kind cannot be “tags”. Did you mean “tag”?",
        "Line 15: owner_rules has no “team”.",
        "Line 17: a rule of the kind “account” has no “keys”.",
        "Line 18: the rule has neither “patterns” nor “codeowners”.",
        "Line 20: owner_rules.patterns has no key “patern”. Did you mean “pattern”?",
        "Line 20: owner_rules.patterns has no “pattern”.",
        "Line 20: owner_rules.team should be a text, and is […].",
        "Line 21: cspm.yaml has no key “rules”. Did you mean “owner_rules”?",
    ]
    assert not Team.objects.exists()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "Line 1: the file is empty. `cspm config export` writes one to begin with."),
        ("teams: [", "Line 2: this is not YAML"),
        ("teams: []\nteams: []", "Line 2: “teams” is here twice in cspm.yaml."),
        ("[1, 2]", "Line 1: cspm.yaml should be a mapping (key: value), and is […]."),
        ("teams: web", 'Line 1: teams should be a list, and is "web".'),
        ("version: 2", "Line 1: version cannot be “2”. It may be: 1."),
        ("a\0b: 1", "Line 1: this is not YAML"),
        ("--- {}\n--- {}", "Line 2: this is not YAML"),
        ("[" * 100_000, "Line 1: the file is nested too deeply."),
        ("!!python/object/apply:os.system [id]", "Line 1: cspm.yaml should be a mapping (key: value), and is […]."),
        ('teams:\n- {slug: web, name: "a\\0b"}', "Line 2: teams.name has a control character in it."),
        ("teams:\n- {slug: web, name: '" + "x" * 201 + "'}", "Line 2: teams.name is longer than 200 characters."),
        ("teams:\n- {slug: web, name: ''}", "Line 2: teams.name is empty."),
        ("accounts:\n- {provider: aws, uid: 1, in_scope: no}", "Line 2: the account aws:000000000001 is out of scope. Say why in “scope_reason”."),
        ("accounts:\n- {provider: aws, uid: 1}\n- {provider: AWS, uid: 1}", "Line 3: the account aws:000000000001 is here twice."),
        ("accounts:\n- {provider: aws, uid: 1, environment: blue}", "Line 2: accounts.environment cannot be “blue”. It may be: prod, preprod, dev, test."),
        ("teams:\n- {slug: web, aliases: [front]}\n- {slug: ml, aliases: [Front]}", "Line 3: “front” means the team web already."),
        ("teams:\n- {slug: web}\n- {slug: ml, aliases: [WEB]}", "Line 3: “web” means the team web already."),
    ],
)  # fmt: skip
def test_a_wrong_file_is_refused_with_a_sentence(db, text, problem):
    assert problems(text)[0].startswith(problem)


def test_an_alias_of_a_stored_team_is_taken(db):
    put(FILE)

    assert problems("teams: [{slug: web, aliases: [Paiements]}]") == ["Line 1: “paiements” means the team payments already."]


def test_a_team_that_is_about_to_be_archived_cannot_be_referred_to(db):
    put("teams: [{slug: web}, {slug: ml}]")

    assert problems("teams: [{slug: web}]\nowner_rules: [{kind: fallback, team: ml}]", prune=True) == [
        "Line 2: there is no team “ml”, neither in the file nor stored."
    ]


def test_a_wrong_section_leaves_the_right_ones_unapplied(db):
    with pytest.raises(WrongConfiguration):
        apply(text="teams: [{slug: web}]\nowner_rules: [{kind: fallback, team: wbe}]", actor=ADMIN, at=AT)

    assert not Team.objects.exists()
    assert not Event.objects.exists()
