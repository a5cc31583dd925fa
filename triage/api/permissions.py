"""Who may: the token's scope and its person's right, both. What a view does not name is denied."""

from dataclasses import dataclass
from typing import cast

from django.utils.translation import gettext_noop as _
from rest_framework.exceptions import MethodNotAllowed
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from triage.api.requests import TokenRequest
from triage.domain import tokens
from triage.domain.access import Right
from triage.domain.errors import NotAllowed
from triage.models import ApiToken


@dataclass(frozen=True, slots=True)
class Need:
    """What one method of a view asks for."""

    scope: str
    right: Right


class Denied(BasePermission):
    """For views that do not say who may."""

    def has_permission(self, request: Request, view: object) -> bool:  # noqa: ARG002 - the framework's signature
        return False


class TokenMay(BasePermission):
    """As the view's `needs` say, by method. Raises NotAllowed with what is missing."""

    def has_permission(self, request: Request, view: object) -> bool:
        token: object = request.auth
        if not isinstance(token, ApiToken):
            return False
        needs: dict[str, Need] = getattr(view, "needs", {})
        need = needs.get("GET" if request.method == "HEAD" else request.method or "")
        if need is None:
            raise MethodNotAllowed(str(request.method))
        if not tokens.has_scope(token, need.scope):
            raise NotAllowed(_("This token has no scope “%(scope)s”. Use one that has it."), scope=need.scope)
        caller = tokens.actor_of(token)
        caller.demand(need.right)
        cast(TokenRequest, request).caller = caller
        return True
