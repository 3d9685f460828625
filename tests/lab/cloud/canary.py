"""Secrets that can be recognised wherever they turn up.

Every secret of a test is a canary: a unique string that knows at which hosts it may be seen. After
the test all bytes that the doubles received, and all that berth printed, stored or showed to
others, are searched for every canary in every form it may take (plain, percent-encoded, hex, base64
at any alignment, so also inside `Basic`).
"""

import base64
import json
import os
import secrets
import string
import threading
import time
from pathlib import Path
from urllib.parse import quote

ALPHANUMERIC = string.ascii_letters + string.digits


class Canary(str):
    """A string with a .label and the set .allowed of names of servers that may receive it."""

    def __new__(cls, label, value, allowed=()):
        self = super().__new__(cls, value)
        self.label = label
        self.allowed = set(allowed)
        return self

    def forms(self):
        """(bytes, form) for each way of writing it, plain first."""
        raw = self.encode()
        yield raw, "plain"
        yield from self._once(
            [quote(self, safe="").encode(), quote(self).encode()], raw, "percent-encoded"
        )
        yield from self._once([json.dumps(self)[1:-1].replace("/", "\\/").encode()], raw, "JSON")
        yield raw.hex().encode(), "hex"
        for shift in range(3):
            # Characters that also depend on the neighbouring bytes are cut off: the first ones when
            # shifted, the last.
            coded = base64.b64encode(b"\0" * shift + raw).rstrip(b"=")
            first = (0, 2, 3)[shift]
            last = len(coded) - (1 if (shift + len(raw)) % 3 else 0)
            yield coded[first:last], "base64"
            yield from self._once(
                [coded[first:last].translate(bytes.maketrans(b"+/", b"-_"))],
                coded[first:last],
                "base64url",
            )

    @staticmethod
    def _once(candidates, plain, form):
        for candidate in dict.fromkeys(candidates):
            if candidate != plain:
                yield candidate, form

    def find(self, data):
        """The form in which `data` holds it, or None."""
        for form, name in self.forms():
            if form in data:
                return name
        return None


class Leak(AssertionError):
    pass


class Canaries:
    """All the canaries of a test. Each double makes its own with new()."""

    def __init__(self):
        self.all = []

    def new(self, label, length=40, *, allowed=(), prefix="", alphabet=ALPHANUMERIC):
        """A fresh secret that only the servers of those names may receive."""
        value = prefix + "".join(secrets.choice(alphabet) for _ in range(length - len(prefix)))
        return self.add(label, value, allowed)

    def add(self, label, value, allowed=()):
        canary = Canary(label, value, allowed)
        self.all.append(canary)
        return canary

    def assert_kept(self, servers=(), texts=None, dirs=(), pids=()):
        """No canary at a server it is not for, nor in texts (name -> str or bytes), files below
        dirs, argv of pids.

        Raises Leak, which lists each place without printing the secret.
        """
        for server in servers:
            server.settle()
        places = {f"a request to {s.name}": (s.received(), s.name) for s in servers}
        places.update(
            {
                name: (
                    data.encode("utf-8", "surrogateescape") if isinstance(data, str) else data,
                    None,
                )
                for name, data in (texts or {}).items()
            }
        )
        for directory in dirs:
            places.update({str(path): (data, None) for path, data in _files(directory)})
        for pid in pids:
            places.update({f"argv of {n}": (data, None) for n, data in _argv_tree(pid).items()})
        leaks = []
        for place, (data, host) in places.items():
            for canary in self.all:
                if host is not None and host in canary.allowed:
                    continue
                form = canary.find(data)
                if form:
                    leaks.append(f"{canary.label} ({form}) in {place}")
        if leaks:
            raise Leak("secrets where they must not be:\n  " + "\n  ".join(leaks))

    def seen(self, canary, server):
        """Whether the server got it: a secret should also arrive where it is for."""
        return canary.find(server.received()) is not None


def assert_canaries(logs, allowed):
    """The same search over plain data. logs: place -> bytes; allowed: canary -> places."""
    canaries = Canaries()
    for value, places in allowed.items():
        canaries.add(getattr(value, "label", str(value)[:4] + "…"), value, places)
    leaks = []
    for place, data in logs.items():
        for canary in canaries.all:
            form = canary.find(data) if place not in canary.allowed else None
            if form:
                leaks.append(f"{canary.label} ({form}) in {place}")
    if leaks:
        raise Leak("secrets where they must not be:\n  " + "\n  ".join(leaks))


def _files(directory):
    for root, _, names in os.walk(directory):
        for name in names:
            path = Path(root, name)
            if path.is_symlink():
                yield path, os.readlink(path).encode("utf-8", "surrogateescape")
            elif path.is_file():
                yield path, path.read_bytes()


def _argv_tree(pid):
    """pid -> its command line, for the process and all its descendants."""
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                stat = Path("/proc", entry, "stat").read_text(encoding="latin-1")
                parents[int(entry)] = int(stat.rpartition(")")[2].split()[1])
            except (OSError, ValueError, IndexError):
                continue
    wanted = {pid}
    grown = True
    while grown:
        more = {child for child, parent in parents.items() if parent in wanted} - wanted
        grown = bool(more)
        wanted |= more
    found = {}
    for member in wanted:
        try:
            found[member] = Path("/proc", str(member), "cmdline").read_bytes()
        except OSError:
            continue
    return found


class ArgvWatch:
    """Samples the command lines of a process and its descendants while it runs; give .text to
    assert_kept.

    with ArgvWatch(process.pid) as watch:
        process.wait()
    canaries.assert_kept(texts={"argv": watch.text})
    """

    def __init__(self, pid, interval=0.02):
        self.pid = pid
        self.interval = interval
        self.lines = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def text(self):
        return b"\n".join(sorted(self.lines))

    def _run(self):
        while not self._over.is_set():
            self.lines.update(_argv_tree(self.pid).values())
            time.sleep(self.interval)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()
