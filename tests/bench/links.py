"""What lies between a registry and its clients. Shaped by the kernel, so that it costs no CPU of theirs."""

import contextlib
import ctypes
import os
import socket

from lab import paths

SYS_PIDFD_GETFD = 438  # asm-generic/unistd.h; Python has no wrapper
SO_MAX_PACING_RATE = 47  # asm-generic/socket.h; bytes a second

PER_CONNECTION = 60_000_000
TOTAL = "1gbit"

_libc = ctypes.CDLL(None, use_errno=True)


def unthrottled(_registry):
    pass


def each_connection(registry):
    """As S3 does it. Sockets inherit the rate from the one that accepts them (tcp(7): SO_MAX_PACING_RATE)."""
    listening = list(_listening(registry.pid))
    for one in listening:
        one.setsockopt(socket.SOL_SOCKET, SO_MAX_PACING_RATE, PER_CONNECTION)
        one.close()
    if not listening:
        raise paths.LabError(f"{registry.host} listens nowhere")


def in_total(registry):
    """A token bucket on loopback: only what the registry sends is much."""
    limit = ("rate", TOTAL, "burst", "1mb", "latency", "50ms")
    paths.check([*registry.ns.enter, "tc", "qdisc", "replace", "dev", "lo", "root", "tbf", *limit])


# name on the command line: what tables say, how it is made
LINKS = {
    "open": ("unthrottled", unthrottled),
    "60MBps": ("60 MB/s a connection", each_connection),
    "1gbit": ("1 Gbit/s in all", in_total),
}


def _listening(pid):
    """Duplicates of a process's listening sockets."""
    pidfd = os.pidfd_open(pid)
    try:
        for entry in os.scandir(f"/proc/{pid}/fd"):
            fd = -1
            with contextlib.suppress(OSError):  # closed by now
                if os.readlink(entry.path).startswith("socket:"):
                    fd = _libc.syscall(SYS_PIDFD_GETFD, pidfd, int(entry.name), 0)
            if fd < 0:
                continue
            one = socket.socket(fileno=fd)
            if one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                yield one
            else:
                one.close()
    finally:
        os.close(pidfd)
