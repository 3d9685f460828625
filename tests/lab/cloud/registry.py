"""A registry to pull from (distribution-spec, docker v2), which behaves until its script says
otherwise.

Unlike docker-registry it serves any bytes under any name: what it hands out is exactly what the
test put in.
"""

import re

from .blobhost import BlobHost, serve_bytes
from .canary import Canaries
from .images import read_layout
from .login import Basic, Bearer, NoLogin, errors
from .message import Response, json_response
from .server import Server

_MANIFEST = re.compile(r"^/v2/(?P<repo>.+)/manifests/(?P<key>[^/]+)$")
_BLOB = re.compile(r"^/v2/(?P<repo>.+)/blobs/(?P<key>[^/]+)$")
_TAGS = re.compile(r"^/v2/(?P<repo>.+)/tags/list$")
VERSION = ("Docker-Distribution-Api-Version", "registry/2.0")


class ScriptedRegistry(Server):
    """login: NoLogin, Basic, Bearer. blob_host: a BlobHost to redirect blob GETs to (it is started
    and stopped with the registry), None to answer them here; .url_life seconds is how long its URLs
    live.

    .ranges: whether blobs served here honour Range. .digest_header: whether Docker-Content-Digest
    is sent. .redirect_status: 307, as ECR and GHCR.
    """

    def __init__(
        self,
        name="registry",
        *,
        login=None,
        blob_host=None,
        url_life=3600,
        ranges=True,
        canaries=None,
        **kwargs,
    ):
        super().__init__(name, **kwargs)
        self.canaries = canaries or Canaries()
        self.login = login or NoLogin()
        self.login.attach(self)
        self.blob_host = blob_host
        self.url_life, self.ranges = url_life, ranges
        self.digest_header, self.redirect_status = True, 307
        self.documents = {}  # repository -> {tag or digest: Document}
        self.blobs = {}  # repository -> {digest: bytes}

    # --- for tests

    @property
    def servers(self):
        """This one and those that belong to it, for Canaries.assert_kept."""
        return [self, *([self.blob_host] if self.blob_host else []), *self.login.servers]

    def push(self, document, repository, tag="latest"):
        """Serve the Document, all below it, and its blobs. Returns the reference by digest,
        `host/repo@sha256:…`.
        """
        documents, blobs = document.everything()
        served = self.documents.setdefault(repository, {})
        served.update({d.digest: d for d in documents})
        served[tag] = document
        self.blobs.setdefault(repository, {}).update(blobs)
        return f"{self.authority}/{repository}@{document.digest}"

    def push_layout(self, directory, repository, tag="latest", name=None):
        """push() of an OCI layout on disk."""
        return self.push(read_layout(directory, name), repository, tag)

    def reference(self, repository, tag="latest"):
        return f"{self.authority}/{repository}:{tag}"

    def blob_requests(self, digest=""):
        """GETs of blobs here (also those that were redirected)."""
        return self.matching("GET", f"/blobs/{digest}")

    def start(self):
        for server in self.servers[1:]:
            server.start()
        return super().start()

    def stop(self):
        for server in self.servers[1:]:
            server.stop()
        super().stop()

    def reset(self):
        super().reset()
        for server in self.servers[1:]:
            server.reset()

    # --- answers

    async def respond(self, request):
        if request.path == "/token":
            answer = await self.login.token(request) if request.method == "GET" else None
            return answer or errors(404, "UNSUPPORTED", "not found")
        if request.method not in ("GET", "HEAD"):
            return errors(405, "UNSUPPORTED", "The operation is unsupported.", [VERSION])
        for pattern, answer in (
            (_MANIFEST, self._manifest),
            (_BLOB, self._blob),
            (_TAGS, self._tags),
        ):
            match = pattern.match(request.path)
            if match:
                refusal = await self.login.refuse(request, match["repo"])
                if refusal is None and match["repo"] not in self.documents:
                    refusal = errors(
                        404,
                        "NAME_UNKNOWN",
                        f"The repository with name '{match['repo']}' does not exist",
                    )
                response = refusal or answer(request, **match.groupdict())
                return response.set(*VERSION)
        if request.path in ("/v2/", "/v2"):
            return (await self.login.refuse(request, None) or json_response(200, {})).set(*VERSION)
        return errors(404, "UNSUPPORTED", "not found")

    def _manifest(self, request, repo, key):
        document = self.documents[repo].get(key)
        if document is None:
            return errors(404, "MANIFEST_UNKNOWN", f"Requested image not found: {key}")
        headers = [("Content-Type", document.media_type), ("ETag", f'"{document.digest}"')]
        if self.digest_header:
            headers.append(("Docker-Content-Digest", document.digest))
        return Response(200, headers, document.data)

    def _blob(self, request, repo, key):
        data = self.blobs[repo].get(key)
        if data is None:
            return errors(404, "BLOB_UNKNOWN", "blob unknown to registry")
        if self.blob_host:
            url = self.blob_host.presign(f"/{self.name}/{repo}/blobs/{key}", data, self.url_life)
            return Response(
                self.redirect_status,
                [("Location", url), ("Content-Type", "application/octet-stream")],
            )
        headers = [("ETag", f'"{key}"')]
        if self.digest_header:
            headers.append(("Docker-Content-Digest", key))
        return serve_bytes(request, data, ranges=self.ranges, headers=headers)

    def _tags(self, request, repo):
        return json_response(
            200, {"name": repo, "tags": [t for t in self.documents[repo] if ":" not in t]}
        )


def ecr_like(aws=None, *, password=None, canaries=None, name="ecr", blob_host=None, **kwargs):
    """Basic, and blobs by 307 to an S3-like host. The password: what `aws` (an Aws double) gives
    out, or this one for the user AWS (a canary made here if neither is given; see
    .login.users["AWS"]).
    """
    canaries = canaries or (aws.canaries if aws else Canaries())
    if aws:
        login = Basic(check=aws.passwords.check)
        aws.passwords.registries.add(name)
    else:
        login = Basic({"AWS": password or canaries.new("ECR password", 1200, allowed={name})})
    blob_host = blob_host or BlobHost("s3", canaries=canaries)
    return ScriptedRegistry(name, login=login, blob_host=blob_host, canaries=canaries, **kwargs)


def ghcr_like(
    *,
    users=None,
    public=False,
    canaries=None,
    name="ghcr",
    url_life=300,
    blob_host=None,
    host_kwargs=None,
    **kwargs,
):
    """Bearer from its own /token, and blobs by 307 to an Azure-like host where HEAD is 403 and URLs
    are short-lived. users: user -> PAT (by default "octocat" and a canary).
    """
    canaries = canaries or Canaries()
    if users is None:
        users = {"octocat": canaries.new("GHCR PAT", 40, allowed={name}, prefix="ghp_")}
    blob_host = blob_host or BlobHost(
        "ghcr-blobs", style="azure", canaries=canaries, **(host_kwargs or {})
    )
    return ScriptedRegistry(
        name,
        login=Bearer(users, public=public),
        blob_host=blob_host,
        url_life=url_life,
        canaries=canaries,
        **kwargs,
    )
