"""What a page finds on its request, besides what Django puts there."""

from collections.abc import Callable
from functools import partial, wraps
from typing import Any, TypeVar, cast

from django.db import transaction
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext_noop as _
from django_htmx.middleware import HtmxDetails
from django_q.tasks import async_task

from triage.domain.access import Actor, Right
from triage.domain.errors import Invalid
from triage.models import User

ATTACHMENT = 20 * 2**20
View = TypeVar("View", bound=Callable[..., HttpResponseBase])


class PageRequest(HttpRequest):
    """`theme`: light, dark or '' for the system's. `shortcuts`: whether single keys do anything."""

    htmx: HtmxDetails
    actor: Actor
    theme: str
    shortcuts: bool
    user: User
    LANGUAGE_CODE: str


def needs(right: Right) -> Callable[[View], View]:
    """The page is for people with this right; everybody else is told so."""

    def guard(view: View) -> View:
        @wraps(view)
        def guarded(request: PageRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            request.actor.demand(right)
            return view(request, *args, **kwargs)

        return cast("View", guarded)

    return guard


def signed_in(request: HttpRequest) -> User | None:
    """Who looks at a page that also people see who are not signed in."""
    return request.user if isinstance(request.user, User) else None


def nudge(task: str, *ids: int | str) -> None:
    """Ask a worker for a task of `triage.tasks`, once what was written is committed."""
    transaction.on_commit(partial(async_task, f"triage.tasks.{task}", *ids))


def attachment(request: PageRequest, name: str) -> bytes | None:
    """A file of the form, to be kept as evidence; None for none. Raises Invalid for a large one."""
    uploaded = request.FILES.get(name)
    if uploaded is None:
        return None
    if (uploaded.size or 0) > ATTACHMENT:
        raise Invalid(_("The file is larger than %(limit)s MB."), limit=ATTACHMENT // 2**20)
    return bytes(uploaded.read())


def back_to(request: HttpRequest, otherwise: str) -> str:
    """The page that a form says it came from, if it is one of ours."""
    wanted = request.POST.get("next", "")
    ours = url_has_allowed_host_and_scheme(wanted, allowed_hosts={request.get_host()}, require_https=request.is_secure())
    return wanted if ours else otherwise
