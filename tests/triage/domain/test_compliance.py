"""What frameworks and their controls are called, and what follows from one for another."""

import pytest

from tests.reports import DAY, imported, prowler
from tests.reports import row as report_row
from triage.domain import compliance, search
from triage.domain.compliance import titled, with_derived
from triage.models import Control, Finding


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


@pytest.mark.django_db
def test_a_check_serves_hds_by_its_iso_control():
    assert with_derived([("CIS-3.0", "1.4")]) == (("CIS-3.0", "1.4"),)
    report = prowler([report_row("b", "FAIL", COMPLIANCE="ISO27001-2022: A.8.24 | CIS-3.0: 2.1.4")], DAY)
    assert imported(report).state == "done"
    assert set(Control.objects.values_list("framework", "reference")) == {
        ("ISO27001-2022", "A.8.24"), ("HDS-2024", "A.8.24"), ("CIS-3.0", "2.1.4"),
    }  # fmt: skip
    for query in ("framework:HDS", 'control:"A.8.24" framework:hds', "framework:ISO27001-2022"):
        assert list(search.findings(search.parse(query), at=DAY)) == [Finding.objects.get()]
