"""Scores: what they are made of, the same in SQL and in Python; applications, and what is known of vulnerabilities."""

import gzip
import json
import random
from datetime import timedelta

import pytest

from tests.factories import AT, change, finding, person
from tests.reports import DAY, imported, prowler
from tests.reports import row as report_row
from triage.domain import lifecycle, risk, threat
from triage.domain.access import Actor, of_machine
from triage.domain.applications import Applications
from triage.domain.audit import recording
from triage.domain.configuration.applying import apply, export
from triage.domain.configuration.document import WrongConfiguration
from triage.domain.errors import Invalid, NotAllowed
from triage.models import Application, Asset, Check, Finding, Role, Vulnerability

ME = of_machine(0)
SHOP = """
applications:
  shop:
    name: La boutique
    stake: No orders while it is down
    criticality: vital
    data: payment
    frameworks: [pci]
    tags: ["app=shop", "app=shop-*"]
  back-office:
    tags: ["app=*"]
    accounts: ["aws:123456789012"]
sla:
  pci:
    targets:
      - {framework: pci, within: 5 hours}
"""


@pytest.mark.django_db
def test_sql_scores_as_python_does():
    chance = random.Random(7)
    apps = [
        Application.objects.create(slug=name or "none", name=name, data=name) for name in ("", "health", "payment", "internal")
    ]
    rows = []
    for number in range(40):
        row = finding(
            bucket=f"b{number}", check=chance.choice(["one", "two", "three"]), severity=chance.randint(1, 5), score=0,
            environment=chance.choice(["", "prod", "preprod", "dev", "test"]), regressions=chance.choice([0, 1, 9]),
            at=AT - timedelta(days=chance.choice([0, 29, 30, 89, 90, 180, 500])),
        )  # fmt: skip
        Asset.objects.filter(pk=row.asset_id).update(criticality=chance.randint(0, 4), application=chance.choice([None, *apps]))
        rows.append(row.pk)
    Check.objects.filter(key="two").update(exposes=True, threat=8)
    with recording(actor="os:0", at=AT, door="cli"):
        risk.rescore(rows, at=AT)
    for row in Finding.objects.select_related("asset__application", "check_ref"):
        application = row.asset.application
        facts = risk.Facts(
            row.severity, row.environment, row.check_ref.exposes, row.asset.criticality, application.data if application else "",
            row.check_ref.threat, row.regressions,
        )  # fmt: skip
        assert row.score == risk.score(facts, seen=row.first_seen, at=AT)
        assert row.score == sum(factor.points for factor in risk.factors(row, at=AT))


@pytest.mark.django_db
def test_what_grows_old_rises_by_itself_and_once():
    row = finding(severity=3, score=0)
    for day, points in ((29, 0), (30, 1), (31, 1), (90, 2), (181, 3)):
        with recording(actor="worker", at=AT + timedelta(days=day), door="task"):
            risk.rescore([row.pk], at=AT) if day == 29 else risk.grow_older(at=AT + timedelta(days=day))
        row.refresh_from_db()
        assert row.score == risk.SEVERITY[3] + 3 + points
    with recording(actor="worker", at=AT, door="task"):
        assert risk.grow_older(at=AT + timedelta(days=181)) == 0


@pytest.mark.django_db
def test_a_regression_raises_the_score():
    row = finding(severity=3)
    with recording(actor="worker", at=AT, door="task"):
        risk.rescore([row.pk], at=AT)
        lifecycle.settle([row.pk], at=AT, grade="proof")
        lifecycle.reopen([row.pk], at=AT)
    row.refresh_from_db()
    assert row.score == risk.SEVERITY[3] + 3 + risk.REGRESSION


@pytest.mark.django_db
def test_an_application_takes_in_its_assets_at_the_import_and_when_it_changes():
    apply(text=SHOP, actor=ME, at=DAY)
    rows = [
        report_row("one", "FAIL", severity="high", RESOURCE_TAGS="app=shop"),
        report_row("two", "FAIL", severity="high", RESOURCE_TAGS="App=Shop-API | criticality=low"),
        report_row("three", "FAIL", severity="high", RESOURCE_TAGS="app=crm"),
    ]
    assert imported(prowler(rows, DAY)).state == "done"
    one, two, three = (
        Finding.objects.select_related("asset__application").get(asset__name=name) for name in ("one", "two", "three")
    )
    assert [str(row.asset.application.slug) for row in (one, two, three)] == ["shop", "shop", "back-office"]
    assert (one.asset.criticality, two.asset.criticality, three.asset.criticality) == (4, 4, 0)
    assert one.due_at == two.due_at == one.first_seen + timedelta(hours=5)
    assert three.due_at == three.first_seen + timedelta(hours=168)
    expected = risk.SEVERITY[4] + 3 + 4 * risk.CRITICALITY + risk.DATA["payment"] + (risk.EXPOSED if one.check_ref.exposes else 0)
    assert one.score == expected

    # Its tag changes in the next report: due date and score follow, though nothing else changed.
    rows[0] = report_row("one", "FAIL", severity="high", RESOURCE_TAGS="app=crm")
    assert imported(prowler(rows, DAY + timedelta(days=1))).state == "done"
    one.refresh_from_db()
    assert (one.due_at, one.score) == (one.first_seen + timedelta(hours=168), three.score)

    # The application changes: the estate follows.
    apply(
        text="applications: {back-office: {criticality: high, data: health, frameworks: [PCI]}}",
        actor=ME,
        at=DAY + timedelta(days=2),
    )
    one.refresh_from_db()
    assert one.due_at == one.first_seen + timedelta(hours=5)
    assert one.score == three.score + 3 * risk.CRITICALITY + risk.DATA["health"]
    text = export(actor=ME)
    assert "stake: No orders while it is down" in text
    assert apply(text=text, actor=ME, at=DAY + timedelta(days=3)).changes == ()
    apply(text="applications: {shop: {}}", actor=ME, at=DAY + timedelta(days=4), prune=True)
    one.refresh_from_db()
    assert Asset.objects.get(pk=one.asset_id).application is None
    assert Application.objects.get(slug="back-office").archived_at is not None


def test_the_first_that_fits_counts():
    rows = [
        Application(pk=1, slug="a", tags=[["app", "x*"]]), Application(pk=2, slug="b", tags=[["team", "y"]], accounts=["aws:1"]),
    ]  # fmt: skip
    known = Applications(rows)
    assert known.of("aws", "2", (("team", "y"), ("App", "X1"))).slug == "a"
    assert known.of("aws", "1", ()).slug == "b"
    assert known.of("aws", "2", (("TagKey", "team"), ("TagValue", "y"))).slug == "b"
    assert known.of("aws", "2", (("app", "z"),)) is None


@pytest.mark.django_db
def test_what_is_wrong_in_the_file_is_said():
    wrong = "applications:\n  shop:\n    tags: [shop]\n    accounts: [aws]\n    data: secret\n"
    with pytest.raises(WrongConfiguration) as failure:
        apply(text=wrong, actor=ME, at=DAY)
    said = [str(problem.text) for problem in failure.value.problems]
    assert any("“shop” is not a tag" in text for text in said)
    assert any("“aws” is not an account" in text for text in said)
    assert len(said) == 3


@pytest.mark.django_db
def test_known_vulnerabilities_raise_what_is_open_and_what_comes_later():
    row = finding(check="CVE-2021-44228", severity=4)
    with recording(actor="worker", at=AT, door="task"):
        risk.rescore([row.pk], at=AT)
    kev = json.dumps({"vulnerabilities": [{"cveID": "CVE-2021-44228", "dateAdded": "2021-12-10"}]}).encode()
    epss = gzip.compress(
        b"#model_version:v1\ncve,epss,percentile\nCVE-2021-44228,0.97,0.99\nCVE-2020-1,0.2,0.5\nCVE-2020-0001,0.2,0.5\n"
    )
    before = Finding.objects.get().score

    assert threat.take_in(epss, actor=ME, at=AT) == 2
    assert Finding.objects.get().score == before + 8
    assert threat.take_in(kev, actor=ME, at=AT) == 1
    assert Finding.objects.get().score == before + threat.EXPLOITED
    assert Vulnerability.objects.get(cve="CVE-2021-44228").epss == 0.97
    assert threat.take_in(kev, actor=ME, at=AT) == 1
    row.refresh_from_db()
    assert [factor.points for factor in risk.factors(row, at=AT) if factor.name == "Known exploitation"] == [threat.EXPLOITED]

    scan = imported(prowler([report_row("b", "FAIL", severity="high", check="cve-2020-0001")], DAY))
    assert scan.state == "done"
    assert Check.objects.get(key="cve-2020-0001").threat == 4

    for wrong in (b"nothing", b"{}", b"\x1f\x8bbroken", b"cve,score\n1,2\n", b"\xff\xfe"):
        with pytest.raises(Invalid, match="neither an EPSS"):
            threat.take_in(wrong, actor=ME, at=AT)
    with pytest.raises(NotAllowed):
        threat.take_in(kev, actor=Actor(name="user:1", door="page", roles=frozenset({Role.TRIAGER})), at=AT)


@pytest.mark.django_db
def test_a_finding_says_what_its_score_is_made_of(client):
    client.force_login(person("vic@example.com", "viewer"))
    row = change(finding(), score=83)
    page = client.get(f"/findings/{row.pk}").content.decode()
    assert "Risk score" in page
    assert "the scanner" in page
