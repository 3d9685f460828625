"""Runs berth, and single steps of its AWS layer, inside a namespace that is a small cloud."""

import hashlib
import os
import subprocess
from pathlib import Path

import service

BUILD = Path(os.environ.get("BERTH_BUILD") or Path(__file__).resolve().parents[2])
BERTH = service.binary()
DRIVER = BUILD / "tests/component/driver_aws"


def run(world, *argv, timeout=60, **env):
    """Run argv in the world's namespace to its end."""
    process = world.namespace.run(
        argv,
        env={**world.env(), **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
    )
    return service.finish(process, timeout)


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
