"""berth as the tests run it: the built binary in a namespace, its log, its endpoint."""

import http.client
import json
import os
import signal
import subprocess
import threading
import time
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]


def binary() -> str:
    """The binary under test: $BERTH, else the static one, else the development build's."""
    for candidate in (os.environ.get("BERTH"), TOP / "dist/berth", TOP / "berth"):
        if candidate and Path(candidate).exists():
            return str(Path(candidate).resolve())
    raise FileNotFoundError("no berth binary: run scripts/build-static, or set BERTH")


def sanitized() -> bool:
    """Is it one of scripts/check-sanitizers?"""
    return b"__asan_init" in Path(binary()).read_bytes()


def request(ns, port, path="/", method="GET", host="127.0.0.1", timeout=10):
    """(status, body) of one request inside the namespace."""
    connection = http.client.HTTPConnection(host, port, timeout=timeout)
    try:
        connection.sock = ns.connect(host, port)
        connection.sock.settimeout(timeout)
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


class Done:
    """A finished run."""

    def __init__(self, code, out, err, seconds=0.0):
        self.code, self.out, self.err, self.seconds = code, out, err, seconds

    def passed(self, out=None):
        assert self.code == 0, self
        if out is not None:
            assert self.out == out, self
        return self

    def failed(self, code, *says):
        """Failed with this exit code and one line that says all this."""
        assert self.code == code, self
        assert self.err.count("\n") == 1, self
        for part in says:
            assert part in self.err, self
        return self

    @property
    def last_line(self):
        return self.err.strip().splitlines()[-1] if self.err.strip() else ""

    def __repr__(self):
        return f"exit {self.code}\n--- stdout\n{self.out}--- stderr\n{self.err}"


def finish(process, timeout, made=Done):
    """Wait for a process of any bytes on its pipes: what `made` makes of it. It ends in any case."""
    start = time.monotonic()
    try:
        out, err = process.communicate(timeout=timeout)
    finally:
        process.kill()
        process.wait()
    took_s = time.monotonic() - start
    out, err = out.decode("utf-8", "surrogateescape"), err.decode("utf-8", "replace")
    return made(process.returncode, out, err, took_s)


class Berth:
    """Runs berth against an engine with state of its own.

    `engine` may be None, or an Engine; `env` goes to every run.
    """

    def __init__(self, ns, engine=None, env=None):
        self.ns, self.engine = ns, engine
        self.state_dir, self.run_dir = ns.run_dir / "berth-state", ns.run_dir / "berth-run"
        self.env = {
            "BERTH_STATE_DIR": self.state_dir,
            "BERTH_RUN_DIR": self.run_dir,
            "BERTH_CONFIG": None,
            "DOCKER_CONFIG": ns.run_dir / "no-docker-config",
            "AWS_EC2_METADATA_DISABLED": None,
        }
        if engine:
            self.env["DOCKER_HOST"] = f"unix://{engine.socket}"
        self.env.update(env or {})
        self.services = []

    def run(self, *argv, timeout=300, env=None, **popen) -> Done:
        process = self.ns.run(
            [binary(), *argv],
            env={**self.env, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **popen,
        )
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            raise AssertionError(f"berth {argv} still ran after {timeout} s\n{out}{err}") from None
        return Done(process.returncode, out, err)

    def pull(self, reference, *argv, **kwargs) -> Done:
        return self.run("pull", reference, *argv, **kwargs)

    def pulled(self, reference, *argv, **kwargs) -> dict:
        """pull --json that has to succeed: its answer."""
        done = self.pull(reference, "--json", *argv, **kwargs)
        assert done.code == 0, done
        return json.loads(done.out)

    def up(self, reference, *argv, env=None, before=(), **popen) -> "Service":
        """before: the program that runs berth, and its arguments."""
        service = Service(self, ["up", *([reference] if reference else []), *argv], env, popen, before)
        self.services.append(service)
        return service

    def close(self):
        for service in self.services:
            service.kill()


class Service:
    """A running `berth up`."""

    def __init__(self, berth, argv, env, popen, before=()):
        self.berth, self.ns, self.port = berth, berth.ns, 8642
        self.lines = []
        self.process = berth.ns.run(
            [*before, binary(), *argv],
            env={**berth.env, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            **popen,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stderr:
            self.lines.append(line.rstrip("\n"))

    @property
    def err(self):
        return "\n".join(self.lines)

    def health(self):
        """(status code, document), or None while nobody listens."""
        try:
            status, body = request(self.ns, self.port, "/healthz")
        except OSError:
            return None
        return status, json.loads(body)

    def wait_health(self, wanted, timeout=60, seen=None):
        """Until /healthz says `wanted` (a status code, or the word in `status`); the document."""
        deadline = time.monotonic() + timeout
        answer = None
        while time.monotonic() < deadline:
            answer = self.health()
            if answer:
                if seen is not None and (not seen or seen[-1] != (answer[0], answer[1]["status"])):
                    seen.append((answer[0], answer[1]["status"]))
                if wanted in (answer[0], answer[1]["status"]):
                    return answer[1]
            if self.process.poll() is not None:
                break
            time.sleep(0.02)
        raise AssertionError(
            f"/healthz never said {wanted}; last {answer}, exit {self.process.poll()}\n{self.err}"
        )

    def ready(self, timeout=60):
        return self.wait_health(200, timeout)

    def wait_line(self, text, timeout=30):
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            for line in list(self.lines):
                if text in line:
                    return line
            time.sleep(0.02)
        raise AssertionError(f"the log never said {text!r}\n{self.err}")

    def wait(self, timeout=120):
        code = self.process.wait(timeout)
        self._reader.join(5)
        return code

    def stop(self, number=signal.SIGTERM, timeout=30):
        """Signal it, wait: its exit status."""
        self.process.send_signal(number)
        return self.wait(timeout)

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join(5)
