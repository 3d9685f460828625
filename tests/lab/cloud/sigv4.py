"""Checks a received request's SigV4 signature by computing it again with botocore."""

import calendar
import hashlib
import re
import time

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

ALGORITHM = "AWS4-HMAC-SHA256"
SKEW_MAX = 5 * 60
_FIELDS = re.compile(
    r"Credential=([^,\s]+),\s*SignedHeaders=([^,\s]+),\s*Signature=([0-9a-f]{64})$"
)


class Refused(Exception):
    """An AWS error: its code, its message, and the HTTP status of a JSON 1.1 service."""

    def __init__(self, code, message, status=400):
        super().__init__(f"{code}: {message}")
        self.code, self.message, self.status = code, message, status


def stamp(seconds):
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(seconds))


def check(request, find_credentials, *, region, service, scheme, now):
    """The RoleCredentials that signed the request; raises Refused in AWS's words.

    find_credentials: access key -> RoleCredentials or None.
    """
    if len(request.header_all("Authorization")) != 1:
        raise Refused("MissingAuthenticationTokenException", "Missing Authentication Token")
    authorization = request.header("Authorization")
    fields = (
        _FIELDS.match(authorization[len(ALGORITHM) :].strip())
        if authorization.startswith(ALGORITHM + " ")
        else None
    )
    if not fields:
        raise Refused(
            "IncompleteSignatureException",
            "Authorization header requires 'Credential', 'Signature' "
            "and 'SignedHeaders' parameters.",
        )
    access_key, *scope = fields[1].split("/")
    credentials = find_credentials(access_key)
    if credentials is None or request.header("X-Amz-Security-Token") != credentials.session_token:
        raise Refused(
            "UnrecognizedClientException", "The security token included in the request is invalid."
        )
    date = _date(request)
    if scope != [date[:8], region, service, "aws4_request"]:
        raise Refused("InvalidSignatureException", _scope_message(scope, date, region, service))
    signed = fields[2].split(";")
    _check_signed_headers(request, signed)
    _check_clock(date, now)
    if _signature(request, credentials, signed, date, region, service, scheme) != fields[3]:
        raise Refused(
            "InvalidSignatureException",
            "The request signature we calculated does not match the signature you "
            "provided. Check your AWS "
            "Secret Access Key and signing method. Consult the service documentation for details.",
        )
    if credentials.expires <= now:
        raise Refused(
            "ExpiredTokenException", "The security token included in the request is expired"
        )
    return credentials


def _date(request):
    dates = request.header_all("X-Amz-Date")
    if len(dates) != 1 or not re.fullmatch(r"\d{8}T\d{6}Z", dates[0]):
        raise Refused(
            "IncompleteSignatureException", "Authorization header requires one X-Amz-Date header."
        )
    return dates[0]


def _scope_message(scope, date, region, service):
    if len(scope) != 4 or scope[3] != "aws4_request":
        return "Credential should be scoped with a valid terminator: 'aws4_request'."
    if scope[1] != region:
        return f"Credential should be scoped to a valid region, not '{scope[1]}'. "
    if scope[2] != service:
        return f"Credential should be scoped to correct service: '{service}'. "
    return (
        "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date "
        "from HTTP: "
        f"'{scope[0]}' != '{date[:8]}', from '{date}'."
    )


def _check_signed_headers(request, signed):
    if signed != sorted(signed) or any(name != name.lower() for name in signed):
        raise Refused("InvalidSignatureException", "SignedHeaders must be lower case and sorted.")
    must = {"host"} | {
        name.lower() for name, _ in request.headers if name.lower().startswith("x-amz-")
    }
    missing = must - set(signed)
    if missing:
        raise Refused(
            "InvalidSignatureException",
            f"'{sorted(missing)[0]}' must be a 'SignedHeader' in the AWS Authorization.",
        )


def _check_clock(date, now):
    then = calendar.timegm(time.strptime(date, "%Y%m%dT%H%M%SZ"))
    if then < now - SKEW_MAX:
        raise Refused(
            "InvalidSignatureException",
            f"Signature expired: {date} is now earlier than "
            f"{stamp(now - SKEW_MAX)} ({stamp(now)} - 5 min.)",
        )
    if then > now + SKEW_MAX:
        raise Refused(
            "InvalidSignatureException",
            f"Signature not yet current: {date} is still later than "
            f"{stamp(now + SKEW_MAX)} ({stamp(now)} + 5 min.)",
        )


def _signature(request, credentials, signed, date, region, service, scheme):
    claimed = request.header("X-Amz-Content-SHA256")
    if claimed is not None and claimed != hashlib.sha256(request.body).hexdigest():
        raise Refused(
            "InvalidSignatureException", "The value of x-amz-content-sha256 is not the body's hash."
        )
    again = AWSRequest(
        method=request.method,
        url=f"{scheme}://{request.header('Host', '')}{request.target}",
        data=request.body,
    )
    for name, value in request.headers:
        if name.lower() in signed:
            again.headers.add_header(name, value)
    again.context["timestamp"] = date
    # Botocore signs a payload by https only when told so.
    again.context["payload_signing_enabled"] = True
    signer = SigV4Auth(Credentials(credentials.access_key, credentials.secret_key), service, region)
    return signer.signature(signer.string_to_sign(again, signer.canonical_request(again)), again)
