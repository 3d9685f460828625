"""Putting a thread into a network namespace. (Whole namespaces to run things in: lab.Namespace.)"""

import ctypes
import os

CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def enter(namespace):
    """Move the calling thread (only it) into `namespace`: a path, a name below /run/netns, or a
    process id.

    Sockets stay in the namespace they were made in, so a server's thread enters before it listens.
    """
    if isinstance(namespace, int):
        path = f"/proc/{namespace}/ns/net"
    else:
        path = str(namespace)
        if "/" not in path:
            path = f"/run/netns/{path}"
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _libc.setns(fd, CLONE_NEWNET) != 0:
            error = ctypes.get_errno()
            raise OSError(error, f"setns {path}: {os.strerror(error)}")
    finally:
        os.close(fd)
