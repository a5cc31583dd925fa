"""Bundles for auditors: order one, see what became of it, fetch it."""

from datetime import timedelta
from typing import Any

from django.contrib import messages
from django.http import FileResponse, HttpResponse
from django.shortcuts import redirect, render
from django.utils.timezone import now
from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _
from django.views.decorators.http import require_http_methods, require_POST

from triage.domain import bundles, ledger
from triage.domain.access import Right
from triage.domain.errors import Invalid, TriageError
from triage.domain.queries import who
from triage.models import Bundle
from triage.web.days import beginning_of, end_of
from triage.web.middleware import status_code
from triage.web.requests import PageRequest, attachment, needs, nudge


@require_http_methods(["GET", "POST"])
@needs(Right.AUDIT)
def bundle_list(request: PageRequest) -> HttpResponse:
    """Fields: `since`, `until` (days, the second one included), `query`, `framework`, `sample`, `seed`, `head` (a file)."""
    shown: dict[str, Any] = {"error": None, "said": request.POST}
    status = 200
    if request.method == "POST":
        try:
            row = _ordered(request)
        except TriageError as error:
            shown["error"], status = error.text, status_code(error)
        else:
            nudge("make_bundle", row.pk)
            messages.info(request, gettext("%(bundle)s is being created.") % {"bundle": row})
            return redirect("bundles")
    rows = bundles.listed(actor=request.actor)
    names = who({row.actor for row in rows})
    keys = ledger.keys_on_record(actor=request.actor)
    shown |= {
        "rows": [(row, names[row.actor]) for row in rows], "sample": bundles.SAMPLE, "key": keys[0][1] if keys else "",
        "verifier": bundles.verifier_digest(), "making": any(row.state in ("waiting", "running") for row in rows), "at": now(),
    }  # fmt: skip
    return render(request, "triage/audit/bundles.html", shown, status=status)


@require_POST
@needs(Right.AUDIT)
def bundle_file(request: PageRequest, number: int) -> FileResponse:
    """The ZIP. By POST: that somebody fetched it is an event."""
    row, stream = bundles.fetch(bundle=number, actor=request.actor, at=now())
    return FileResponse(stream, as_attachment=True, filename=f"{row}.zip", content_type="application/zip")


def _ordered(request: PageRequest) -> Bundle:
    said = {name: request.POST.get(name, "").strip() for name in ("since", "until", "query", "framework", "sample", "seed")}
    sample = said["sample"] or str(bundles.SAMPLE)
    if not sample.isdecimal() or len(sample) > 6:
        raise Invalid(_("“%(text)s” is not a number."), text=sample[:20])
    head = attachment(request, "head") or b""
    to = end_of(said["until"]) + timedelta(microseconds=1)
    return bundles.order(
        wanted=bundles.Wanted(beginning_of(said["since"]), to, said["query"], said["framework"]),
        sample=int(sample), seed=said["seed"], head=head.decode("utf-8", "replace"), language=request.LANGUAGE_CODE,
        actor=request.actor, at=now(),
    )  # fmt: skip
