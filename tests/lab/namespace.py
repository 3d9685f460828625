"""A network namespace that is a small cloud: IMDS's addresses, public and private ones, no way out."""

import atexit
import contextlib
import ctypes
import fcntl
import itertools
import os
import shutil
import signal
import socket
import subprocess
import threading
from pathlib import Path

from . import paths
from .paths import LabError

# RFC 5737 TEST-NET-3 stands for the public internet; 10.77.0.0/24 for a VPC.
ADDRESSES = (
    "169.254.169.254/32",  # IMDS
    "169.254.170.2/32",  # container credentials
    "fd00:ec2::254/128",  # IMDS over IPv6
    *(f"203.0.113.{n}/32" for n in range(1, 31)),
    *(f"10.77.0.{n}/32" for n in range(1, 6)),
)

CLONE_NEWNET = 0x40000000
CA_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
NETNS = Path("/run/netns")
DATA_LINK = "data"
CLEAN_ENV = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
}

# Nothing answers port 53 of loopback: an unknown name fails at once, as it should in a lab.
RESOLV = "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n"

# $1 is a directory; each file in it named for its target with | for / is bound over the target.
BIND = """
set -e
dir=$1 root=$2; shift 2
for file in "$dir"/*; do
	target=$root$(basename "$file" | tr '|' /)
	[ -e "$target" ] || continue
	mount --bind "$file" "$target"
done
"""

_names = itertools.count()
_libc = ctypes.CDLL(None, use_errno=True)


class Namespace:
    """Create with Namespace() or `with Namespace() as ns`; close() ends every process in it."""

    def __init__(self, name: str | None = None):
        paths.require_root()
        clean_stale()
        self.name = name or f"berth-{os.getpid()}-{next(_names)}"
        self.run_dir = paths.RUN / self.name
        self.data_dir = paths.data_root() / self.name
        self.path = NETNS / self.name
        self.hosts: dict[str, str] = {}  # host name to address, for every process started here
        self.ca: os.PathLike | str | None = None  # CA bundle for every process started here
        self.files: dict[str, str] = {}  # path to text: what every process started here finds there
        self.plain: list[str] = []  # names and addresses of registries that speak plain http
        self._bridges = itertools.count(1)
        self._files = itertools.count()
        with paths.lock(paths.RUN / "creation"):  # else clean_stale takes it before our lock does
            self.run_dir.mkdir()
            self.data_dir.mkdir(parents=True)
            (self.run_dir / DATA_LINK).symlink_to(self.data_dir)
            self._lock = open(self.run_dir / "lock", "w")
            fcntl.flock(self._lock, fcntl.LOCK_EX)
        atexit.register(self.close)
        paths.check(["ip", "netns", "add", self.name])
        batch = "link set lo up\n" + "".join(
            f"addr add {a} dev lo{' nodad' if ':' in a else ''}\n" for a in ADDRESSES
        )
        paths.check([*self.enter, "ip", "-batch", "-"], input=batch)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    @property
    def enter(self) -> list[str]:
        """The start of an argv that runs the rest in this network, nothing else changed."""
        return ["nsenter", f"--net={self.path}", "--"]

    def close(self):
        if self._lock.closed:
            return
        atexit.unregister(self.close)
        destroy(self.name)
        self._lock.close()

    def next_bridge(self) -> str:
        """A bridge address (CIDR) no other engine of this namespace has."""
        return f"198.18.{next(self._bridges)}.1/24"

    def etc(self, hosts=None, ca=None, resolv: str = RESOLV) -> Path:
        """Write the private files of one process; the directory that BIND takes."""
        files = self.run_dir / f"etc{next(self._files)}"
        files.mkdir()
        names = {"localhost": "127.0.0.1", **self.hosts, **(hosts or {})}
        (files / "|etc|hosts").write_text("".join(f"{a} {n}\n" for n, a in names.items()))
        (files / "|etc|resolv.conf").write_text(resolv)
        for path, text in self.files.items():
            (files / path.replace("/", "|")).write_text(text)
        if ca or self.ca:
            shutil.copyfile(ca or self.ca, files / CA_BUNDLE.replace("/", "|"))
        return files

    def run(self, argv, env=None, hosts=None, ca=None, resolv: str = RESOLV, **popen):
        """Start argv in this namespace; a Popen whose pid is the program's own.

        It sees /etc/hosts with only what hosts (and self.hosts) say, a resolver that fails at
        once, and the CA bundle ca. Its environment is CLEAN_ENV with env on top; None removes.
        Other keywords go to Popen.
        """
        wanted = {**CLEAN_ENV, **(env or {})}
        return subprocess.Popen(
            [
                *(*self.enter, "unshare", "--mount", "--propagation", "private", "--"),
                *("/bin/sh", "-c", BIND + 'exec "$@"', "lab", self.etc(hosts, ca, resolv), ""),
                *map(os.fspath, argv),
            ],
            env={k: os.fspath(v) for k, v in wanted.items() if v is not None},
            **popen,
        )

    def check(self, argv, timeout: float = 120, **kwargs) -> str:
        """run(), wait, return stdout; LabError with the output when it fails."""
        process = self.run(
            argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, **kwargs
        )
        try:
            out, err = (b.decode(errors="replace") for b in process.communicate(timeout=timeout))
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = (b.decode(errors="replace") for b in process.communicate())
            raise LabError(f"{argv}: still running after {timeout} s\n{out}{err}") from None
        if process.returncode != 0:
            raise LabError(f"{argv}: exit {process.returncode}\n{out}{err}")
        return out

    def call(self, function, *args, **kwargs):
        """Call function in a thread that is in this network; its result or exception.

        A socket belongs to the network it was made in, so one made here stays here.
        """
        result = []

        def body():
            try:
                with open(self.path) as file:
                    if _libc.setns(file.fileno(), CLONE_NEWNET) != 0:
                        raise OSError(ctypes.get_errno(), "setns")
                result.append((function(*args, **kwargs), None))
            except BaseException as error:  # handed to the caller's thread
                result.append((None, error))

        thread = threading.Thread(target=body)
        thread.start()
        thread.join()
        value, error = result[0]
        if error:
            raise error
        return value

    def listen(self, host: str = "127.0.0.1", port: int = 0) -> socket.socket:
        """A listening TCP socket in this network, for a server that runs in the test's process."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return self.call(socket.create_server, (host, port), family=family, backlog=128)

    def connect(self, host: str, port: int, timeout: float = 5) -> socket.socket:
        return self.call(socket.create_connection, (host, port), timeout)


def clean_stale():
    """Remove what runs that were killed left behind: those whose lock nobody holds."""
    with paths.lock(paths.RUN / "creation"):
        for lock_file in paths.RUN.glob("*/lock"):
            with open(lock_file) as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                destroy(lock_file.parent.name)


def destroy(name: str):
    """End every process in the namespace, then remove its files, mounts, cgroups and itself; those beside it first."""
    for beside in NETNS.glob(f"{name}-*"):
        paths.wait_for(f"processes of {beside.name} end", lambda: not _kill_all(beside.name), 15)
        paths.check(["ip", "netns", "del", beside.name])
    link = paths.RUN / name / DATA_LINK  # data_root() may choose differently by now
    data = Path(os.readlink(link)) if link.is_symlink() else paths.data_root() / name
    if (NETNS / name).exists():
        paths.wait_for(f"processes of {name} end", lambda: not _kill_all(name), 15)
    for line in reversed(Path("/proc/self/mountinfo").read_text().splitlines()):
        target = line.split()[4]
        if target.startswith((f"{paths.RUN / name}/", f"{data}/")):
            subprocess.run(["umount", "-l", target], check=False)
    remove_cgroups([name, *(g for engine in data.glob("*") for g in container_cgroups(engine))])
    subprocess.run(["rm", "-rf", str(data)], check=False)
    if (NETNS / name).exists():
        paths.check(["ip", "netns", "del", name])
    subprocess.run(["rm", "-rf", str(paths.RUN / name)], check=False)


def _kill_all(name: str) -> list[str]:
    """Kill what is in the namespace. A container has a network of its own, but dies with pid 1
    of its engine's pid namespace, which is here."""
    pids = [p for p in paths.check(["ip", "netns", "pids", name]).split() if int(p) != os.getpid()]
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)
    return [p for p in pids if _state(p) not in ("Z", "X", "")]


def _state(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def container_cgroups(engine_data: Path) -> list[str]:
    """Podman's containers have control groups of their own each, whatever the engine is told."""
    found = engine_data.glob("storage/overlay-containers/*/")
    return [f"libpod_parent/{kind}-{path.name}" for path in found for kind in ("libpod", "libpod-conmon")]


def remove_cgroups(names):
    """Remove these control groups and those below them, v1 and v2, once nothing runs in them."""
    top = Path("/sys/fs/cgroup")
    for name in names:
        for group in (*top.glob(f"*/{name}"), top / name):
            for base, _, _ in os.walk(group, topdown=False):
                with contextlib.suppress(OSError):
                    os.rmdir(base)
