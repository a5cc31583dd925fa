"""What each record of an account's last report said, by fingerprint: a record that says the same again is not even read.

Kept beside the scope of the newest scan: n fingerprints of 16 bytes, then n integers of 8 bytes, little-endian: the finding's number
<< 5 | clean << 4 | homeless << 3 | muted << 2 | verdict. Clean: the check passes and there is no finding; the number is the asset's.
"""

import sys
from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from django.db import connection

from triage.domain.ingest import known
from triage.ports import Verdict

PASSES, FAILS, ASKS = 0, 1, 2
CODES = {Verdict.PASS: PASSES, Verdict.FAIL: FAILS, Verdict.MANUAL: ASKS}
MUTED, HOMELESS, CLEAN, NUMBER_SHIFT, VERDICT = 1 << 2, 1 << 3, 1 << 4, 5, 0b11
ASSET_BITS = 40


@dataclass(slots=True)
class Records:
    """What the records of one account said in this report."""

    prints: bytearray = field(default_factory=bytearray)
    values: "array[int]" = field(default_factory=lambda: array("q"))
    # Check and asset of each clean record, and its place; the findings by check and asset that were opened after such a record.
    _clean: "array[int]" = field(default_factory=lambda: array("q"))
    _clean_at: "array[int]" = field(default_factory=lambda: array("q"))
    _opened: "dict[int, int]" = field(default_factory=dict)

    def add(self, fingerprint: bytes, value: int) -> None:
        self.prints += fingerprint
        self.values.append(value)

    def extend(self, fingerprints: bytes, values: list[int]) -> None:
        self.prints += fingerprints
        self.values.extend(values)

    def clean(self, check: int, asset: int, place: int) -> None:
        """The record at this place is clean; `opened` may say otherwise."""
        self._clean.append(check << ASSET_BITS | asset)
        self._clean_at.append(place)

    def opened(self, number: int, *, check: int, asset: int) -> None:
        """A finding was opened: a record of the same check and asset that passes is not clean, whichever came first."""
        self._opened[check << ASSET_BITS | asset] = number

    def packed(self) -> bytes:
        """Fingerprints and values, as they are kept."""
        if self._opened:
            for subject, place in zip(self._clean, self._clean_at, strict=True):
                if subject in self._opened:
                    self.values[place] = self._opened[subject] << NUMBER_SHIFT | self.values[place] & (CLEAN - 1)
        values = array("q", self.values)
        if sys.byteorder == "big":
            values.byteswap()
        return bytes(self.prints) + values.tobytes()


def last(scanner: str, accounts: Iterable[int], findings: Mapping[bytes, int]) -> dict[bytes, int]:
    """Fingerprints whose record changes nothing if it comes again.

    Only the very newest scan of an account counts, as a later one, whatever it covered, may have opened findings that the
    fingerprints do not know. Left out are records of findings that are not any more as the record left them: `findings` are the
    present ones as `known.findings` has them.
    """
    steady = _as_left(findings.values())
    fingerprints: dict[bytes, int] = {}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT s.records FROM unnest(%s::bigint[]) AS a(id), LATERAL (SELECT records FROM triage_scanscope"
            " WHERE account_id = a.id AND scanner = %s ORDER BY scan_id DESC LIMIT 1) AS s WHERE s.records IS NOT NULL",
            [list(accounts), scanner],
        )
        for (data,) in cursor:
            fingerprints |= _steady(bytes(data), steady)
    return fingerprints


def _steady(data: bytes, steady: tuple[set[int], set[int], set[int]]) -> dict[bytes, int]:
    count = len(data) // 24
    values = array("q", data[count * 16 :])
    if sys.byteorder == "big":
        values.byteswap()
    return {
        data[start : start + 16]: value
        for start, value in zip(range(0, count * 16, 16), values, strict=True)
        if value & CLEAN or value >> NUMBER_SHIFT in steady[value & VERDICT]
    }


def _as_left(states: Iterable[int]) -> tuple[set[int], set[int], set[int]]:
    """Numbers of findings that a PASS, FAIL or MANUAL record leaves as they are now."""
    passes, fails, asks = set(), set(), set()
    for held in states:
        status = held & known.STATUS_MASK
        if status == known.VERIFIED:
            passes.add(held >> known.ID_SHIFT)
        elif not held & known.GONE_OR_UNREPORTED:
            if status in known.STEADY:
                fails.add(held >> known.ID_SHIFT)
            elif status in known.ASKED:
                asks.add(held >> known.ID_SHIFT)
    return passes, fails, asks
