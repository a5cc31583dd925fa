"""What frameworks and their controls are called, and what follows from one for another."""

from datetime import timedelta

import pytest

from tests.reports import DAY, imported, prowler
from tests.reports import row as report_row
from triage.domain import check_catalogue, compliance, search
from triage.domain.compliance import titled
from triage.models import Check, Finding


@pytest.mark.parametrize(
    ("framework", "reference", "english", "french"),
    [
        ("SOC2", "cc_6_1", "Logical access to protected assets", "Accès logique aux actifs protégés"),
        ("ISO27001-2022", "A.8.24", "Use of cryptography", "Usage de la cryptographie"),
        ("HDS-2024", "A.8.24", "Use of cryptography", "Usage de la cryptographie"),
        ("HIPAA", "164_312_a_2_iv", "Encryption at rest", "Chiffrement au repos"),
        ("NIS2", "11.1.2.c", "Access control", "Contrôle d'accès"),
        ("NIS2", "1.1.1.a", "Security policy and roles", "Politique de sécurité et rôles"),
        ("GDPR", "article_32", "Security of processing", "Sécurité du traitement"),
        ("SecNumCloud-3.2", "10.1", "Cryptology", "Cryptologie"),
        ("CIS-3.0", "1.4", "", ""), ("ISO27001-2013", "A.9.2.A", "", ""), ("Made up", "1", "", ""),
    ],
)  # fmt: skip
def test_a_control_has_a_title_in_both_languages(framework, reference, english, french):
    assert titled(framework, reference, language="en").title == english
    assert titled(framework, reference, language="fr-fr").title == french


def test_each_title_is_a_pair_and_says_something():
    for name, framework in compliance._frameworks().items():
        assert framework["source"], name
        assert len(framework["name"]) == 2
        for reference, titles in framework["controls"].items():
            assert len(titles) == 2, (name, reference)
            assert all(isinstance(title, str) and title.strip() for title in titles), (name, reference)


def test_what_follows_from_an_iso_control_is_for_frameworks_of_which_the_scanner_is_silent():
    assert compliance.derived([("CIS-3.0", "1.4")]) == ()
    assert compliance.derived([("ISO27001-2022", "A.8.24"), ("SecNumCloud-3.1", "10.2"), ("GDPR", "article_25")]) == (
        ("HDS-2024", "A.8.24"), ("NIS2", "9"),
    )  # fmt: skip


def test_each_line_of_the_crosswalk_leads_from_a_titled_control_to_titled_ones():
    for reference, found in compliance._crosswalk().items():
        assert titled("ISO27001-2022", reference, language="en").title, reference
        assert found.keys() <= {"NIS2", "SecNumCloud-3.2", "GDPR"}
        for framework, references in found.items():
            assert all(titled(framework, each, language="fr").title for each in references), (reference, framework)


@pytest.mark.django_db
def test_a_check_serves_other_frameworks_by_its_iso_control():
    report = prowler([report_row("b", "FAIL", COMPLIANCE="ISO27001-2022: A.8.24 | CIS-3.0: 2.1.4")], DAY)
    assert imported(report).state == "done"
    said = {("ISO27001-2022", "A.8.24"), ("CIS-3.0", "2.1.4")}
    ours = {
        ("HDS-2024", "A.8.24"), ("NIS2", "9"), ("GDPR", "article_32"),
        ("SecNumCloud-3.2", "10.1"), ("SecNumCloud-3.2", "10.2"), ("SecNumCloud-3.2", "10.5"),
    }  # fmt: skip
    assert check_catalogue.controls_of(Check.objects.get().pk) == sorted(
        [(*pair, False) for pair in said] + [(*pair, True) for pair in ours]
    )
    for query in ("framework:HDS", 'control:"A.8.24" framework:hds', "framework:ISO27001-2022", "framework:NIS2 control:9"):
        assert list(search.findings(search.parse(query), at=DAY)) == [Finding.objects.get()]


@pytest.mark.django_db
def test_what_the_scanner_says_later_takes_the_place_of_our_reading():
    for day, said in enumerate(("", " | NIS2: 9.2.a | GDPR: article_32")):
        rows = [report_row("b", "FAIL", COMPLIANCE=f"ISO27001-2022: A.8.24{said}")]
        assert imported(prowler(rows, DAY + timedelta(days=day))).state == "done"
    served = check_catalogue.controls_of(Check.objects.get().pk)
    assert [found for found in served if found[0] in ("NIS2", "GDPR")] == [
        ("GDPR", "article_32", False), ("NIS2", "9.2.a", False),
    ]  # fmt: skip
