"""What a small machine has: little memory, and a disk that is no memory."""

import contextlib
import subprocess
import tempfile
from pathlib import Path

from . import paths

TOP = Path("/sys/fs/cgroup")
DISK = Path("/var/tmp")  # a file on tmpfs would count as the machine's memory

# By version: directory, and the files of the limit, the highest use, the number of the killed.
V1 = (TOP / "memory", "memory.limit_in_bytes", "memory.max_usage_in_bytes", "memory.oom_control")
V2 = (TOP, "memory.max", "memory.peak", "memory.events")


class MemoryGroup:
    """A control group that may use so many bytes, page cache included, and no swap."""

    def __init__(self, ns, limit_bytes: int):
        v1 = V1[0].is_dir()
        top, limit, self._peak, self._events = V1 if v1 else V2
        self.path = top / ns.name / "small-machine"
        self.path.mkdir(parents=True)
        if not v1:
            for above in (top, self.path.parent):
                (above / "cgroup.subtree_control").write_text("+memory")
        (self.path / limit).write_text(str(limit_bytes))
        with contextlib.suppress(OSError):  # without swap there is nothing to set
            (self.path / ("memory.swappiness" if v1 else "memory.swap.max")).write_text("0")

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        with contextlib.suppress(OSError):  # who is still in it: the namespace's end removes it
            self.path.rmdir()

    def argv(self, *argv) -> list[str]:
        """The argv that runs a program in here, under the pid of its start."""
        enter = 'echo $$ >"$0" && exec "$@"'
        return ["/bin/sh", "-c", enter, str(self.path / "cgroup.procs"), *map(str, argv)]

    def pids(self) -> list[int]:
        return [int(line) for line in (self.path / "cgroup.procs").read_text().split()]

    @property
    def peak_bytes(self) -> int:
        """0 where the kernel does not say (v2 before Linux 5.19)."""
        file = self.path / self._peak
        return int(file.read_text()) if file.exists() else 0

    @property
    def killed(self) -> int:
        """How many processes the kernel has ended for want of memory."""
        lines = dict(line.split() for line in (self.path / self._events).read_text().splitlines())
        return int(lines["oom_kill"])


@contextlib.contextmanager
def ext4(target: Path, size_bytes: int):
    """An ext4 of its own at target, on a sparse file that is gone with it."""
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=DISK, prefix="berth-lab-disk-") as file:
        file.truncate(size_bytes)
        paths.check(["mkfs.ext4", "-q", "-E", "lazy_itable_init=1,lazy_journal_init=1", file.name])
        paths.check(["mount", "-o", "loop", file.name, target])
    try:
        yield target
    finally:
        subprocess.run(["umount", "-l", target], check=False)
