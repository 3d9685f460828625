"""Network namespaces: a thread's own, and a private one for tests (root and iproute2 needed)."""

import ctypes
import os
import subprocess
import uuid

CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def enter(namespace):
    """Move the calling thread (only it) into `namespace`: a path, a name below /run/netns, or a process id.

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


class Namespace:
    """A namespace with nothing but loopback and the addresses asked for; gone at the end of the `with`.

        with Namespace("169.254.169.254", "fd00:ec2::254") as ns:
            imds = Imds(netns=ns.path, listen=[("169.254.169.254", 80)])
            subprocess.run(ns.exec("curl", "http://169.254.169.254/"))
    """

    def __init__(self, *addresses, name=None):
        self.name = name or f"cloud-{uuid.uuid4().hex[:8]}"
        self.path = f"/run/netns/{self.name}"
        self.addresses = addresses

    def __enter__(self):
        subprocess.run(["ip", "netns", "add", self.name], check=True)
        try:
            subprocess.run(self.exec("ip", "link", "set", "lo", "up"), check=True)
            for address in self.addresses:
                self.add(address)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        subprocess.run(["ip", "netns", "delete", self.name], check=False)

    def add(self, address):
        bits = "128" if ":" in address else "32"
        # nodad: an IPv6 address is otherwise tentative, and unbindable, for a second.
        extra = ["nodad"] if ":" in address else []
        subprocess.run(self.exec("ip", "addr", "add", f"{address}/{bits}", "dev", "lo", *extra), check=True)

    def exec(self, *argv, hosts=None):
        """argv that runs the command inside; `hosts` is a file to be its /etc/hosts."""
        # Not `ip netns exec`: that one hides the cgroup mounts.
        inside = ["nsenter", f"--net={self.path}"]
        if hosts:
            script = 'mount --bind "$0" /etc/hosts && exec "$@"'
            inside += ["unshare", "--mount", "--propagation=private", "sh", "-c", script, str(hosts)]
        return inside + [str(arg) for arg in argv]
