"""The instance metadata service, version 2 only, as an instance with a role and tags sees it.

Behaviour from the EC2 user guide, "Use the Instance Metadata Service": tokens by PUT with a TTL of
1 to 21600 s, none for a PUT with X-Forwarded-For, 401 without a valid token. See faults.py for what
it can be scripted to do instead.
"""

import json
import time

from .canary import Canaries
from .message import Response, text
from .server import Server

TOKEN_PATH = "/latest/api/token"
TTL_MAX = 21600
IPV4, IPV6 = "169.254.169.254", "fd00:ec2::254"


class RoleCredentials:
    """One set of temporary keys, all canaries; the AWS double knows them by the access key."""

    def __init__(self, canaries, allowed, life=6 * 3600, clock=time.time, label="role"):
        self.access_key = canaries.new(
            f"{label} access key",
            20,
            allowed=allowed,
            prefix="ASIA",
            alphabet="ABCDEFGHIJKLMNOPQRSTUVWXYZ234567",
        )
        self.secret_key = canaries.new(f"{label} secret key", 40)  # signs, is never sent
        self.session_token = canaries.new(
            f"{label} session token", 800, allowed=allowed, prefix="IQoJb3JpZ2luX2Vj"
        )
        self.updated = clock()
        self.expires = self.updated + life
        self.denied = None  # code and message of the error that AWS answers, see aws.py

    def document(self):
        """As IMDS serves it."""
        return {
            "Code": "Success",
            "LastUpdated": stamp(self.updated),
            "Type": "AWS-HMAC",
            "AccessKeyId": self.access_key,
            "SecretAccessKey": self.secret_key,
            "Token": self.session_token,
            "Expiration": stamp(self.expires),
        }


def stamp(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


class Imds(Server):
    """The service. .tree maps paths below /latest to text, bytes, a function giving one, or None
    for 404.

    .credentials is the current RoleCredentials; role=None is an instance without a profile.
    """

    def __init__(
        self,
        *,
        role="web",
        region="eu-west-1",
        instance="i-0123456789abcdef0",
        account="123456789012",
        canaries=None,
        aws_names=("aws",),
        tags=None,
        **kwargs,
    ):
        super().__init__("imds", **kwargs)
        self.canaries = canaries or Canaries()
        self.role, self.region, self.account = role, region, account
        self.aws_names = tuple(aws_names)
        self.tokens = {}  # token -> when it dies
        self.issued = []  # every RoleCredentials so far, newest last
        self.tree = {
            "meta-data/ami-id": "ami-0123456789abcdef0",
            "meta-data/instance-id": instance,
            "meta-data/instance-type": "t3.small",
            "meta-data/local-ipv4": "10.0.0.10",
            "meta-data/placement/availability-zone": f"{region}a",
            "meta-data/placement/region": region,
            "meta-data/services/domain": "amazonaws.com",
            "meta-data/services/partition": "aws",
            "meta-data/autoscaling/target-lifecycle-state": "InService",
            "meta-data/spot/instance-action": None,
            "meta-data/events/recommendations/rebalance": None,
            "dynamic/instance-identity/document": json.dumps(
                {"accountId": account, "instanceId": instance, "region": region}
            ),
        }
        if role:
            self.rotate()
            self.tree["meta-data/iam/info"] = json.dumps(
                {
                    "Code": "Success",
                    "InstanceProfileArn": f"arn:aws:iam::{account}:instance-profile/{role}",
                }
            )
            self.tree[f"meta-data/iam/security-credentials/{role}"] = self._credentials_text
        for key, value in (tags or {}).items():
            self.tree[f"meta-data/tags/instance/{key}"] = value

    # --- for tests

    @property
    def credentials(self):
        return self.issued[-1]

    def rotate(self, life=6 * 3600):
        """Serve new role credentials; AWS takes the old ones too until they expire."""
        self.issued.append(RoleCredentials(self.canaries, self.aws_names, life, self.now))
        return self.credentials

    def forget_tokens(self):
        """Every session token given so far is answered by 401 from now on."""
        self.tokens.clear()

    def endpoint(self):
        """The value for AWS_EC2_METADATA_SERVICE_ENDPOINT."""
        return self.url

    def token_requests(self):
        return self.matching("PUT", TOKEN_PATH)

    def v1_requests(self):
        """GETs without a token: there must be none."""
        return [
            r
            for r in list(self.requests)
            if r.method == "GET" and not r.header("X-aws-ec2-metadata-token")
        ]

    # --- answers

    def _credentials_text(self):
        return json.dumps(self.credentials.document(), indent=2)

    async def respond(self, request):
        if request.header("X-Forwarded-For") is not None:
            return self._plain(403)
        if request.target.split("?")[0] == TOKEN_PATH:
            return self._token(request)
        if request.method not in ("GET", "HEAD"):
            return self._plain(405)
        if len(request.header_all("X-aws-ec2-metadata-token")) != 1 or not self.valid(request):
            return self._plain(401)
        return self._read(request.path)

    def valid(self, request):
        return self.tokens.get(request.header("X-aws-ec2-metadata-token"), 0) > self.now()

    def _token(self, request):
        if request.method != "PUT":
            return self._plain(405)
        ttl = request.header("X-aws-ec2-metadata-token-ttl-seconds", "")
        if not ttl.isdigit() or not 1 <= int(ttl) <= TTL_MAX:
            return self._plain(400)
        token = self.canaries.new("IMDS token", 56, allowed={self.name}, prefix="AQAEA")
        self.tokens[token] = self.now() + int(ttl)
        return text(200, token, [("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", ttl), *self._common()])

    def _read(self, path):
        parts = path.strip("/").split("/")
        if parts[0] == "latest":
            parts = parts[1:]
        key = "/".join(parts)
        if key in self.tree:
            value = self.tree[key]
            value = value() if callable(value) else value
            if value is not None:
                body = value if isinstance(value, bytes) else value.encode()
                return Response(200, [("Content-Type", "text/plain"), *self._common()], body)
        children = {}
        for entry, value in self.tree.items():
            if entry.startswith(key + "/" if key else "") and entry != key and value is not None:
                name, slash, _ = entry[len(key) + 1 if key else 0 :].partition("/")
                children[name + slash] = True
        if not children:
            return self._plain(404)
        return text(200, "\n".join(sorted(children)), self._common())

    @staticmethod
    def _common():
        return [("Accept-Ranges", "none"), ("Server", "EC2ws")]

    def _plain(self, status):
        title = {
            400: "Bad Request",
            401: "Unauthorized",
            403: "Forbidden",
            404: "Not Found",
            405: "Method Not Allowed",
        }[status]
        page = f'<?xml version="1.0" encoding="iso-8859-1"?>\n'
        page += f"<html><head><title>{status} - {title}</title></head></html>\n"
        return text(status, page, self._common(), "text/html")


class ContainerCredentials(Server):
    """What AWS_CONTAINER_CREDENTIALS_(RELATIVE|FULL)_URI point at: ECS's agent, or EKS's with a
    token.

    .authorization is the value demanded in the Authorization header (a canary), None for none.
    """

    PATH = "/v2/credentials/0b1c2d3e-test"

    def __init__(
        self,
        *,
        authorization=True,
        canaries=None,
        aws_names=("aws",),
        role="task",
        account="123456789012",
        **kwargs,
    ):
        super().__init__("container-credentials", **kwargs)
        self.canaries = canaries or Canaries()
        self.authorization = (
            self.canaries.new("container authorization token", 60, allowed={self.name})
            if authorization
            else None
        )
        self.aws_names = tuple(aws_names)
        self.arn = f"arn:aws:iam::{account}:role/{role}"
        self.issued = []
        self.rotate()

    @property
    def credentials(self):
        return self.issued[-1]

    @property
    def full_uri(self):
        return self.url + self.PATH

    def rotate(self, life=6 * 3600):
        self.issued.append(
            RoleCredentials(self.canaries, self.aws_names, life, self.now, "task role")
        )
        return self.credentials

    async def respond(self, request):
        def refuse(status, code):
            return Response(
                status,
                [("Content-Type", "application/json")],
                json.dumps({"code": code, "message": code, "HTTPErrorCode": status}).encode(),
            )

        if request.method != "GET" or request.path != self.PATH:
            return refuse(404, "InvalidIdInRequest")
        if self.authorization and request.header("Authorization") != self.authorization:
            return refuse(
                401,
                "NoAuthToken" if request.header("Authorization") is None else "InvalidAuthToken",
            )
        document = self.credentials.document()
        body = {
            key: document[key] for key in ("AccessKeyId", "SecretAccessKey", "Token", "Expiration")
        }
        return Response(
            200,
            [("Content-Type", "application/json")],
            json.dumps({"RoleArn": self.arn, **body}).encode(),
        )
