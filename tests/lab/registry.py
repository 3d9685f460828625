"""Debian's docker-registry in a namespace: open, with Basic auth as ECR, or with tokens as GHCR."""

import contextlib
import itertools
import json
import re
import secrets
import socket
import subprocess
from typing import NamedTuple

import bcrypt

from . import paths
from .namespace import Namespace
from .tokens import TokenServer

START_TIMEOUT_S = 15
STOP_TIMEOUT_S = 5
_ACCESS = re.compile(r'"([A-Z]+) (\S+) HTTP/[0-9.]+" (\d{3})')
_numbers = itertools.count()


class Request(NamedTuple):
    method: str
    path: str  # with the query
    status: int


class Registry:
    """A registry that is serving until stop() or the end of its `with`.

    auth: None, "basic" or "token". Plain http on 127.0.0.1 unless told otherwise:
    address: which of the namespace's addresses it listens on; name: a host name for it, known to
    all that runs in the namespace; tls: an object with .certificate and .key (PEM files, as
    cloud.ca.CA makes), and ca the file its clients are to trust; port: 443 with tls, else a free one.
    """

    def __init__(
        self,
        ns: Namespace,
        auth: str | None = None,
        address: str = "127.0.0.1",
        name: str | None = None,
        port: int | None = None,
        tls=None,
        ca=None,
        user: str = "lab",
        password: str | None = None,
    ):
        self.ns, self.auth, self.address, self.tls, self.ca = ns, auth, address, tls, ca
        self.port = port or (443 if tls else _free_port(ns, address))
        if name:
            ns.hosts[name] = address
        if not tls:
            ns.plain.append(name or address)
        standard = 443 if tls else 80
        self.host = (name or address) + ("" if self.port == standard else f":{self.port}")
        self.url = f"{'https' if tls else 'http'}://{self.host}"
        self.user = user if auth else ""
        self.password = (password or secrets.token_urlsafe(24)) if auth else ""
        label = f"registry-{next(_numbers)}"
        self.run_dir = ns.run_dir / label
        self.data_dir = ns.data_dir / label
        self.log = self.run_dir / "log"
        self.tokens: TokenServer | None = None
        self._process = None
        self.run_dir.mkdir()
        self.data_dir.mkdir()
        self.start()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.stop()

    def start(self):
        """Serve; again, on the same storage and port, after kill()."""
        config = self.run_dir / "config.json"  # JSON is YAML
        config.write_text(json.dumps(self._config(), indent=1))
        with open(self.log, "ab") as log:
            self._process = self.ns.run(
                ["docker-registry", "serve", str(config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={"OTEL_TRACES_EXPORTER": "none"},
            )
        try:
            paths.wait_for(f"registry {self.host} listens", self._listening, START_TIMEOUT_S)
        except paths.LabError as error:
            self.stop()
            raise paths.LabError(f"{error}\n{paths.tail(self.log)}") from None

    def _listening(self):
        if self._process.poll() is not None:
            raise paths.LabError(f"the registry ended, status {self._process.returncode}")
        with contextlib.suppress(OSError):
            self.ns.connect(self.address, self.port, timeout=1).close()
            return True
        return False

    def _config(self):
        http = {"addr": f"{self.address}:{self.port}", "secret": "lab"}
        if self.tls:
            http["tls"] = {"certificate": str(self.tls.certificate), "key": str(self.tls.key)}
        storage = {"filesystem": {"rootdirectory": str(self.data_dir)}}
        storage |= {"delete": {"enabled": True}, "maintenance": {"uploadpurging": {"enabled": False}}}
        config = {"version": "0.1", "log": {"level": "info"}, "http": http, "storage": storage}
        if self.auth == "basic":
            users = self.run_dir / "htpasswd"
            # The lowest cost: it is paid again at each request.
            hashed = bcrypt.hashpw(self.password.encode(), bcrypt.gensalt(4, b"2a"))
            users.write_bytes(self.user.encode() + b":" + hashed + b"\n")
            config["auth"] = {"htpasswd": {"realm": "lab", "path": str(users)}}
        elif self.auth == "token":
            self.tokens = self.tokens or TokenServer(self)
            config["auth"] = {"token": self.tokens.registry_config()}
        return config

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def requests(self) -> list[Request]:
        """What it was asked so far, in the order of the answers."""
        found = _ACCESS.findall(self.log.read_text(errors="replace"))
        return [Request(method, path, int(status)) for method, path, status in found]

    def forget_requests(self):
        """Empty the log, for a test that counts from here."""
        with open(self.log, "r+b") as log:
            log.truncate()

    def kill(self):
        self._process.kill()
        self._process.wait()

    def stop(self):
        if self._process and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self.kill()
        if self.tokens:
            self.tokens.stop()
        subprocess.run(["rm", "-rf", self.data_dir], check=False)


def _free_port(ns: Namespace, address: str) -> int:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with ns.call(socket.create_server, (address, 0), family=family) as server:
        return server.getsockname()[1]
