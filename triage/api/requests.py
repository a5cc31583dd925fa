"""What a door finds on its request once the token was recognised."""

from rest_framework.request import Request

from triage.domain.access import Actor
from triage.models import ApiToken, User


class TokenRequest(Request):
    """`caller`: who acts. Not `actor`: that is whoever a cookie names, which no door of the API asks."""

    user: User
    auth: ApiToken
    caller: Actor
