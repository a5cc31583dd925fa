"""What is shipped is right: each example can be read and says so in two languages, and the table in the guide is complete."""

import re
from pathlib import Path

from triage.domain.custom_checks.files import LANGUAGES, load
from triage.domain.custom_checks.kinds import kinds
from triage.domain.custom_checks.language import SAID

DOCS = Path(__file__).parents[4] / "docs"


def test_examples_can_be_read_and_speak_two_languages():
    checks = load(sorted((DOCS / "checks").glob("*.yaml")))
    assert len(checks) >= 10
    for check in checks:
        assert all(check.texts[language]["title"] for language in LANGUAGES), check.id
        assert check.texts["en"].keys() == check.texts["fr"].keys(), check.id
        assert "'" not in "".join(check.texts["fr"].values()), check.id


def test_the_guide_names_all_facts_and_no_others():
    guide = (DOCS / "custom-checks.md").read_text()
    told = {
        kind: re.findall(r"`(\w+)` \((\w+)\)", facts)
        for kind, facts in re.findall(r"^\| `(\w+)` \| (`.*) \|$", guide, re.MULTILINE)
        if "(" in facts
    }
    assert {kind: facts for kind, facts in told.items() if kind in kinds()} == {
        name: [(fact.name, fact.type.value) for fact in kind.facts] for name, kind in kinds().items()
    }


def test_the_guide_names_the_operators():
    guide = (DOCS / "custom-checks.md").read_text()
    assert not [words for words in SAID if f"`{words}`" not in guide]
