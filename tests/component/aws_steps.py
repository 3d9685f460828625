"""Runs berth, and single steps of its AWS layer, inside a namespace that is a small cloud."""

import hashlib
import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import service

BUILD = Path(os.environ.get("BERTH_BUILD") or Path(__file__).resolve().parents[2])
BERTH = service.binary()
DRIVER = BUILD / "tests/component/driver_aws"


@dataclass
class Done:
    code: int
    out: str
    err: str
    seconds: float

    def failed(self, code, *says):
        """Failed with this exit code and one line that says all this."""
        assert self.code == code, self
        assert self.err.count("\n") == 1, self
        for part in says:
            assert part in self.err, self
        return self

    def passed(self, out=None):
        assert self.code == 0, self
        if out is not None:
            assert self.out == out, self
        return self


def run(world, *argv, timeout=60, **env):
    """Run argv in the world's namespace to its end."""
    start = time.monotonic()
    process = world.namespace.run(
        argv,
        env={**world.env(), **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
    )
    try:
        out, err = process.communicate(timeout=timeout)
    finally:
        process.kill()
        process.wait()
    return Done(
        process.returncode,
        out.decode("utf-8", "surrogateescape"),
        err.decode("utf-8", "replace"),
        time.monotonic() - start,
    )


def metadata(world, *path, **env):
    return run(world, BERTH, "metadata", *path, **env)


def driver(world, *argv, **env):
    return run(world, DRIVER, *map(str, argv), **env)


def sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()


def kept(world, *done):
    """No secret where it must not be: at another server, or on the screen."""
    texts = {f"output {i}": d.out + d.err for i, d in enumerate(done)}
    world.canaries.assert_kept(world.servers, texts=texts)
