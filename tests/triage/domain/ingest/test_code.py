"""Results in code from run to run: what moved is the same finding, what is missing from a whole run is fixed."""

import json
from datetime import timedelta

import pytest
from django.utils import timezone

from tests.reports import DAY, imported, received, sarif
from triage.domain import ingest
from triage.domain.ingest import code, merge
from triage.models import Asset, CodePlace, Event, Finding, OwnerRule, Status, Team

pytestmark = pytest.mark.django_db
NEXT = DAY + timedelta(days=1)
SHOP = "https://git.example/acme/shop"
EVAL = {"path": "src/a.py", "line": 10, "snippet": "x = eval(y)"}
SHELL = {"path": "src/b.py", "line": 3, "snippet": "run(cmd, shell=True)", "rule": "R2"}


def test_result_becomes_a_finding_at_its_place():
    scan = imported(sarif([EVAL, SHELL], repository=SHOP))

    place = CodePlace.objects.get(path="src/a.py")
    assert (scan.counts["new"], scan.scanner) == (2, "lint")
    assert (place.start_line, place.snippet, place.finding.status) == (10, "x = eval(y)", "open")
    assert sorted(Asset.objects.values_list("uid", flat=True)) == ["src/a.py", "src/b.py"]
    assert place.finding.account.provider == "code"


def test_shift_of_lines_is_the_same_finding_and_no_event():
    imported(sarif([EVAL, SHELL], repository=SHOP))

    scan = imported(sarif([{**EVAL, "line": 25}, SHELL], repository=SHOP, at=NEXT))

    assert (scan.counts["new"], scan.counts["unchanged"]) == (0, 2)
    assert CodePlace.objects.get(path="src/a.py").start_line == 25
    assert Event.objects.filter(subject="finding").count() == 2


def test_moved_file_takes_its_finding_along():
    imported(sarif([EVAL, SHELL], repository=SHOP))

    imported(sarif([{**EVAL, "path": "src/moved/a.py"}, SHELL], repository=SHOP, at=NEXT))

    finding = Finding.objects.get(place__path="src/moved/a.py")
    assert Finding.objects.count() == 2
    assert finding.asset.uid == "src/moved/a.py"


def test_absence_from_a_whole_run_is_a_fix_of_grade_absence():
    imported(sarif([EVAL, SHELL], repository=SHOP))

    scan = imported(sarif([SHELL], repository=SHOP, at=NEXT))

    finding = Finding.objects.get(place__path="src/a.py")
    assert scan.counts["fixed"] == 1
    assert (finding.status, finding.grade) == (Status.VERIFIED, "absence")


def test_fixed_result_that_comes_back_regresses():
    imported(sarif([EVAL, SHELL], repository=SHOP))
    imported(sarif([SHELL], repository=SHOP, at=NEXT))

    scan = imported(sarif([EVAL, SHELL], repository=SHOP, at=NEXT + timedelta(days=1)))

    assert scan.counts["regressed"] == 1
    assert Finding.objects.count() == 2


def test_run_that_failed_proves_nothing():
    imported(sarif([EVAL, SHELL], repository=SHOP))

    scan = imported(sarif([SHELL], repository=SHOP, at=NEXT, successful=False))

    assert scan.counts["fixed"] == 0
    assert len(scan.notes) == 1
    assert Finding.objects.filter(status=Status.OPEN).count() == 2


def test_run_of_nobody_knows_which_repository_proves_nothing_and_says_so():
    imported(sarif([EVAL, SHELL]))

    scan = imported(sarif([SHELL], at=NEXT))

    assert scan.counts["fixed"] == 0
    assert "which repository" in scan.notes[0]["message"]


def test_repository_can_be_declared():
    imported(sarif([EVAL, SHELL]), repository=SHOP)

    scan = imported(sarif([SHELL], at=NEXT), repository=SHOP)

    assert scan.counts["fixed"] == 1


def test_other_tool_branch_or_repository_is_another_stream():
    imported(sarif([EVAL, SHELL], repository=SHOP))

    imported(sarif([SHELL], repository="https://git.example/acme/site", at=NEXT))
    imported(sarif([SHELL], repository=SHOP, at=NEXT, tool="other"))

    assert Finding.objects.filter(status=Status.VERIFIED).count() == 0
    assert Finding.objects.count() == 4


def test_run_without_results_fixes_all_of_its_stream():
    imported(sarif([EVAL], repository=SHOP))

    scan = imported(sarif([], repository=SHOP, at=NEXT))

    assert scan.counts["fixed"] == 1


def test_late_run_is_history():
    imported(sarif([EVAL], repository=SHOP, at=NEXT))

    scan = imported(sarif([EVAL, SHELL], repository=SHOP, at=DAY))

    assert (scan.counts["late"], Finding.objects.count()) == (2, 1)


def test_owner_follows_from_the_path():
    web = Team.objects.create(slug="web", name="Web")
    OwnerRule.objects.create(position=1, kind="path", name="owners", params={"patterns": [{"pattern": "/src/", "team": "web"}]})

    imported(sarif([EVAL, {**SHELL, "path": "infra/x.tf"}], repository=SHOP))

    assert Finding.objects.get(place__path="src/a.py").team == web
    assert Finding.objects.get(place__path="infra/x.tf").team is None


def test_owner_follows_to_another_file():
    for slug in ("web", "infra"):
        Team.objects.create(slug=slug, name=slug)
    patterns = [{"pattern": "/src/", "team": "web"}, {"pattern": "/infra/", "team": "infra"}]
    OwnerRule.objects.create(position=1, kind="path", name="owners", params={"patterns": patterns})
    imported(sarif([EVAL, SHELL], repository=SHOP))

    imported(sarif([{**EVAL, "path": "infra/a.py"}, SHELL], repository=SHOP, at=NEXT))

    finding = Finding.objects.get(place__path="infra/a.py")
    assert finding.team.slug == "infra"
    assert Event.objects.get(kind="owner").subject_id == finding.pk


def test_matches_say_which_stage_found_each_result():
    imported(sarif([EVAL, SHELL], repository=SHOP))
    told = []

    scan = received(sarif([SHELL, {**EVAL, "line": 99}], repository=SHOP, at=NEXT))
    ingest.run(scan.pk, clock=timezone.now, matches=lambda *fate: told.append(fate))

    assert [(position, change) for position, _finding, change, _stage in told] == [((0, 0), "open"), ((0, 1), "open")]
    assert all(stage for *_rest, stage in told)


@pytest.mark.parametrize("whole", [2, 1_000])
def test_large_run_that_is_sifted_ends_like_one_that_is_matched_as_a_whole(monkeypatch, whole):
    monkeypatch.setattr(code, "WHOLE", whole)
    monkeypatch.setattr(merge, "CHUNK", 3)
    monkeypatch.setattr(merge, "FIRST_CHUNK", 3)
    results = [{"path": f"src/f{n % 4}.py", "line": 10 * n + 1, "snippet": f"x{n} = eval(y{n})"} for n in range(20)]
    imported(sarif(results, repository=SHOP))

    changed = [{**result, "line": result["line"] + 7} if n % 5 == 0 else result for n, result in enumerate(results) if n != 3]
    scan = imported(sarif([*changed, SHELL], repository=SHOP, at=NEXT))

    assert {name: scan.counts[name] for name in ("new", "unchanged", "fixed")} == {"new": 1, "unchanged": 19, "fixed": 1}
    assert Finding.objects.get(status=Status.VERIFIED).place.snippet == "x3 = eval(y3)"
    assert CodePlace.objects.get(snippet="x5 = eval(y5)").start_line == 58


def test_tools_that_take_turns_in_a_report_are_one_run_each():
    def report(at, *names):
        runs = [
            json.loads(sarif([{**EVAL, "path": f"{n}.py"}], repository=SHOP, at=at, tool=tool))["runs"][0]
            for n, tool in enumerate(names)
        ]
        return json.dumps({"version": "2.1.0", "$schema": "https://json.schemastore.org/sarif-2.1.0.json", "runs": runs}).encode()

    imported(report(DAY, "lint", "other", "lint"))
    scan = imported(report(NEXT, "lint", "other", "lint"))

    assert (scan.counts["fixed"], scan.counts["unchanged"]) == (0, 3)


def test_run_that_says_the_same_writes_nothing():
    place = {**EVAL, "line": 3}
    imported(sarif([place, SHELL], repository=SHOP))
    before = list(Finding.objects.order_by("pk").values()), list(CodePlace.objects.order_by("pk").values())

    imported(sarif([place, SHELL], repository=SHOP, at=NEXT))

    assert (list(Finding.objects.order_by("pk").values()), list(CodePlace.objects.order_by("pk").values())) == before
