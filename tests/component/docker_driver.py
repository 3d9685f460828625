"""Running driver_docker, berth's Docker client, against an engine that is scripted or real."""

import contextlib
import json
import os
import subprocess
import time
from pathlib import Path

import pytest
from fake_docker import FakeDocker

BUILD = Path(os.environ.get("BERTH_BUILD", Path(__file__).resolve().parents[2]))
DRIVER = BUILD / "tests/component/driver_docker"


class Result:
    """What one run of the driver came to: its exit code, its JSON lines, its error's kind and text."""

    def __init__(self, done, seconds):
        self.code = done.returncode
        self.lines = [json.loads(line) for line in done.stdout.splitlines()]
        self.json = self.lines[-1] if self.lines else None
        self.kind, _, self.error = done.stderr.strip().partition(": ")
        self.seconds = seconds


def drive(host, *command, prefix=(), timeout=60):
    start = time.monotonic()
    argv = [*prefix, DRIVER, str(host), *map(str, command)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout)
    assert done.returncode in (0, 1, 2, 75, 78), f"{done.returncode}: {done.stderr}"
    return Result(done, time.monotonic() - start)


@pytest.fixture
def socket_path(tmp_path):
    return tmp_path / "docker.sock"


@pytest.fixture
def fake(socket_path):
    """fake({path: answer}) starts a scripted engine."""
    with contextlib.ExitStack() as stack:
        yield lambda script=None: stack.enter_context(FakeDocker(socket_path, script))
