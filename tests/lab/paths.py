"""Where the lab keeps things, and how it waits."""

import contextlib
import fcntl
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

# What is costly to make and worth keeping between runs: engine roots and images.
CACHE = Path(os.environ.get("BERTH_LAB_CACHE", "/var/cache/berth/lab"))

# Sockets, logs and small files of one run. Short, since a socket's path has 107 bytes at most.
RUN = Path("/run/berth-lab")

# An engine that has swallowed the largest image holds about this much.
DATA_MIN_BYTES = 6 << 30


class LabError(Exception):
    """Something of the lab failed; the message holds the log of what did."""


def data_root() -> Path:
    """The directory for data roots: tmpfs, for repeatable timings, where it is large enough."""
    if "BERTH_LAB_DATA" in os.environ:
        return Path(os.environ["BERTH_LAB_DATA"])
    shm = Path("/dev/shm")
    if shm.is_dir() and shutil.disk_usage(shm).free >= DATA_MIN_BYTES:
        return shm / "berth-lab"
    return Path("/var/tmp/berth-lab")


def require_root():
    if os.geteuid() != 0:
        raise LabError("the lab needs root: it makes namespaces and runs container engines")


@contextlib.contextmanager
def lock(path: Path):
    """Hold the lock file at path; the kernel lets go of it when this process dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def wait_for(what: str, probe, timeout_s: float, step_s: float = 0.05):
    """Call probe until it answers something true, which is returned; LabError after timeout_s."""
    end = time.monotonic() + timeout_s
    while True:
        found = probe()
        if found:
            return found
        if time.monotonic() > end:
            raise LabError(f"{what}: nothing after {timeout_s} s")
        time.sleep(step_s)


def tail(path, lines: int = 15) -> str:
    """The last lines of a log, for an error message."""
    try:
        text = Path(path).read_text(errors="replace")
    except OSError as error:
        return f"({error})"
    return "\n".join(text.splitlines()[-lines:])


def check(argv, **kwargs) -> str:
    """Run a command of the machine, return what it wrote to stdout; LabError with its stderr."""
    done = subprocess.run(
        [str(arg) for arg in argv], capture_output=True, text=True, errors="replace", **kwargs
    )
    if done.returncode != 0:
        raise LabError(f"{' '.join(map(str, argv))}: exit {done.returncode}\n{done.stderr}")
    return done.stdout


@contextlib.contextmanager
def scratch():
    """A temporary directory, gone at the end."""
    with tempfile.TemporaryDirectory(prefix="berth-lab-") as name:
        yield Path(name)
