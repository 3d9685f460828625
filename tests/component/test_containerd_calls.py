"""SIGKILL at each system call of a pull that changes something: the next one has it all.

killing.py says how a campaign is run.
"""

import re
import signal
import subprocess

import pytest
from containerd_steps import *  # noqa: F403 its fixtures too
from containerd_steps import wipe
from killing import CAMPAIGN, PHASES, Histogram, World, sample

SAMPLE = 12  # calls where there is no campaign
REACHED_MIN = 0.75  # of the calls: no two runs write in the same pieces
MODES = ("tee", "after") if CAMPAIGN else ("tee",)

# What changes something outside the process.
MUTATING = (
    "mkdir,mkdirat,openat,openat2,rename,renameat,renameat2,unlink,unlinkat,symlinkat,linkat,"
    "mknodat,fchmod,fchmodat,fchown,fchownat,utimensat,fsetxattr,ftruncate,fallocate,pwrite64,write,splice,"
    "sendto,sendmsg,connect,mount,umount2,pivot_root,clone,clone3,kill,syncfs,fsync,fdatasync"
)
CALL = re.compile(r"^(\d+) +(\w+)\((.*)", re.M)


@pytest.fixture
def world(ns, registry, engine):
    world = World(ns, registry, engine)
    yield world
    world.close()


def strace(log, *options):
    return ["strace", "-qq", "-o", log, *options]


def calls(world, mode):
    """All of an undisturbed pull: (berth or worker, name, nth by this name of a process's)."""
    log = world.ns.run_dir / "strace.log"
    world.whole(mode, strace(log, "-f", "--seccomp-bpf", "-e", f"trace={MUTATING}"))
    made, counts, berth = {}, {}, None
    for pid, name, rest in CALL.findall(log.read_text(errors="replace")):
        berth = berth or pid
        nth = counts[pid, name] = counts.get((pid, name), 0) + 1
        if not name.startswith("openat") or "O_CREAT" in rest:  # others only look
            made["berth" if pid == berth else "worker", name, nth] = True
    return sorted(made)


def kill_at(world, mode, who, name, nth):
    """Who died of it: berth, a worker, or None. Of workers each dies that makes so many."""
    wipe(world.engine)
    log = world.ns.run_dir / "strace.log"
    follow = [] if who == "berth" else ["-f"]  # with --seccomp-bpf strace 6.1 kills nobody
    inject = ["-e", f"trace={name}", "-e", f"inject={name}:signal=SIGKILL:when={nth}"]
    process = world.start(mode, before=strace(log, *follow, *inject))
    process.communicate(timeout=120)
    if process.returncode in (-signal.SIGKILL, 128 + signal.SIGKILL):
        return "berth"
    return "worker" if "killed by SIGKILL" in log.read_text(errors="replace") else None


@pytest.mark.parametrize("mode", MODES)
def test_killed_at_each_mutating_system_call(world, mode):
    everything = calls(world, mode)
    by_call = Histogram(f"killed at a system call, --backfill {mode}")
    by_phase = Histogram("and by phase")
    chosen = everything if CAMPAIGN else sample(everything, SAMPLE)
    try:
        for who, name, nth in chosen:
            died = kill_at(world, mode, who, name, nth) or kill_at(world, mode, who, name, nth)
            phase, row = world.phase, f"{who}: {name}"
            if not died:
                print(f"not reached: {row} {nth}")
            by_call.count(row, "calls", f"killed {died}" if died else "not reached")
            by_phase.count(phase, "calls", f"killed {died}" if died else "not reached")
            if by_call.recovers(world, mode, f"{row} {nth} in {phase}", row):
                by_phase.count(phase, "recovered")
    finally:
        by_call.print()
        by_phase.rows = {phase: by_phase.rows[phase] for phase in PHASES if phase in by_phase.rows}
        by_phase.print()
        print(f"{len(chosen)} of {len(everything)} calls")
    assert by_call.failures == []
    missed = sum(counts["not reached"] for counts in by_call.rows.values())
    assert missed <= (1 - REACHED_MIN) * len(chosen)


def test_strace_kills_at_the_call_that_it_is_told(ns):
    """Else the campaign would be one of undisturbed pulls."""
    log = ns.run_dir / "strace.log"
    inject = ["-e", "trace=write", "-e", "inject=write:signal=SIGKILL:when=2"]
    script = "echo one; echo two; echo three"
    process = ns.run(strace(log, "-f", *inject, "/bin/sh", "-c", script), stdout=subprocess.PIPE)
    assert process.communicate()[0] == b"one\n"
