"""Who calls: the token in `Authorization: Bearer cspm_…`. No cookie opens this door, so no other site's page can use it."""

from django.utils.timezone import now
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from triage.api.texts import said
from triage.domain import tokens
from triage.models import ApiToken, User

SCHEME = "bearer"


class TokenAuthentication(BaseAuthentication):
    """`request.user` is the token's person, `request.auth` the token."""

    def authenticate(self, request: Request) -> tuple[User, ApiToken] | None:
        scheme, _space, secret = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != SCHEME:
            return None
        try:
            token = tokens.recognise(secret.strip(), at=now())
        except tokens.NotAuthentic as error:
            raise AuthenticationFailed(said(error.text)) from error
        return token.user, token

    def authenticate_header(self, request: Request) -> str:  # noqa: ARG002 - the framework's signature
        return 'Bearer realm="CSPM Triage"'
