"""What each record of an account's last report said, by fingerprint: a record that says the same again is not even read.

Kept beside the scope of the newest scan: n fingerprints of 16 bytes, then n integers of 8 bytes, little-endian: the finding's number
<< 17 | region << 5 | tagged << 4 | clean << 3 | muted << 2 | verdict. Clean: the check passes and there is no finding; the number is
the asset's. Tagged: the record named tags.
Region: 0 for none, else the place in the scope's regions, from 1.
"""

import sys
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from django.db import connection

from triage.domain.ingest import known
from triage.ports import Verdict

PASSES, FAILS, ASKS = 0, 1, 2
CODES = {Verdict.PASS: PASSES, Verdict.FAIL: FAILS, Verdict.MANUAL: ASKS}
MUTED, CLEAN, TAGGED, REGION_SHIFT, NUMBER_SHIFT, VERDICT = 1 << 2, 1 << 3, 1 << 4, 5, 17, 0b11
REGIONS = 1 << NUMBER_SHIFT - REGION_SHIFT
_REGION = REGIONS - 1
ASSET_BITS = 40


@dataclass(slots=True)
class Records:
    """What the records of one account said in this report. `checks`: of each, to find those that `opened` is about.

    `places`: region to its number; those of the account's last scan come first, so that its values hold in this one.
    """

    prints: bytearray = field(default_factory=bytearray)
    values: "array[int]" = field(default_factory=lambda: array("q"))
    checks: "array[int]" = field(default_factory=lambda: array("q"))
    places: dict[str, int] = field(default_factory=lambda: {"": 0})
    _opened: dict[int, int] = field(default_factory=dict)  # finding by check and asset
    _again: list[tuple[int, int]] = field(default_factory=list)  # stretches of records that came again

    def begin(self, regions: Iterable[str]) -> None:
        """The regions as the account's last scan numbered them."""
        self.places = {region: place for place, region in enumerate(["", *regions])}

    def add(self, fingerprint: bytes, number: int, flags: int, *, check: int, region: str) -> None:
        """`number`: of the finding, of the asset where `flags` say clean. A region too many is not kept: its records are read."""
        place = self.places.get(region)
        if place is None:
            if len(self.places) >= REGIONS:
                return
            place = self.places[region] = len(self.places)
        self.prints += fingerprint
        self.values.append(number << NUMBER_SHIFT | place << REGION_SHIFT | flags)
        self.checks.append(check)

    def extend(self, fingerprints: bytes, values: list[int], checks: list[int]) -> None:
        """Records that came again as they were."""
        self._again.append((len(self.values), len(self.values) + len(values)))
        self.prints += fingerprints
        self.values.extend(values)
        self.checks.extend(checks)

    def regions(self, values: Iterable[int]) -> set[str]:
        """The regions of records that came again."""
        names = list(self.places)
        return {names[place] for place in {value >> REGION_SHIFT & _REGION for value in values}}

    def region(self, value: int) -> str:
        return list(self.places)[value >> REGION_SHIFT & _REGION]

    def still_tagged(self, assets: Mapping[int, int]) -> set[int]:
        """The assets of which a record with tags came again. `assets`: those asked for, by their own number negated and by the
        numbers of their findings.
        """
        found = set()
        for start, end in self._again:
            for value in self.values[start:end]:
                if value & TAGGED:
                    number = value >> NUMBER_SHIFT
                    asset = assets.get(-number if value & CLEAN else number)
                    if asset is not None:
                        found.add(asset)
        return found

    def opened(self, number: int, *, check: int, asset: int) -> None:
        """A finding was opened: a record of the same check and asset that passes is not clean, whichever came first."""
        self._opened[check << ASSET_BITS | asset] = number

    def packed(self, regions: Sequence[str]) -> bytes:
        """Fingerprints and values, as they are kept beside these regions; nothing where they are too many to be numbered."""
        if len(regions) >= REGIONS:
            return b""
        values = self.values
        if self._opened:
            for place, value in enumerate(values):
                if value & CLEAN:
                    number = self._opened.get(self.checks[place] << ASSET_BITS | value >> NUMBER_SHIFT)
                    if number is not None:
                        values[place] = number << NUMBER_SHIFT | value & ((1 << NUMBER_SHIFT) - 1) & ~CLEAN
        numbered = {region: place for place, region in enumerate(["", *regions])}
        moved = [numbered.get(region, 0) << REGION_SHIFT for region in self.places]
        if moved != [place << REGION_SHIFT for place in range(len(moved))]:
            other = ~(_REGION << REGION_SHIFT)
            values = array("q", [value & other | moved[value >> REGION_SHIFT & _REGION] for value in values])
        if sys.byteorder == "big":
            values = array("q", values)
            values.byteswap()
        return bytes(self.prints) + values.tobytes()


def last(scanner: str, accounts: Iterable[int], findings: Mapping[bytes, int], *, into: dict[bytes, int]) -> dict[int, list[str]]:
    """Fill `into` with fingerprints whose record changes nothing if it comes again; the regions of their scans, by account.

    Only the very newest scan of an account counts, as a later one, whatever it covered, may have opened findings that the
    fingerprints do not know. Left out are records of findings that are not any more as the record left them: `findings` are the
    present ones as `known.findings` has them.
    """
    # Findings are never deleted, so that of those not named here a FAIL is nothing new.
    states = {held >> known.ID_SHIFT: held & _STATE for held in findings.values() if _STEADY[held & _STATE] != 1 << FAILS}
    regions: dict[int, list[str]] = {}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT a.id, s.records, s.regions FROM unnest(%s::bigint[]) AS a(id), LATERAL (SELECT records, regions"
            " FROM triage_scanscope WHERE account_id = a.id AND scanner = %s ORDER BY scan_id DESC LIMIT 1) AS s"
            " WHERE s.records IS NOT NULL",
            [list(accounts), scanner],
        )
        for account, data, covered in cursor:
            into.update(_steady(bytes(data), states))
            regions[account] = covered
    return regions


def _steady(data: bytes, states: Mapping[int, int]) -> dict[bytes, int]:
    """`states`: status and presence by number of finding, of those that a FAIL would change."""
    count = len(data) // 24
    values = array("q", data[count * 16 :])
    if sys.byteorder == "big":
        values.byteswap()
    prints = [data[start : start + 16] for start in range(0, count * 16, 16)]
    fingerprints = dict(zip(prints, values, strict=True))
    for place in [
        place
        for place, value in enumerate(values)
        if not value & CLEAN and not _STEADY[states.get(value >> NUMBER_SHIFT, _OPEN)] >> (value & VERDICT) & 1
    ]:
        fingerprints.pop(prints[place], None)
    return fingerprints


def _steady_for(state: int) -> int:
    """The verdicts, as bits, that leave a finding of this status and presence as it is."""
    status = state & known.STATUS_MASK
    if status == known.VERIFIED:
        return 1 << PASSES
    if state & known.GONE_OR_UNREPORTED:
        return 0
    return (status in known.STEADY) << FAILS | (status in known.ASKED) << ASKS


_STATE = known.STATUS_MASK | known.GONE_OR_UNREPORTED
_STEADY = [_steady_for(state) for state in range(_STATE + 1)]
_OPEN = next(state for state, verdicts in enumerate(_STEADY) if verdicts == 1 << FAILS)
