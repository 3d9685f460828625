"""What a program cost: time, CPU of it and of the engine, peak memory, growth of the engine's file system."""

import os
import subprocess
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from lab import processes
from lab.paths import LabError

SAMPLE_S = 0.02
TICK = os.sysconf("SC_CLK_TCK")


@dataclass
class Cost:
    wall: float  # seconds
    cpu: float
    memory: int  # bytes, 0: not measured
    grown: int  # the most that the file system held more than before

    def as_dict(self):
        return asdict(self)


@dataclass
class Done:
    cost: Cost
    stdout: str
    stderr: str


def used_bytes(directory) -> int:
    status = os.statvfs(directory)
    return (status.f_blocks - status.f_bfree) * status.f_frsize


def engine_cpu(engine) -> float:
    """CPU seconds of the daemon and of all that it started."""
    if engine is None:
        return 0.0
    return sum(_cpu(pid) for pid in processes.below(engine._box.pid) + processes.below(engine.pid))


def _cpu(pid):
    """Of a process and of the children it has waited for (proc(5): utime to cstime)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return 0.0
    return sum(int(f) for f in fields[11:15]) / TICK


class Growth(threading.Thread):
    """Samples how full a file system is until `over` is set."""

    def __init__(self, directory):
        super().__init__(daemon=True)
        self.directory, self.over = directory, threading.Event()
        self.peak = self.before = used_bytes(directory)

    def run(self):
        while not self.over.wait(SAMPLE_S):
            self.look()

    def look(self):
        self.peak = max(self.peak, used_bytes(self.directory))

    @property
    def grown(self):
        return self.peak - self.before


def timed(start, engine, directory, program=None) -> Done:
    """Run what start(stdout, stderr) starts, a Popen; LabError with its output when it fails.

    program: the file whose processes' memory is summed up.
    """
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        growth = Growth(directory)
        before = engine_cpu(engine)
        began = time.monotonic()
        process = start(stdin=subprocess.DEVNULL, stdout=out, stderr=errors)
        samplers = [growth]
        if program:
            samplers.append(processes.PeakMemory(process.pid, program))
        for sampler in samplers:
            sampler.start()
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        cpu = usage.ru_utime + usage.ru_stime + engine_cpu(engine) - before
        for sampler in samplers:
            sampler.over.set()
            sampler.join()
        growth.look()
        out.seek(0)
        errors.seek(0)
        stdout, stderr = out.read(), errors.read()
    if process.returncode != 0:
        log = engine.last_log if engine else ""
        raise LabError(f"{process.args}: exit {process.returncode}\n{stdout}{stderr}{log}")
    memory = samplers[1].peak if program else 0
    return Done(Cost(wall, cpu, memory, growth.grown), stdout, stderr)
