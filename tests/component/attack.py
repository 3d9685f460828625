"""What the hostile tests share: `berth pull` watched from outside, and an engine that tells whether it changed.

    def test_x(scene):                          # a fixture of conftest.py
        with scene.untouched():                     # no image, layer or spooled byte more than before
            pulled = scene.pull(reference).refused("redirect")

Every run is checked for what holds always: it ends by itself within its time, by exit code and not by signal, with
little memory, and its last words are one line.
"""

import contextlib
import http.client
import itertools
import json
import random
import socket
import subprocess
import time

import lab
from lab import paths
from lab.cloud.canary import ArgvWatch
from lab.cloud.images import image
from lab.cloud.layers import layer
from lab.cloud.registry import ScriptedRegistry
from service import Berth, binary, sanitized

# Shadow memory, and freed memory that is kept to catch its use, are not what is measured.
PEAK_MAX_KIB = 1 << 20 if sanitized() else 96 << 10
PYTHON = "/usr/bin/python3"

# wait4() of a process that the test itself has started counts the memory that the test had when it forked.
LAUNCHER = """
import os, sys
child = os.posix_spawn(sys.argv[2], sys.argv[2:], os.environ)
_, status, usage = os.wait4(child, 0)
with open(sys.argv[1], "w") as out:
    print(os.waitstatus_to_exitcode(status), usage.ru_maxrss, usage.ru_utime + usage.ru_stime, file=out)
"""

_numbers = itertools.count()
_random = random.Random(20260101)


class Pulled:
    """A finished `berth pull`."""

    def __init__(self, code, out, err, seconds, peak_kib, cpu_s, argv):
        self.code, self.out, self.err = code, out, err
        self.seconds, self.peak_kib, self.cpu_s, self.argv = seconds, peak_kib, cpu_s, argv

    @property
    def lines(self):
        """What it said, the phases aside."""
        phases = ("berth: resolving ", "berth: pulling ")
        return [line for line in self.err.splitlines() if not line.startswith(phases)]

    @property
    def last_line(self):
        return self.lines[-1] if self.lines else ""

    @property
    def answer(self):
        """What --json printed."""
        return json.loads(self.out)

    @property
    def texts(self):
        """For Canaries.assert_kept."""
        return {"stdout": self.out, "stderr": self.err, "argv": self.argv}

    def succeeded(self):
        assert self.code == 0, self
        return self

    def failed(self, *says, code=1):
        """Failed by that exit code, and the last line has all these words."""
        assert self.code == code, self
        assert not self.out, self
        for words in says:
            assert words in self.last_line, self
        return self

    def __repr__(self):
        return (
            f"exit {self.code} in {self.seconds:.1f} s, peak {self.peak_kib} KiB\n"
            f"--- stdout\n{self.out}--- stderr\n{self.err}"
        )


class Scene:
    """A namespace, an engine in it, and berth. With world=True also a whole cloud at its real names."""

    def __init__(self, kind="docker20", **engine):
        self.kind, self._engine_arguments = kind, engine

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            self.ns = stack.enter_context(lab.Namespace())
            self.engine = stack.enter_context(lab.Engine(self.kind, **self._engine_arguments))
            self.engine.start(self.ns)
            self.berth = Berth(self.ns, self.engine)
            if self.engine.containerd_store:
                self.berth.env["CONTAINERD_ADDRESS"] = self.engine.containerd_socket
            stack.callback(self.berth.close)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc):
        return self._stack.__exit__(*exc)

    @property
    def netns(self):
        """For the doubles."""
        return str(self.ns.path)

    def registry(self, **kwargs):
        """A ScriptedRegistry on loopback in the namespace; use it with `with`."""
        return ScriptedRegistry(netns=self.netns, **kwargs)

    def pull(
        self, reference, *argv, env=None, timeout=120, watch=False, peak_kib=PEAK_MAX_KIB, **popen
    ):
        """watch: sample the command lines too."""
        result = self.ns.run_dir / f"pull-{next(_numbers)}"
        started = time.monotonic()
        process = self.ns.run(
            [PYTHON, "-ISc", LAUNCHER, result, binary(), "pull", reference, *argv],
            env={**self.berth.env, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            **popen,
        )
        with ArgvWatch(process.pid) if watch else contextlib.nullcontext() as watched:
            try:
                out, err = process.communicate(timeout=timeout)
            except subprocess.TimeoutExpired:
                _kill_tree(process.pid)
                out, err = process.communicate()
                raise AssertionError(
                    f"berth pull still ran after {timeout} s\n{out}{err}"
                ) from None
        code, peak, cpu = result.read_text().split()
        argv = watched.text if watch else b""
        pulled = Pulled(
            int(code), out, err, time.monotonic() - started, int(peak), float(cpu), argv
        )
        assert pulled.code in (0, 1, 2, 75, 78), pulled
        assert pulled.peak_kib < peak_kib, pulled
        assert pulled.code == 0 or pulled.lines, pulled
        return pulled

    # --- what the engine has

    def ask(self, method, path):
        """(status, document) of the engine's API."""
        connection = http.client.HTTPConnection("docker", timeout=30)
        try:
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.settimeout(30)
            connection.sock.connect(str(self.engine.socket))
            connection.request(method, path)
            answer = connection.getresponse()
            body = answer.read()
            return answer.status, json.loads(body) if body.strip() else None
        finally:
            connection.close()

    def images(self):
        """ID -> names."""
        return {
            i["Id"]: sorted(i["RepoTags"] or []) for i in self.ask("GET", "/images/json?all=1")[1]
        }

    def inspect(self, name):
        status, document = self.ask("GET", f"/images/{name}/json")
        assert status == 200, document
        return document

    def remove(self, name):
        status, document = self.ask("DELETE", f"/images/{name}?force=1")
        assert status == 200, document
        self.collect_garbage()

    def collect_garbage(self):
        """A containerd does it in its own time, unless asked to."""
        if self.engine.containerd_store:
            self.engine.ctr("leases", "create", "--id", "test-gc")
            self.engine.ctr("leases", "delete", "--sync", "test-gc")

    def docker_pull(self, reference):
        """The engine's own pull: None, or why not."""
        connection = http.client.HTTPConnection("docker", timeout=300)
        try:
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.settimeout(300)
            connection.sock.connect(str(self.engine.socket))
            name, _, tag = reference.rpartition(":")
            connection.request("POST", f"/images/create?fromImage={name}&tag={tag}")
            lines = [
                json.loads(line) for line in connection.getresponse().read().splitlines() if line
            ]
        finally:
            connection.close()
        return next(
            (
                line.get("error") or line["message"]
                for line in lines
                if {"error", "message"} & line.keys()
            ),
            None,
        )

    def spool(self):
        """What the engine keeps of loads that are not over."""
        return sorted(p.name for p in (self.engine.data_dir / "tmp").glob("*"))

    def layers(self):
        """And what keeps some, of ours."""
        if self.engine.containerd_store:
            self.collect_garbage()
            lines = self.engine.ctr("snapshots", "ls").splitlines()[1:]
            leases = self.engine.ctr("leases", "ls").splitlines()[1:]
            return sorted(lines + [line for line in leases if "berth" in line])
        return sorted(
            p.name for p in (self.engine.data_dir / "image/overlay2/layerdb/sha256").glob("*")
        )

    @contextlib.contextmanager
    def untouched(self):
        """The block leaves the engine and the host as they were."""
        before, spooled = (self.images(), self.layers()), set(self.spool())
        yield

        def tidied_up():
            return set(self.spool()) <= spooled and (self.images(), self.layers()) == before

        # The daemon tidies up after a connection that has gone, in its own time.
        try:
            paths.wait_for("the engine is as it was", tidied_up, 30)
        except lab.LabError:
            assert (self.images(), self.layers()) == before
            assert set(self.spool()) <= spooled

    @contextlib.contextmanager
    def gains(self, document, reference):
        """The block makes the engine have that image by that name; it is removed afterwards."""
        yield
        got = self.inspect(reference)
        config = json.loads(document.data)["config"]["digest"]
        assert got["Id"] == config
        assert got["RootFS"].get("Layers", []) == [made.diff_id for made in document.layers]
        paths.wait_for("the engine has tidied up", lambda: not self.spool(), 20)
        self.remove(reference)


def _kill_tree(pid):
    for line in subprocess.run(
        ["pgrep", "-P", str(pid)], capture_output=True, text=True
    ).stdout.split():
        _kill_tree(int(line))
    subprocess.run(["kill", "-KILL", str(pid)], check=False)


def fresh_layer(size=100_000, compression="gzip"):
    """A layer that no engine has seen: random bytes, so about as large compressed."""
    number = next(_numbers)
    return layer([(f"file-{number}", _random.randbytes(size))], compression)


def fresh_image(*sizes, **kwargs):
    """An image of fresh layers, by default one of 100 kB."""
    return image([fresh_layer(size) for size in sizes or (100_000,)], **kwargs)


def config_digest(document):
    return json.loads(document.data)["config"]["digest"]


def blob(digest):
    """The path of a blob, for Server.on and .matching."""
    return f"/blobs/{digest}"
