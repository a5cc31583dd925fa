"""Explanations as they are stored: each once, found by its digest."""

from collections.abc import Iterable
from operator import itemgetter

from django.db import connection

from triage.domain.interning import as_json, numbered
from triage.domain.ownership.steps import Resolution, to_json


def trail_ids(answers: Iterable[Resolution]) -> dict[bytes, int]:
    """Digest to id of the OwnerTrail, storing the new ones: three statements, however many answers."""
    wanted = {answer.digest: answer for answer in answers}
    known = numbered("triage_ownertrail", wanted)
    # In one order, so that two imports do not wait for each other.
    new = [answer for digest, answer in sorted(wanted.items(), key=itemgetter(0)) if digest not in known]
    if new:
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO triage_ownertrail (digest, team_id, steps) SELECT decode(r->>0, 'hex'), (r->>1)::bigint, (r->2)::jsonb"
                " FROM json_array_elements(%s) AS r ON CONFLICT (digest) DO NOTHING",
                [as_json([(answer.digest.hex(), answer.team_id, to_json(answer.steps)) for answer in new])],
            )
        known |= numbered("triage_ownertrail", (answer.digest for answer in new))
    return known
