"""What a report says of findings and assets that are known, gathered while it is read; `settlement` writes it."""

from collections.abc import Callable
from dataclasses import dataclass, field

from triage.domain.ingest import known, records
from triage.domain.ingest.writing import Facts
from triage.ports import Observation

# Told of each observation: the finding's number, the change, the stage that matched it.
Sink = Callable[[Observation, int | None, str, str], None]


@dataclass(slots=True)
class Tally:
    """Rows by what they said, and what became of them as far as reading tells. `open`: fails, and has to be fixed."""

    fail: int = 0
    passed: int = 0
    manual: int = 0
    muted: int = 0
    new: int = 0
    open: int = 0
    unchanged: int = 0
    repeated: int = 0
    late: int = 0

    def count(self, verdict: int, count: int, *, muted: bool) -> None:
        """Rows by their verdict, as `records` codes it."""
        if verdict == records.FAILS:
            self.fail += count
        elif verdict == records.PASSES:
            self.passed += count
        else:
            self.manual += count
        if muted and verdict != records.PASSES:
            self.muted += count


@dataclass(slots=True, eq=False)
class Changes:
    """Numbers of known findings by what happened to them."""

    regressed: list[int] = field(default_factory=list)
    back: list[int] = field(default_factory=list)
    refuted: list[int] = field(default_factory=list)  # claimed to be fixed, and still failing
    judged: list[int] = field(default_factory=list)  # asked for a person's look before, fails by itself now
    sighted: list[int] = field(default_factory=list)
    severity: dict[int, int] = field(default_factory=dict)
    muted: dict[int, bool] = field(default_factory=dict)
    assets: dict[int, tuple[Facts, Observation, int]] = field(default_factory=dict)  # by the asset's number
    followers: list[int] = field(default_factory=list)  # opened by a row without tags: their asset knows whose they are
    aliases: list[tuple[int, str]] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)

    def fails_again(self, observation: Observation, held: int) -> str:
        """A known finding fails: nothing to write, in nearly all cases. The change in a word.

        `held`: number and state as `known.findings` packs them.
        """
        number, status = held >> known.ID_SHIFT, held & known.STATUS_MASK
        change = "open"
        if status == known.VERIFIED:
            self.regressed.append(number)
            change = "regressed"
        elif held & known.GONE_OR_UNREPORTED:
            self.back.append(number)
            change = "back"
        else:
            self.tally.unchanged += 1
            self.sighted.append(number)
        if status == known.FIX_CLAIMED:
            self.refuted.append(number)
        elif status in known.ASKED:
            self.judged.append(number)
        if held >> known.SEVERITY_SHIFT & 0b111 != observation.severity:
            self.severity[number] = observation.severity
        if bool(held & known.MUTED) is not observation.muted:
            self.muted[number] = observation.muted
        self.tally.open += status not in known.DECIDED
        return change
