"""A whole cloud at its real names and addresses, or on loopback."""

from contextlib import ExitStack

from .aws import Aws
from .blobhost import BlobHost
from .ca import CA
from .canary import Canaries
from .imds import IPV4, IPV6, ContainerCredentials, Imds
from .registry import ecr_like, ghcr_like
from .server import Trap

CONTAINER_CREDENTIALS = "169.254.170.2"
# Names in the namespace, at addresses that lab.Namespace has. {region} and {account} are the
# world's.
PLACES = {
    "aws": (
        "203.0.113.11",
        [
            "api.ecr.{region}.amazonaws.com",
            "api.ecr.us-east-1.amazonaws.com",
            "api.ecr-public.us-east-1.amazonaws.com",
        ],
    ),
    "ecr": ("203.0.113.12", ["{account}.dkr.ecr.{region}.amazonaws.com"]),
    "s3": ("203.0.113.13", ["prod-{region}-starport-layer-bucket.s3.{region}.amazonaws.com"]),
    "ghcr": ("203.0.113.14", ["ghcr.io"]),
    "ghcr-blobs": ("203.0.113.15", ["pkg-containers.githubusercontent.com"]),
    "trap": ("203.0.113.16", ["evil.example"]),
}


class World:
    """See README.md. namespace: a lab.Namespace, whose .hosts and .ca it sets, or None."""

    def __init__(self, namespace=None, *, region="eu-west-1", account="123456789012", **imds):
        self.namespace, self.region, self.account = namespace, region, account
        self.canaries, self.ca = Canaries(), CA()
        common = {"canaries": self.canaries}
        inside = {"netns": str(namespace.path)} if namespace else {}
        metadata = {"listen": [(IPV4, 80), (IPV6, 80)], **inside} if namespace else {}
        agent = {"listen": [(CONTAINER_CREDENTIALS, 80)], **inside} if namespace else {}
        self.imds = Imds(region=region, account=account, **common, **metadata, **imds)
        self.container = ContainerCredentials(authorization=None, **common, **agent)
        self.aws = Aws(
            sources=[self.imds, self.container],
            region=region,
            account=account,
            **common,
            **self._at("aws")
        )
        self.s3 = BlobHost("s3", **common, **self._at("s3"))
        self.ecr = ecr_like(self.aws, blob_host=self.s3, **self._at("ecr"))
        self.ghcr_blobs = BlobHost("ghcr-blobs", style="azure", **common, **self._at("ghcr-blobs"))
        self.ghcr = ghcr_like(blob_host=self.ghcr_blobs, **common, **self._at("ghcr"))
        self.trap = Trap(**self._at("trap"))
        self._stack = None

    def _at(self, place):
        if not self.namespace:
            return {}
        address, names = PLACES[place]
        names = list(
            dict.fromkeys(n.format(region=self.region, account=self.account) for n in names)
        )
        for name in names:
            self.namespace.hosts[name] = address
        return {
            "listen": [(address, 443)],
            "netns": str(self.namespace.path),
            "host": names[0],
            "tls": self.ca.certificate(*names),
        }

    @property
    def servers(self):
        return [
            self.imds,
            self.container,
            self.aws,
            self.ecr,
            self.s3,
            self.ghcr,
            self.ghcr_blobs,
            self.trap,
        ]

    def set_clock(self, ahead):
        """The cloud's clock is so many seconds ahead: to berth its own is wrong by that."""
        for server in self.servers:
            server.clock_offset = ahead

    def env(self):
        """What berth's environment must say: nothing but the test CA in a namespace."""
        if self.namespace:
            return {"SSL_CERT_FILE": str(self.ca.pem)}
        return {
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": self.imds.url,
            "AWS_ENDPOINT_URL_ECR": self.aws.url,
            "AWS_ENDPOINT_URL_ECR_PUBLIC": self.aws.url,
        }

    def __enter__(self):
        if self.namespace:
            self.namespace.ca = self.ca.pem
        with ExitStack() as stack:
            for server in (self.imds, self.container, self.aws, self.ecr, self.ghcr, self.trap):
                stack.enter_context(server)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc):
        return self._stack.__exit__(*exc)
