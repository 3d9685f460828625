"""A token server as GHCR and Docker Hub have: Basic or nothing in, a JWT for a scope out."""

import base64
import datetime
import http.server
import json
import secrets
import ssl
import threading
import time
from urllib.parse import parse_qs, urlsplit

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

ISSUER = "lab"
LIFE_S = 300


class TokenServer:
    """The realm of one registry, on the registry's own address; ended by stop().

    The test may change at any time: life_s (validity, and expires_in unless that is set),
    expires_in, field ("token" or "access_token"), anonymous_pull (tokens without credentials, as
    for public images) and service. What was asked is in requests: dicts with path, user,
    password, authorization, scope and status.
    """

    def __init__(self, registry):
        self.registry = registry
        self.service = "lab-registry"
        self.life_s = LIFE_S
        self.expires_in = None
        self.field = "token"
        self.anonymous_pull = False
        self.requests: list[dict] = []
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._certificate = self._self_signed()
        self._bundle = registry.run_dir / "token-root.pem"
        self._bundle.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))
        listener = registry.ns.listen(registry.address)
        port = listener.getsockname()[1]
        if registry.tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(registry.tls.certificate, registry.tls.key)
            listener = context.wrap_socket(listener, server_side=True)
        scheme, _, host = registry.url.partition("://")
        self.realm = f"{scheme}://{host.partition(':')[0]}:{port}/token"
        self._server = http.server.ThreadingHTTPServer(
            (registry.address, port), _Handler, bind_and_activate=False
        )
        self._server.socket.close()
        self._server.socket = listener
        self._server.daemon_threads = True
        self._server.tokens = self
        threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True).start()

    def registry_config(self) -> dict:
        return {
            "realm": self.realm,
            "service": self.service,
            "issuer": ISSUER,
            "rootcertbundle": str(self._bundle),
        }

    def answer(self, user: str | None, password: str | None, query: dict) -> tuple[int, dict]:
        """Status and document for a request; what a test may replace."""
        known = user is not None
        if known and not (
            user == self.registry.user and secrets.compare_digest(password, self.registry.password)
        ):
            return 401, {"errors": [{"code": "UNAUTHORIZED", "message": "bad credentials"}]}
        access = []
        for scope in query.get("scope", []):
            kind, name, actions = scope.rsplit(":", 2) if scope.count(":") > 1 else (scope, "", "")
            allowed = [a for a in actions.split(",") if known or (self.anonymous_pull and a == "pull")]
            if allowed:
                access.append({"type": kind, "name": name, "actions": allowed})
        life = self.life_s if self.expires_in is None else self.expires_in
        token = self._sign(user or "", access)
        return 200, {self.field: token, "expires_in": life, "issued_at": _rfc3339(time.time())}

    def _sign(self, subject, access):
        now = int(time.time())
        der = self._certificate.public_bytes(serialization.Encoding.DER)
        claims = {
            "iss": ISSUER,
            "sub": subject,
            "aud": self.service,
            "exp": now + self.life_s,
            "nbf": now - 10,
            "iat": now,
            "jti": secrets.token_hex(8),
            "access": access,
        }
        header = {"x5c": [base64.b64encode(der).decode()]}
        return jwt.encode(claims, self._key, algorithm="ES256", headers=header)

    def _self_signed(self):
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "lab tokens")])
        now = datetime.datetime.now(datetime.timezone.utc)
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=30))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )

    def stop(self):
        self._server.shutdown()
        self._server.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        tokens = self.server.tokens
        query = parse_qs(urlsplit(self.path).query)
        header = self.headers.get("Authorization")
        user, password = _basic(header)
        status, document = tokens.answer(user, password, query)
        tokens.requests.append(
            {
                "path": self.path,
                "user": user,
                "password": password,
                "authorization": header,
                "scope": query.get("scope", []),
                "status": status,
            }
        )
        self._send(status, json.dumps(document).encode())

    def do_POST(self):
        """containerd tries OAuth2 first, and takes this for "use GET"."""
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self._send(405, b"{}")

    def _send(self, status, body):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


def _basic(header):
    kind, _, value = (header or "").partition(" ")
    if kind.lower() != "basic":
        return None, None
    try:
        user, _, password = base64.b64decode(value).decode().partition(":")
    except ValueError:
        return "", ""
    return user, password


def _rfc3339(seconds):
    return datetime.datetime.utcfromtimestamp(seconds).strftime("%Y-%m-%dT%H:%M:%SZ")
