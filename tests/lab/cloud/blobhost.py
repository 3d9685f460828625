"""Where registries redirect blob GETs to: S3-like (ECR) or Azure-like (GHCR) hosts that serve
presigned URLs only.
"""

import time
import zlib
from urllib.parse import quote

from .canary import Canaries
from .message import Response
from .server import Server
from .sigv4 import stamp


def serve_bytes(request, data, *, ranges=True, headers=()):
    """200, 206 or 416 as RFC 9110 §14 has it, for one range; If-Range must be the ETag."""
    headers = [("Content-Type", "application/octet-stream"), *headers]
    etag = dict(headers).get("ETag")
    if ranges:
        headers.append(("Accept-Ranges", "bytes"))
    wanted = request.range if ranges else None
    if wanted is None or request.header("If-Range", etag) != etag:
        return Response(200, headers, data)
    first, last = wanted
    if first is None:
        first, last = max(len(data) - last, 0), len(data) - 1
    last = len(data) - 1 if last is None else min(last, len(data) - 1)
    if first >= len(data) or last < first:
        return Response(416, [*headers, ("Content-Range", f"bytes */{len(data)}")])
    return Response(
        206,
        [*headers, ("Content-Range", f"bytes {first}-{last}/{len(data)}")],
        data[first : last + 1],
    )


def xml_error(status, code, message):
    body = (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code>'
        f"<Message>{message}</Message>"
        f"<RequestId>TEST0000000000</RequestId></Error>"
    )
    return Response(
        status, [("Content-Type", "application/xml"), ("Server", "AmazonS3")], body.encode()
    )


class BlobHost(Server):
    """Serves what presign() gave a URL for, while it lives.

    .head: whether HEAD is answered (a URL signed for GET answers 403). .ranges: whether Range is
    honoured. A request with Authorization gets 400, as from S3, where the query is the one way to
    authenticate.
    """

    def __init__(self, name="s3", *, style="s3", canaries=None, ranges=True, head=False, **kwargs):
        super().__init__(name, **kwargs)
        self.canaries = canaries or Canaries()
        self.style, self.ranges, self.head = style, ranges, head
        self.signed = (
            {}
        )  # path -> (data, signature); the newest signature of a path is the one that counts
        self._signatures = {}  # signature -> (path, when it dies)

    def presign(self, path, data, life):
        """A URL for the bytes, good for `life` seconds; its signature is a canary."""
        signature = self.canaries.new(
            f"presigned signature of {self.name}",
            64,
            allowed={self.name},
            alphabet="0123456789abcdef",
        )
        expires = self.now() + life
        self.signed[path] = data
        self._signatures[signature] = (path, expires)
        if self.style == "azure":
            query = (
                f"se={quote(time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(expires)), safe='')}"
                f"&sp=r&sr=b&sv=2020-10-02&sig={signature}"
            )
        else:
            query = (
                f"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Date={stamp(self.now())}"
                "&X-Amz-SignedHeaders=host"
                f"&X-Amz-Expires={max(int(life), 1)}&X-Amz-Credential=ASIATESTBUCKET"
                f"&X-Amz-Signature={signature}"
            )
        return f"{self.url}{path}?{query}"

    def expire(self):
        """All URLs given so far are too old."""
        self._signatures = {
            signature: (path, 0) for signature, (path, _) in self._signatures.items()
        }

    async def respond(self, request):
        if request.header("Authorization") is not None:
            return xml_error(
                400,
                "InvalidArgument",
                "Only one auth mechanism allowed; only the X-Amz-Algorithm query "
                "parameter, Signature query string parameter or the Authorization header "
                "should be specified",
            )
        if request.method != "GET" and not (self.head and request.method == "HEAD"):
            return xml_error(
                403,
                "SignatureDoesNotMatch",
                "The request signature we calculated does not match the "
                "signature you provided. Check your key and signing method.",
            )
        path, expires = self._signatures.get(
            request.arg("sig" if self.style == "azure" else "X-Amz-Signature"), (None, 0)
        )
        if path is None or path != request.path:
            return xml_error(
                403, "SignatureDoesNotMatch", "The request signature we calculated does not match."
            )
        if expires <= self.now():
            return xml_error(403, "AccessDenied", "Request has expired")
        data = self.signed[path]
        headers = [
            ("ETag", f'"{zlib.crc32(path.encode()):08x}"'),
            ("Server", "AmazonS3" if self.style == "s3" else "Azure-Blob"),
            ("Last-Modified", "Mon, 01 Jan 2024 00:00:00 GMT"),
        ]
        return serve_bytes(request, data, ranges=self.ranges, headers=headers)
