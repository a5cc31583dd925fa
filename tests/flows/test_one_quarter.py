"""A quarter of ten findings, from reports to notices: a ledger that was computed by hand, from the calendar and docs/deadlines.md.

Paris, Monday to Friday 9 to 18, French holidays: of them 11 November, a Wednesday, falls on a day of work. On Sunday 25 October an hour
comes twice. Reports are written at six in the morning (one at noon) and received 20 minutes later: clocks start when they were written.

| to remediate | critical | high | medium | |
|---|---|---|---|---|
| v1 | 18 business hours | 10 days | 480 hours | from the beginning |
| v2 | 18 business hours | 12 days | 720 hours | Monday 5 October, noon, for clocks that run as well |
| v3 | 12 business hours | 12 days | 720 hours | Monday 2 November, noon, for new clocks only |

Critical ones are to be acknowledged within 9 business hours, and contained within 24 hours if exposed; a claim is verified within 72.

The worker looks every 37 to 74 minutes (seldom where nothing is near), is restarted, looks twice at once now and then, sleeps from Friday 25 September 8:00 to Monday
8:00, and has its clock set back once. What is told, a breach, and the date after the end of a pause are noted by the first look at or
after the moment in the tables.
"""

import io
import random
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

import pytest
from django.db import connection

from tests.reports import prowler, row
from triage.domain import calendars, check_catalogue, ingest, lifecycle
from triage.domain.access import Actor, of_machine
from triage.domain.audit import recording
from triage.domain.calendars import WEEK, Draft
from triage.domain.check_catalogue import Saying
from triage.domain.exceptions import deciding, keeping
from triage.domain.exceptions.requesting import About, request
from triage.domain.sla import clocks, notices, policies, reporting
from triage.domain.sla.drafts import Applies, PolicyDraft, TargetDraft
from triage.models import Check, ClockEntry, Event, Finding, RiskException, Role, SlaNotice

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

PARIS = ZoneInfo("Europe/Paris")
ME = of_machine(0)
ASKER = Actor(name="user:1", door="page", roles=frozenset({Role.TRIAGER}), user=1)
SENIOR = Actor(name="user:3", door="page", roles=frozenset({Role.SENIOR_APPROVER}), user=3)


def paris(month: int, day: int, hour: int = 0, minute: int = 0, second: float = 0) -> datetime:
    return datetime(2026, month, day, hour, minute, tzinfo=PARIS).astimezone(UTC) + timedelta(seconds=second)


HOUR = timedelta(hours=1)
FIRST, LAST, ASLEEP, AWAKE = paris(9, 1), paris(12, 1), paris(9, 25, 8), paris(9, 28, 8)
SET_BACK = paris(9, 28, 11)  # three hours, by the first look from then on

# --- what happens -----------------------------------------------------------------------------------------------------------------

ESTATE = {  # asset: its check, and the severity that the reports give it
    "lake": ("kms_rotation", "critical"), "vault": ("s3_public", "critical"), "table": ("rds_backup", "medium"),
    "stream": ("sqs_open", "high"), "role": ("iam_admin", "critical"), "key": ("iam_old_key", "high"),
    "logs": ("log_retention", "high"), "user-a": ("iam_mfa", "medium"), "user-b": ("iam_mfa", "medium"), "node": ("ec2_imds", "critical"),
}  # fmt: skip
REPORTS = [  # when it was written, what fails, what passes; an asset “calm” passes all checks in each
    (paris(9, 1, 6), "lake vault", ""),
    (paris(9, 2, 12), "lake", "vault"),
    (paris(9, 10, 6), "lake table role logs", "vault"),
    (paris(9, 21, 6), "table role logs key user-a", "lake vault"),
    (paris(10, 1, 6), "lake table logs key:critical user-a user-b", "role vault"),
    (paris(10, 14, 6), "stream user-a user-b", "lake key logs"),  # the table is not reported
    (paris(10, 23, 6), "stream user-a user-b node", ""),
    (paris(11, 3, 6), "table user-a user-b node", "stream"),
    (paris(11, 10, 6), "vault user-a user-b", "table node"),
    (paris(11, 23, 6), "vault user-a", "user-b"),
]


def policy(critical: str, high: str, medium: str) -> PolicyDraft:
    targets = (
        TargetDraft(critical, severity=5, calendar="office"), TargetDraft(high, severity=4, calendar="office"),
        TargetDraft(medium, severity=3), TargetDraft("9 business hours", "acknowledge", 5, calendar="office"),
        TargetDraft("24 hours", "contain", 5, exposed=True), TargetDraft("72 hours", "verify"),
    )  # fmt: skip
    return PolicyDraft("default", "Default", targets, pause_days=10)


V1, V2, V3 = (
    policy("18 business hours", "10 days", "480 hours"), policy("18 business hours", "12 days", "720 hours"),
    policy("12 business hours", "12 days", "720 hours"),
)  # fmt: skip
DEEDS = [
    (paris(9, 1, 20), "contain", "vault"),
    (paris(9, 2, 10), "acknowledge", "lake"),
    (paris(9, 2, 10), "move", "vault", "fix_claimed"),
    (paris(9, 3, 12), "pause", "lake", paris(9, 4, 12)),  # after the due date
    (paris(9, 10, 9, 30), "acknowledge", "role"),
    (paris(9, 11, 10), "pause", "role", paris(9, 16, 10)),
    (paris(9, 14, 9), "ask", "role", paris(9, 25, 11)),
    (paris(9, 14, 9), "ask", "logs", paris(11, 30, 12)),
    (paris(9, 14, 10), "approve", "logs"),
    (paris(9, 14, 10), "override", "rds_backup", 4),
    (paris(9, 15, 10), "approve", "role"),  # overlaps the pause, and ends while the worker sleeps
    (paris(9, 17, 10), "override", "rds_backup", None),
    (paris(9, 21, 10), "revoke", "logs"),
    (paris(9, 22, 8, 45), "acknowledge", "key"),
    (paris(9, 22, 9), "ask", "key", paris(11, 30, 12)),
    (paris(9, 22, 10), "approve", "key"),  # void when the report of 1 October is received: critical now
    (paris(9, 24, 9), "ask", "check:iam_mfa", paris(11, 5, 10)),
    (paris(9, 24, 10), "approve", "check:iam_mfa"),
    (paris(9, 24, 12), "pause", "table", paris(9, 26, 12)),  # ends while the worker sleeps
    (paris(10, 1, 11), "move", "lake", "in_progress"),
    (paris(10, 2, 10), "pause", "lake", paris(10, 8, 10)),
    (paris(10, 5, 11), "resume", "lake"),
    (paris(10, 5, 12), "publish", V2, Applies.OPEN),
    (paris(10, 23, 17, 45), "pause", "node", paris(11, 2, 16, 45)),  # 10 days and, as an hour comes twice, not an hour less
    (paris(10, 24, 18), "pause", "stream", paris(10, 26, 18)),  # 49 hours
    (paris(11, 2, 12), "publish", V3, Applies.NEW),
    (paris(11, 12, 11), "move", "vault", "fix_claimed"),
]
STATES = [  # of findings on the way: after what was done by then
    (paris(9, 15), "logs", "false_positive", "reported"), (paris(9, 20), "role", "accepted", "reported"),
    (paris(9, 25), "key", "accepted", "reported"), (paris(9, 25), "lake", "verified", "reported"),
    (paris(10, 1, 6, 20), "key", "open", "reported"), (paris(10, 1, 6, 20), "user-b", "accepted", "reported"),
    (paris(10, 20), "table", "open", "unreported"), (paris(11, 4), "table", "open", "reported"),
    (paris(11, 6), "user-a", "open", "reported"), (paris(11, 13), "vault", "fix_claimed", "reported"),
]  # fmt: skip


# --- the ledger -------------------------------------------------------------------------------------------------------------------


class Look(NamedTuple):
    """The first look at or after the moment; `later`: after it."""

    moment: datetime
    later: bool = False


def seen(*moment: float) -> Look:
    return Look(paris(*moment))


def past(*moment: float) -> Look:
    return Look(paris(*moment), later=True)


REMEDIATE, ACKNOWLEDGE, CONTAIN, VERIFY = "remediate", "acknowledge", "contain", "verify"
# Entries: kind, at, due before, due after. Notices: clock, version, percent, the moment.
LEDGER = {
    "lake": (
        [
            # 1 September is a Tuesday: 9 h and 9 h on Wednesday. The pause begins when the time is over: it moves nothing.
            ("breach", past(9, 2, 18), paris(9, 2, 18), None),
            ("pause", paris(9, 3, 12), paris(9, 2, 18), None),
            ("resume", paris(9, 4, 12), None, None),
            ("recompute", seen(9, 4, 12), None, paris(9, 2, 18)),
            ("stop", paris(9, 21, 6), paris(9, 2, 18), None),
            # A new clock on Thursday 1 October. 10 h had passed on Friday at 10:00; of the 8 left, 7 on Monday from 11:00, 1 on Tuesday.
            ("pause", paris(10, 2, 10), paris(10, 2, 18), None),
            ("resume", paris(10, 5, 11), None, None),
            ("recompute", paris(10, 5, 11), None, paris(10, 6, 10)),
            ("breach", past(10, 6, 10), paris(10, 6, 10), None),
            ("stop", paris(10, 14, 6), paris(10, 6, 10), None),
        ],
        [
            # To acknowledge: 4.5, 7.2 and 9 h. 13.5 h would be Wednesday 13:30: acknowledged at 10:00.
            (ACKNOWLEDGE, 1, 50, paris(9, 1, 13, 30)), (ACKNOWLEDGE, 1, 80, paris(9, 1, 16, 12)), (ACKNOWLEDGE, 1, 100, paris(9, 1, 18)),
            # 9, 14.4 and 18 h. 27 h: 21 had passed on Thursday at noon; of the 6 left, all on Friday from noon.
            (REMEDIATE, 1, 50, paris(9, 1, 18)), (REMEDIATE, 1, 80, paris(9, 2, 14, 24)), (REMEDIATE, 1, 100, paris(9, 2, 18)),
            (REMEDIATE, 1, 150, paris(9, 4, 18)),
            # Acknowledged by moving it. 9 h on Thursday. On Monday at noon 11 of 18 h: half is told of v2 as well. 14.4 h: 15:24.
            # 27 h: 26 on Tuesday, one on Wednesday.
            (REMEDIATE, 1, 50, paris(10, 1, 18)), (REMEDIATE, 2, 50, paris(10, 5, 12)), (REMEDIATE, 2, 80, paris(10, 5, 15, 24)),
            (REMEDIATE, 2, 100, paris(10, 6, 10)), (REMEDIATE, 2, 150, paris(10, 7, 10)),
        ],
        ("verified", 5, paris(10, 1, 6), paris(10, 6, 10), paris(10, 2, 18), paris(10, 14, 6), 2),
    ),
    "vault": (
        [
            ("stop", paris(9, 2, 12), paris(9, 2, 18), None),
            # Under v3: 9 h on Tuesday 10 November, none on the 11th, 3 on Thursday.
            ("breach", past(11, 12, 12), paris(11, 12, 12), None),
        ],
        [
            # Contained, and so acknowledged, at 20:00: 12 of 24 h had been told, 19.2 h would be 1:12.
            (ACKNOWLEDGE, 1, 50, paris(9, 1, 13, 30)), (ACKNOWLEDGE, 1, 80, paris(9, 1, 16, 12)), (ACKNOWLEDGE, 1, 100, paris(9, 1, 18)),
            (CONTAIN, 1, 50, paris(9, 1, 18)), (REMEDIATE, 1, 50, paris(9, 1, 18)),
            # 4.5, 7.2, 9 h on Tuesday; 13.5 h would be Thursday 13:30: the claim at 11:00 acknowledges.
            (ACKNOWLEDGE, 3, 50, paris(11, 10, 13, 30)), (ACKNOWLEDGE, 3, 80, paris(11, 10, 16, 12)),
            (ACKNOWLEDGE, 3, 100, paris(11, 10, 18)),
            # 12, 19.2, 24, 36 h by day and night.
            (CONTAIN, 3, 50, paris(11, 10, 18)), (CONTAIN, 3, 80, paris(11, 11, 1, 12)), (CONTAIN, 3, 100, paris(11, 11, 6)),
            (CONTAIN, 3, 150, paris(11, 11, 18)),
            # 6 h; 9.6 h: 36 min on Thursday; 12 h; 18 h: all of Thursday. A claim does not stop it.
            (REMEDIATE, 3, 50, paris(11, 10, 15)), (REMEDIATE, 3, 80, paris(11, 12, 9, 36)), (REMEDIATE, 3, 100, paris(11, 12, 12)),
            (REMEDIATE, 3, 150, paris(11, 12, 18)),
            # 36, 57.6, 72, 108 h from Thursday 11:00. The report of the 23rd refutes it.
            (VERIFY, 3, 50, paris(11, 13, 23)), (VERIFY, 3, 80, paris(11, 14, 20, 36)), (VERIFY, 3, 100, paris(11, 15, 11)),
            (VERIFY, 3, 150, paris(11, 16, 23)),
        ],
        ("open", 5, paris(11, 10, 6), paris(11, 12, 12), paris(11, 12, 12), None, 3),
    ),
    "table": (
        [
            # 480 h from the 10th, 6:00; as high, ten days after the 10th; 48 h of pause; under v2 720 + 48 h.
            ("recompute", paris(9, 14, 10), paris(9, 30, 6), paris(9, 20, 23, 59, 59)),
            ("recompute", paris(9, 17, 10), paris(9, 20, 23, 59, 59), paris(9, 30, 6)),
            ("pause", paris(9, 24, 12), paris(9, 30, 6), None),
            ("resume", paris(9, 26, 12), None, None),
            ("recompute", seen(9, 26, 12), None, paris(10, 2, 6)),
            ("breach", past(10, 2, 6), paris(10, 2, 6), None),
            ("recompute", paris(10, 5, 12), paris(10, 2, 6), paris(10, 12, 6)),
            ("stop", paris(11, 10, 6), paris(10, 12, 6), None),
        ],
        [
            # As high: half of 10 days, 17:59:59 is 5 days, 8:59:59.5. As medium, half is not told again on the 20th.
            (REMEDIATE, 1, 50, paris(9, 15, 14, 59, 59.5)),
            # 384 + 48 h: the 28th, 6:00, when the worker sleeps; 480 + 48 h.
            (REMEDIATE, 1, 80, paris(9, 28, 6)), (REMEDIATE, 1, 100, paris(10, 2, 6)),
            # 360 + 48 h have passed when v2 comes. 576 + 48 h, 720 + 48 h; 1080 + 48 h end an hour earlier by the winter's clock.
            (REMEDIATE, 2, 50, paris(10, 5, 12)), (REMEDIATE, 2, 80, paris(10, 6, 6)), (REMEDIATE, 2, 100, paris(10, 12, 6)),
            (REMEDIATE, 2, 150, paris(10, 27, 5)),
        ],
        ("verified", 3, paris(9, 10, 6), paris(10, 12, 6), paris(9, 30, 6), paris(11, 10, 6), 2),
    ),
    "stream": (
        [
            # Twelve days after the 14th. From the 24th, 18:00, to the 26th, 18:00, are 49 hours: three days of pause that began.
            ("pause", paris(10, 24, 18), paris(10, 26, 23, 59, 59), None),
            ("resume", paris(10, 26, 18), None, None),
            ("recompute", seen(10, 26, 18), None, paris(10, 29, 23, 59, 59)),
            ("breach", past(10, 29, 23, 59, 59), paris(10, 29, 23, 59, 59), None),
            ("stop", paris(11, 3, 6), paris(10, 29, 23, 59, 59), None),
        ],
        [
            # Of 12 days, 18:59:59 (with the hour that comes twice): 6 days, 9:29:59.5 and 10 days, 5:35:59.2.
            (REMEDIATE, 2, 50, paris(10, 20, 15, 29, 59.5)), (REMEDIATE, 2, 80, paris(10, 24, 11, 35, 59.2)),
            (REMEDIATE, 2, 100, paris(10, 29, 23, 59, 59)),
        ],
        ("verified", 4, paris(10, 14, 6), paris(10, 29, 23, 59, 59), paris(10, 26, 23, 59, 59), paris(11, 3, 6), 2),
    ),
    "role": (
        [
            # 10 h had passed on Friday 11 September at 10:00. It stood until Friday the 25th, 11:00; of the 8 left, 7 then, 1 on Monday.
            ("pause", paris(9, 11, 10), paris(9, 11, 18), None),
            ("pause", paris(9, 15, 10), None, None),
            ("resume", paris(9, 16, 10), None, None),
            ("resume", paris(9, 25, 11), None, None),
            ("recompute", seen(9, 25, 11), None, paris(9, 28, 10)),
            ("breach", past(9, 28, 10), paris(9, 28, 10), None),
            ("stop", paris(10, 1, 6), paris(9, 28, 10), None),
        ],
        [
            # 14.4 h: 4.4 after the 25th, 11:00, when the worker sleeps. 27 h: 26 on Monday, one on Tuesday.
            (REMEDIATE, 1, 50, paris(9, 10, 18)), (REMEDIATE, 1, 80, paris(9, 25, 15, 24)), (REMEDIATE, 1, 100, paris(9, 28, 10)),
            (REMEDIATE, 1, 150, paris(9, 29, 10)),
        ],
        ("verified", 5, paris(9, 10, 6), paris(9, 28, 10), paris(9, 11, 18), paris(10, 1, 6), 1),
    ),
    "key": (
        [
            # Critical by the same start: 10 h had passed on Tuesday 22 September at 10:00, 8 are left on Thursday 1 October from 9:00.
            ("pause", paris(9, 22, 10), paris(10, 1, 23, 59, 59), None),
            ("resume", paris(10, 1, 6, 20), None, None),
            ("recompute", paris(10, 1, 6, 20), None, paris(10, 1, 17)),
            ("breach", past(10, 1, 17), paris(10, 1, 17), None),
            ("stop", paris(10, 14, 6), paris(10, 1, 17), None),
        ],
        [
            # 9 h had passed; 14.4 h: 4.4 on Thursday; 27 h: 19 on Thursday, 8 on Friday. Of v2 the highest alone.
            (REMEDIATE, 1, 50, paris(10, 1, 6, 20)), (REMEDIATE, 1, 80, paris(10, 1, 13, 24)), (REMEDIATE, 1, 100, paris(10, 1, 17)),
            (REMEDIATE, 1, 150, paris(10, 2, 17)), (REMEDIATE, 2, 150, paris(10, 5, 12)),
        ],
        ("verified", 5, paris(9, 21, 6), paris(10, 1, 17), paris(10, 1, 23, 59, 59), paris(10, 14, 6), 2),
    ),
    "logs": (
        [
            # Ten days after the 10th, and the seven from the 14th, 10:00, to the 21st, 10:00. Twelve and seven under v2: late all the same.
            ("pause", paris(9, 14, 10), paris(9, 20, 23, 59, 59), None),
            ("resume", paris(9, 21, 10), None, None),
            ("recompute", paris(9, 21, 10), None, paris(9, 27, 23, 59, 59)),
            ("breach", past(9, 27, 23, 59, 59), paris(9, 27, 23, 59, 59), None),
            ("recompute", paris(10, 5, 12), paris(9, 27, 23, 59, 59), paris(9, 29, 23, 59, 59)),
            ("stop", paris(10, 14, 6), paris(9, 29, 23, 59, 59), None),
        ],
        [
            # While it stands no time passes: half of 10 days, 17:59:59 (5 days, 8:59:59.5) and seven days. 80 % would be the 25th, 20:23:59:
            # when the worker looks again, 100 % are reached. 150 %: 16 days, 2:59:58.5 and seven; of v2's 12 days 19 days, 2:59:58.5.
            (REMEDIATE, 1, 50, paris(9, 22, 14, 59, 59.5)), (REMEDIATE, 1, 100, paris(9, 27, 23, 59, 59)),
            (REMEDIATE, 1, 150, paris(10, 3, 8, 59, 58.5)), (REMEDIATE, 2, 100, paris(10, 5, 12)),
            (REMEDIATE, 2, 150, paris(10, 6, 8, 59, 58.5)),
        ],
        ("verified", 4, paris(9, 10, 6), paris(9, 29, 23, 59, 59), paris(9, 20, 23, 59, 59), paris(10, 14, 6), 2),
    ),
    "user-a": (
        [
            # 76 h had passed when it was covered; 644 of v2's 720 are left on 5 November, 10:00. v2 came meanwhile and moved no date.
            ("pause", paris(9, 24, 10), paris(10, 11, 6), None),
            ("resume", paris(11, 5, 10), None, None),
            ("recompute", seen(11, 5, 10), None, paris(12, 2, 6)),
        ],
        [(REMEDIATE, 2, 50, paris(11, 17, 6)), (REMEDIATE, 2, 80, paris(11, 26, 6))],  # 360 − 76 = 284 h, 576 − 76 = 500 h
        ("open", 3, paris(9, 21, 6), paris(12, 2, 6), paris(10, 11, 6), None, 2),
    ),
    "user-b": (
        [
            # Covered as soon as it was imported, 20 minutes after the start: 719:40 are left.
            ("pause", paris(10, 1, 6, 20), paris(10, 21, 6), None),
            ("resume", paris(11, 5, 10), None, None),
            ("recompute", seen(11, 5, 10), None, paris(12, 5, 9, 40)),
            ("stop", paris(11, 23, 6), paris(12, 5, 9, 40), None),
        ],
        [(REMEDIATE, 2, 50, paris(11, 20, 9, 40))],  # 359:40
        ("verified", 3, paris(10, 1, 6), paris(12, 5, 9, 40), paris(10, 21, 6), paris(11, 23, 6), 2),
    ),
    "node": (
        [
            # 8:45 had passed on Friday; of the 9:15 left, 1:15 on Monday 2 November, 8 on Tuesday. v3 is not for it.
            ("pause", paris(10, 23, 17, 45), paris(10, 26, 18), None),
            ("resume", paris(11, 2, 16, 45), None, None),
            ("recompute", seen(11, 2, 16, 45), None, paris(11, 3, 17)),
            ("breach", past(11, 3, 17), paris(11, 3, 17), None),
            ("stop", paris(11, 10, 6), paris(11, 3, 17), None),
        ],
        [
            # Whatever a person first does acknowledges: the pause, 15 minutes before the end.
            (ACKNOWLEDGE, 2, 50, paris(10, 23, 13, 30)), (ACKNOWLEDGE, 2, 80, paris(10, 23, 16, 12)),
            # 9 h: 15 minutes on Monday; 14.4 h: 10 on Monday, 4.4 on Tuesday; 18 h; 27 h: 19 on Tuesday, 8 on Wednesday.
            (REMEDIATE, 2, 50, paris(11, 2, 17)), (REMEDIATE, 2, 80, paris(11, 3, 13, 24)), (REMEDIATE, 2, 100, paris(11, 3, 17)),
            (REMEDIATE, 2, 150, paris(11, 4, 17)),
        ],
        ("verified", 5, paris(10, 23, 6), paris(11, 3, 17), paris(10, 26, 18), paris(11, 10, 6), 2),
    ),
}  # fmt: skip
MISSED = [  # dates of the quarter that passed, and the version that gave them; the two clocks that were kept are of vault and user-b
    ("lake", paris(9, 2, 18), 1), ("logs", paris(9, 27, 23, 59, 59), 1), ("role", paris(9, 28, 10), 1), ("key", paris(10, 1, 17), 1),
    ("table", paris(10, 2, 6), 1), ("lake", paris(10, 6, 10), 2), ("stream", paris(10, 29, 23, 59, 59), 2),
    ("node", paris(11, 3, 17), 2), ("vault", paris(11, 12, 12), 3),
]  # fmt: skip
ENDS = {"role": "expired", "logs": "revoked", "key": "voided", "check:iam_mfa": "expired"}


# --- the machines -----------------------------------------------------------------------------------------------------------------


def spots() -> Iterator[datetime]:
    """Every 37 to 74 minutes while something is about to happen or just did; six times as far apart else."""
    chance, at, moments = random.Random(37), FIRST, sorted(eventful())
    while at < LAST:
        if not ASLEEP < at < AWAKE:
            yield at
        near = bisect_left(moments, at - 2 * HOUR) < bisect_right(moments, at + 8 * HOUR)
        at += timedelta(minutes=37, seconds=chance.randrange(37 * 60)) * (1 if near else 6)


def eventful() -> Iterator[datetime]:
    yield from (SET_BACK, ASLEEP, *(written for written, *_said in REPORTS), *(at for at, *_said in DEEDS))
    for entries, told, _end in LEDGER.values():
        yield from (at.moment if isinstance(at, Look) else at for _kind, at, *_dues in entries)
        yield from (at for *_rung, at in told)


def look(at: datetime) -> None:
    keeping.look(at=at)
    notices.look(at=at)


def work(at: datetime, number: int) -> None:
    """A look of the worker; of twenty, one comes twice, one by two workers at once, and one after a restart."""
    if number % 20 == 7:
        connection.close()
    if number % 20 == 14:
        with ThreadPoolExecutor(2) as workers:
            list(workers.map(lambda _: (look(at), connection.close()), range(2)))
    for _ in range(1 + (number % 20 == 0)):
        look(at)


class Life:
    """What people and scanners do."""

    def __init__(self) -> None:
        self.asked: dict[str, int] = {}

    def report(self, at: datetime, written: datetime, fails: str, passes: str) -> None:
        said = [(word.partition(":"), "FAIL") for word in fails.split()] + [((word, "", ""), "PASS") for word in passes.split()]
        rows = [self.row(name, name, status, severity) for (name, _colon, severity), status in said]
        data = prowler(rows + [self.row(name, "calm", "PASS") for name in ESTATE], written)
        scan = ingest.receive(stream=io.BytesIO(data), name="report", declared={}, actor=ME, at=at)
        assert ingest.run(scan.pk, clock=lambda: at).state == "done"
        keeping.look(at=at)  # as the import asks for

    def row(self, name: str, asset: str, status: str, severity: str = "") -> dict[str, str]:
        check, usual = ESTATE[name]
        exposing = "internet-exposed" if name == "vault" else ""
        return row(asset, status, check=check, severity=severity or usual, CATEGORIES=exposing)

    def state(self, at: datetime, name: str, *state: str) -> None:
        assert (found(name).status, found(name).presence) == state, (name, at)

    def contain(self, at: datetime, name: str) -> None:
        clocks.contain(finding=found(name).pk, done="Blocked by policy", exploited="no", actor=ASKER, at=at)

    def acknowledge(self, at: datetime, name: str) -> None:
        clocks.acknowledge(finding=found(name).pk, actor=ASKER, at=at)

    def move(self, at: datetime, name: str, to: str) -> None:
        lifecycle.move(finding=found(name).pk, to=to, actor=ASKER, at=at)

    def pause(self, at: datetime, name: str, until: datetime) -> None:
        clocks.pause(finding=found(name).pk, until=until, reason="vendor", actor=ASKER, at=at)

    def resume(self, at: datetime, name: str) -> None:
        clocks.resume(finding=found(name).pk, actor=ASKER, at=at)

    def override(self, at: datetime, check: str, severity: int | None) -> None:
        saying = Saying(severity, "holds orders" if severity else "")
        check_catalogue.say(check=Check.objects.get(key=check).pk, saying=saying, actor=ME, at=at)

    def ask(self, at: datetime, what: str, until: datetime) -> None:
        about = About(query=what) if ":" in what else About(finding=found(what).pk)
        kind = "false_positive" if what == "logs" else "accepted"
        self.asked[what] = request(kind=kind, about=about, reason="later", until=until, actor=ASKER, at=at).pk

    def approve(self, at: datetime, what: str) -> None:
        deciding.approve(exception=self.asked[what], actor=SENIOR, at=at)

    def revoke(self, at: datetime, what: str) -> None:
        deciding.revoke(exception=self.asked[what], actor=SENIOR, at=at, reason="it is true")

    def publish(self, at: datetime, draft: PolicyDraft, applies: Applies = Applies.NEW) -> None:
        policies.publish(draft, actor=ME, at=at, applies=applies)


def found(name: str) -> Finding:
    return Finding.objects.get(asset__name=name)


def lines(name: str, what: str, rows: list[tuple]) -> Counter:
    """As text, in UTC, so that what differs can be read."""
    return Counter(
        " ".join(map(str, (name, what, *(at.isoformat() if isinstance(at, datetime) else at for at in r)))) for r in rows
    )


def expected(looks: list[datetime]) -> Counter:
    def at(when: datetime | Look) -> datetime:
        return looks[(bisect_right if when.later else bisect_left)(looks, when.moment)] if isinstance(when, Look) else when

    whole = sum((lines(name, "missed", [rest]) for name, *rest in MISSED), Counter())
    for name, (entries, told, end) in LEDGER.items():
        whole += lines(name, "entry", [(kind, at(when), before, after) for kind, when, before, after in entries])
        whole += lines(name, "notice", [(*rung, at(Look(moment))) for *rung, moment in told])
        whole += lines(name, "end", [end])
    return whole


def gathered() -> Counter:
    whole = Counter()
    for each in Finding.objects.select_related("asset", "sla"):
        name, told = each.asset.name, each.notices.values_list("clock", "version__number", "percent", "at")
        whole += lines(name, "entry", list(each.clock_entries.values_list("kind", "at", "due_before", "due_after")))
        whole += lines(name, "notice", list(told))
        dates = (each.clock_from, each.due_at, each.due_original, each.settled_at)
        whole += lines(name, "end", [(each.status, each.severity, *dates, each.sla.number)])
    for late in reporting.breaches(since=FIRST, until=LAST, actor=ME, at=LAST):
        whole += lines(late.finding.asset.name, "missed", [(late.due, late.version.number)])
    return whole


def test_a_quarter_is_what_was_computed_by_hand(tmp_path, settings):
    settings.EVIDENCE_DIR = tmp_path
    with recording(actor="os:0", at=FIRST, door="cli") as log:
        hours = {day: [("09:00", "18:00")] for day in WEEK[:5]}
        calendars.publish(Draft("office", time_zone="Europe/Paris", hours=hours, country="FR"), log=log, at=FIRST)
    life, looks = Life(), list(spots())
    life.publish(FIRST, V1)
    received = [(written + timedelta(minutes=20), "report", written, *said) for written, *said in REPORTS]
    coming = sorted([*received, *DEEDS, *((at, "state", *said) for at, *said in STATES)], key=lambda event: event[0])

    for number, at in enumerate(looks):
        while coming and coming[0][0] <= at:
            when, verb, *said = coming.pop(0)
            getattr(life, verb)(when, *said)
        work(at, number)
        if looks[number - 1] < SET_BACK <= at:
            for hours_back in (3, 2, 1, 0):
                look(at - timedelta(hours=hours_back))

    by_hand, kept = expected(looks), gathered()
    differing = [*(f"by hand: {line}" for line in by_hand - kept), *(f"kept: {line}" for line in kept - by_hand)]
    assert not differing, "\n".join(sorted(differing, key=lambda line: line.partition(": ")[2]))
    assert {what: RiskException.objects.get(pk=number).state for what, number in life.asked.items()} == ENDS
    told = Event.objects.filter(subject="finding", kind__in=["warned", "breached", "escalated"])
    assert (Finding.objects.count(), told.count()) == (len(ESTATE), SlaNotice.objects.count())
    assert not ClockEntry.objects.filter(kind="pause", resumption=None).exists()
    kept_and_missed = reporting.attainment(since=FIRST, until=LAST, actor=ME, at=LAST)
    assert (kept_and_missed.met, kept_and_missed.missed) == (2, len(MISSED))
