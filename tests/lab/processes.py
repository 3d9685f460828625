"""Processes and what they cost: a program together with the ones it started."""

import os
import threading
from pathlib import Path

SAMPLE_S = 0.02


def below(pid: int) -> list[int]:
    """A process and all its descendants."""
    found = [pid]
    for one in found:
        found += _children(one)
    return found


def _children(pid):
    try:
        return [int(c) for c in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def pss_bytes(pid: int, program: str) -> int:
    """0 for a process that is not (or not yet) the program: before its exec it is a copy of this one."""
    try:
        if os.readlink(f"/proc/{pid}/exe") != program:
            return 0
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


class PeakMemory(threading.Thread):
    """Samples the sum of PSS over a process and its descendants until `over` is set: `peak`, in bytes."""

    def __init__(self, pid: int, program: str):
        super().__init__(daemon=True)
        self.pid, self.program, self.peak, self.over = pid, program, 0, threading.Event()

    def run(self):
        while not self.over.wait(SAMPLE_S):
            self.peak = max(self.peak, sum(pss_bytes(p, self.program) for p in below(self.pid)))
