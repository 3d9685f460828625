"""How a registry tells who may pull: nobody needs to, Basic (ECR), Bearer from a token endpoint
(GHCR, Docker Hub).
"""

import base64
import binascii
import time

from .message import json_response
from .server import Server


def errors(status, code, message, headers=()):
    """A distribution-spec error."""
    return json_response(
        status, {"errors": [{"code": code, "message": message, "detail": None}]}, headers
    )


def basic_credentials(request):
    """(user, password) of an Authorization: Basic header, or None."""
    scheme, _, value = request.header("Authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = (
            base64.b64decode(value.strip(), validate=True).decode().partition(":")
        )
    except (binascii.Error, UnicodeDecodeError):
        return None
    return (user, password) if colon else None


class NoLogin:
    """Everybody may."""

    servers = ()

    def attach(self, registry):
        pass

    async def refuse(self, request, repository):
        """None if the request may pull from the repository, else the Response to send."""
        return None

    async def token(self, request):
        return None


class Basic(NoLogin):
    """users: user -> password, or check(user, password) -> True, False, or "expired" (403, as
    ECR).
    """

    def __init__(self, users=None, check=None, service="ecr.amazonaws.com"):
        self.users = users or {}
        self._check = check or (
            lambda user, password: user in self.users and self.users[user] == password
        )
        self.service = service
        self._registry = None

    def attach(self, registry):
        self._registry = registry

    async def refuse(self, request, repository):
        given = basic_credentials(request)
        verdict = self._check(*given) if given else False
        if verdict is True:
            return None
        if verdict == "expired":
            return errors(
                403, "DENIED", "Your authorization token has expired. Reauthenticate and try again."
            )
        challenge = f'Basic realm="{self._registry.url}/",service="{self.service}"'
        return errors(401, "UNAUTHORIZED", "Not Authorized", [("WWW-Authenticate", challenge)])


class Bearer(NoLogin):
    """users: user -> password (the PAT). public: whether tokens for anonymous clients can pull.

    The token endpoint is the registry's own /token unless `host` is a TokenHost. expires_in None
    leaves the member out; field is "token", "access_token" or "both". .issued: token -> (scopes,
    when it dies). realm: text to send instead of the endpoint's true URL.
    """

    def __init__(
        self,
        users=None,
        *,
        public=False,
        service="ghcr.io",
        expires_in=300,
        field="token",
        host=None,
        realm=None,
        life=None,
    ):
        self.users = users or {}
        self.public, self.service = public, service
        self.expires_in, self.field, self.realm = expires_in, field, realm
        self.life = life  # what is really granted, if not what expires_in says
        self.host = host
        self.servers = (host,) if host else ()
        self.issued = {}
        self._registry = None
        if host:
            host.login = self

    def attach(self, registry):
        self._registry = registry

    def endpoint(self):
        return self.realm or (self.host or self._registry).url + "/token"

    def expire(self):
        """No token given so far is good any more."""
        self.issued = {token: (scopes, 0) for token, (scopes, _) in self.issued.items()}

    async def refuse(self, request, repository):
        scheme, _, token = request.header("Authorization", "").partition(" ")
        challenge = f'Bearer realm="{self.endpoint()}",service="{self.service}"'
        if repository:
            challenge += f',scope="repository:{repository}:pull"'
        if scheme.lower() == "bearer":
            scopes, dies = self.issued.get(token, ((), 0))
            if dies > self._registry.now() and (
                not repository or f"repository:{repository}:pull" in scopes
            ):
                return None
            challenge += (
                ',error="invalid_token"'
                if dies <= self._registry.now()
                else ',error="insufficient_scope"'
            )
        return errors(
            401, "UNAUTHORIZED", "authentication required", [("WWW-Authenticate", challenge)]
        )

    async def token(self, request):
        """The token endpoint's answer."""
        given = basic_credentials(request)
        if request.header("Authorization") is not None and (
            given is None or self.users.get(given[0]) != given[1]
        ):
            return errors(403, "DENIED", "denied")
        if given is None and not self.public:
            return errors(401, "UNAUTHORIZED", "authentication required")
        if request.arg("service") != self.service:
            return errors(
                400, "UNSUPPORTED", f"service {request.arg('service')!r} is not {self.service!r}"
            )
        scopes = tuple(s for scope in request.query.get("scope", []) for s in scope.split(" "))
        token = self._registry.canaries.new(
            "bearer token", 400, allowed={self._registry.name}, prefix="djE6"
        )
        life = (
            self.life
            if self.life is not None
            else 60
            if self.expires_in is None
            else self.expires_in
        )
        self.issued[token] = (scopes, self._registry.now() + life)
        names = ("token", "access_token") if self.field == "both" else (self.field,)
        answer = {name: token for name in names}
        if self.expires_in is not None:
            answer["expires_in"] = self.expires_in
            answer["issued_at"] = time.strftime(
                "%Y-%m-%dT%H:%M:%SZ", time.gmtime(self._registry.now())
            )
        return json_response(200, answer)


class TokenHost(Server):
    """A token endpoint on a host of its own (as auth.docker.io): Bearer(host=TokenHost())."""

    def __init__(self, name="token-host", **kwargs):
        super().__init__(name, **kwargs)
        self.login = None

    async def respond(self, request):
        if request.method == "GET" and request.path == "/token":
            return await self.login.token(request)
        return errors(404, "UNSUPPORTED", "not found")
