"""Explanations as they are stored: each once, found by its digest."""

import json
from collections.abc import Iterable

from django.db import connection

from triage.domain.ownership.steps import Resolution, to_json


def trail_ids(answers: Iterable[Resolution]) -> dict[bytes, int]:
    """Digest to id of the OwnerTrail, storing the new ones: three statements, however many answers."""
    wanted = {answer.digest: answer for answer in answers}
    known = _known(wanted)
    new = [answer for digest, answer in wanted.items() if digest not in known]
    if new:
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO triage_ownertrail (digest, team_id, steps)"
                " SELECT * FROM unnest(%s::bytea[], %s::bigint[], %s::jsonb[]) ON CONFLICT (digest) DO NOTHING",
                [[a.digest for a in new], [a.team_id for a in new], [json.dumps(to_json(a.steps)) for a in new]],
            )
        known |= _known(answer.digest for answer in new)
    return known


def _known(digests: Iterable[bytes]) -> dict[bytes, int]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT digest, id FROM triage_ownertrail WHERE digest = ANY(%s)", [list(digests)])
        return {bytes(digest): number for digest, number in cursor.fetchall()}
