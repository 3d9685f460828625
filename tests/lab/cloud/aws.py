"""AWS's API as far as berth calls it: ECR's and ECR Public's GetAuthorizationToken, JSON 1.1,
signed with SigV4.
"""

import base64
import re
import uuid

from . import sigv4
from .canary import Canaries
from .message import Response, json_response
from .server import Server
from .sigv4 import Refused

JSON_1_1 = "application/x-amz-json-1.1"
LIFE = 12 * 3600
# Target -> (service name in the signature, shape of the answer)
OPERATIONS = {
    "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken": ("ecr", "list"),
    "SpencerFrontendService.GetAuthorizationToken": ("ecr-public", "object"),
}
_REGIONAL_HOST = re.compile(r"^(?:api\.)?(?:ecr|ecr-fips|ecr-public)\.([a-z0-9-]+)\.")


def access_denied(
    action="ecr:GetAuthorizationToken",
    role="web",
    account="123456789012",
    instance="i-0123456789abcdef0",
):
    """The refusal of a role whose policy lacks the action, as AWS words it."""
    return Refused(
        "AccessDeniedException",
        f"User: arn:aws:sts::{account}:assumed-role/{role}/{instance} is not "
        f"authorized to perform: {action} "
        f"on resource: * because no identity-based policy allows the {action} action",
    )


ERRORS = {
    "AccessDenied": access_denied(),
    "Throttling": Refused("ThrottlingException", "Rate exceeded"),
    "InternalFailure": Refused(
        "InternalFailure", "The request processing has failed because of an unknown error.", 500
    ),
    "ServiceUnavailable": Refused(
        "ServiceUnavailable", "Service is unable to handle request.", 503
    ),
    "ExpiredToken": Refused(
        "ExpiredTokenException", "The security token included in the request is expired"
    ),
    "UnrecognizedClient": Refused(
        "UnrecognizedClientException", "The security token included in the request is invalid."
    ),
    "InvalidSignature": Refused(
        "InvalidSignatureException",
        "The request signature we calculated does not match the "
        "signature you provided. Check your AWS Secret Access Key and signing method. Consult "
        "the service documentation for details.",
    ),
}


class Passwords:
    """The registry passwords given out by GetAuthorizationToken: `AWS` is the user; check() is for
    a Basic registry.
    """

    def __init__(self, canaries, registries, now):
        self._canaries, self.registries, self._now = canaries, set(registries), now
        self.expiry = {}

    def new(self, life=LIFE):
        password = self._canaries.new(
            "ECR password", 1200, allowed=self.registries, prefix="eyJwYXlsb2FkIjoi"
        )
        self.expiry[password] = self._now() + life
        return password

    def check(self, user, password):
        return user == "AWS" and self.expiry.get(password, 0) > self._now()

    def expire(self):
        """None that was given out is good any more."""
        self.expiry = {password: 0 for password in self.expiry}


class Aws(Server):
    """The API at all its host names. Credentials: those of `sources` (Imds, ContainerCredentials)
    and add_user().

    The region a request must be signed for comes from its Host (api.ecr.REGION.…), else it is
    .region. .deny is an entry of ERRORS (or access_denied(…)) that answers every correctly signed
    request; None for success. .clock_offset = 16 * 60 makes the instance's clock look wrong.
    """

    def __init__(
        self,
        *,
        sources=(),
        region="eu-west-1",
        account="123456789012",
        registries=("ecr",),
        canaries=None,
        **kwargs,
    ):
        super().__init__("aws", **kwargs)
        self.canaries = canaries or Canaries()
        self.region, self.account = region, account
        self.sources = list(sources)
        self.users = []
        self.passwords = Passwords(self.canaries, registries, self.now)
        self.public_passwords = Passwords(self.canaries, {"ecr-public-token"}, self.now)
        self.deny = None
        self.refusals = []  # every Refused so far

    def add_user(self, credentials):
        """Take these RoleCredentials too (keys from the environment)."""
        self.users.append(credentials)
        return credentials

    def find(self, access_key):
        for credentials in [c for s in self.sources for c in s.issued] + self.users:
            if credentials.access_key == access_key:
                return credentials
        return None

    async def respond(self, request):
        try:
            return self._call_operation(request)
        except Refused as refused:
            self.refusals.append(refused)
            return self.error(refused)

    def error(self, refused):
        return json_response(
            refused.status,
            {"__type": refused.code, "message": refused.message},
            self._common(),
            JSON_1_1,
        )

    def _call_operation(self, request):
        if request.method != "POST" or request.path != "/":
            return Response(404, self._common(), b"<UnknownOperationException/>\n")
        operation = OPERATIONS.get(request.header("X-Amz-Target"))
        if operation is None or request.header("Content-Type") != JSON_1_1:
            raise Refused("UnknownOperationException", "")
        service, shape = operation
        region = "us-east-1" if service == "ecr-public" else self._region_of(request)
        signer = sigv4.check(
            request,
            self.find,
            region=region,
            service=service,
            scheme="https" if self.tls else "http",
            now=self.now(),
        )
        if not request.body.strip().startswith(b"{"):
            raise Refused("SerializationException", "")
        if self.deny or signer.denied:
            raise self.deny or signer.denied
        passwords = self.public_passwords if shape == "object" else self.passwords
        token = base64.b64encode(f"AWS:{passwords.new()}".encode()).decode()
        data = {"authorizationToken": token, "expiresAt": round(self.now() + LIFE, 3)}
        if shape == "list":
            data["proxyEndpoint"] = f"https://{self.account}.dkr.ecr.{region}.amazonaws.com"
            data = [data]
        return json_response(200, {"authorizationData": data}, self._common(), JSON_1_1)

    def _region_of(self, request):
        match = _REGIONAL_HOST.match(request.header("Host", ""))
        return match[1] if match else self.region

    @staticmethod
    def _common():
        return [("x-amzn-RequestId", str(uuid.uuid4()))]
