"""A finding of one's own check is verified as it was found: its asset is read again, and the condition is judged anew."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from pathlib import Path

from django.conf import settings
from django.utils.translation import gettext_noop as _

from triage.domain.custom_checks import files, truth
from triage.domain.custom_checks.collecting import SCANNER, judged
from triage.domain.custom_checks.files import CustomCheck, WrongChecks
from triage.domain.custom_checks.kinds import collector_of
from triage.ports import Judgement, Looked, Outcome, Target, Text, Verdict

NAME = "facts"  # of this verifier, where others have the names of their files

PASSES = _("The check passes now. %(facts)s")
FAILS = _("The check still fails. %(facts)s")
UNKNOWN = _("The check cannot judge, as something could not be read: %(facts)s.")
BROKEN = _("The check files cannot be used, so nobody can judge: %(problem)s")


def answers(scanner: str, check: str) -> bool:
    """Whether this is a check of one's own."""
    return scanner == SCANNER and check in standing()[0]


def might_answer(scanner: str) -> bool:
    """Whether it may be one, but the check files are broken: that is what to say then."""
    return scanner == SCANNER and standing()[1] is not None


def verify(targets: Sequence[Target], at: datetime, /) -> Iterator[Judgement]:
    """As a verifier does (`ports.Verifier`): targets of one account, of checks that `answers` knows."""
    checks, problem = standing()
    if problem is not None:
        for _target in targets:
            yield Judgement(Outcome.ERROR, Text(BROKEN, {"problem": str(problem)}))
        return
    asked = [(checks[target.check].kind, target) for target in targets]
    looked = collector_of(asked[0][0]).look(asked, at)
    for target, one in zip(targets, looked, strict=False):  # whoever asks notices that answers are missing
        yield _judged(checks[target.check], target, one, at)


def standing() -> tuple[Mapping[str, CustomCheck], Text | None]:
    """The checks by id, or why there are none. Read again when a file has changed: pages ask for each finding that they show."""
    paths = sorted(Path(settings.CHECKS_DIR).glob("*.y*ml"))
    return _read(tuple((path.name, path.stat().st_mtime_ns, path.stat().st_size) for path in paths if path.is_file()))


@lru_cache(maxsize=2)
def _read(_state: tuple[tuple[str, int, int], ...]) -> tuple[Mapping[str, CustomCheck], Text | None]:
    try:
        return {check.id: check for check in files.active()}, None
    except WrongChecks as wrong:
        return {}, wrong.text


def _judged(check: CustomCheck, target: Target, looked: Looked, at: datetime) -> Judgement:
    judgement = replace(looked.judgement, tools={**looked.judgement.tools, "check": f"{check.kind}: {check.written}"})
    if looked.collected is None:
        return judgement
    subject = truth.subject(looked.collected, target.account)
    verdict = judged(check, subject, at)
    if verdict is Verdict.UNKNOWN:
        names = truth.missing(check.condition, subject)
        lacking = [
            unread.missing for unread in looked.unread if unread.missing and {*unread.facts} & {_fact(name) for name in names}
        ]
        outcome = Outcome.DENIED if lacking else Outcome.ERROR
        said = Text(UNKNOWN, {"facts": ", ".join(names)})
        return replace(judgement, outcome=outcome, summary=said, missing=lacking[0] if lacking else "")
    outcome, sentence = (Outcome.FIXED, PASSES) if verdict is Verdict.PASS else (Outcome.FAILING, FAILS)
    return replace(judgement, outcome=outcome, summary=Text(sentence, {"facts": truth.said(check.condition, subject, at)}))


def _fact(name: str) -> str:
    """As a collector names it: of tags it reads all or none."""
    return "tags" if name.startswith("tag.") else name
