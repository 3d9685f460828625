"""Layers as builds make them: overlay upper directories over a Debian root, turned into tars."""

import contextlib
import itertools
import os
import stat
import subprocess
import tarfile
import threading
from pathlib import Path

from . import paths, roots

# $1 merged, $2 lowers joined by colons, $3 upper, $4 work, $5 apt's files shared by all layers
# and kept out of them, $6 what to run.
GROW = """
set -e
mount -t overlay overlay -o "lowerdir=$2,upperdir=$3,workdir=$4,index=off,metacopy=off" "$1"
mount -t proc proc "$1/proc"
mount --bind /dev "$1/dev"
mount -t tmpfs tmpfs "$1/tmp"
mount --bind "$5/lists" "$1/var/lib/apt/lists"
mount --bind "$5/archives" "$1/var/cache/apt/archives"
mount --bind "$5/log" "$1/var/log"
for name in hosts resolv.conf; do
	[ -e "$1/etc/$name" ] && mount --bind "/etc/$name" "$1/etc/$name"
done
exec chroot "$1" /bin/sh -euc "$6"
"""

APT = "apt-get -qq -o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-unsafe-io -o APT::Sandbox::User=root"


class Stack:
    """A pile of layers on the Debian base; a context manager, since it holds gigabytes."""

    def __init__(self, name: str):
        self.directory = paths.data_root() / f"making-{name}"
        self._numbers = itertools.count(1)
        self.layers: list[Path] = [roots.ensure("bookworm")]

    def __enter__(self):
        self.__exit__()  # what a killed run left
        for name in ("lists", "archives", "log"):
            (self.directory / "apt" / name).mkdir(parents=True)
        return self

    def __exit__(self, *exc):
        subprocess.run(["rm", "-rf", self.directory], check=True)

    def grow(self, script: str, files: dict[str, bytes] | None = None) -> Path:
        """Add a layer: files are written, then script runs in the root. The layer's directory."""
        number = next(self._numbers)
        merged, upper, work = (
            self.directory / f"{part}{number}" for part in ("merged", "upper", "work")
        )
        for directory in (merged, upper, work):
            directory.mkdir()
        for name, data in (files or {}).items():
            (upper / name).parent.mkdir(parents=True, exist_ok=True)
            (upper / name).write_bytes(data)
        lowers = ":".join(map(str, reversed(self.layers)))
        paths.check(
            ["unshare", "--mount", "--propagation", "private", "/bin/sh", "-c", GROW, "lab"]
            + [merged, lowers, upper, work, self.directory / "apt", script],
            env={
                "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
                "HOME": "/root",
                "LC_ALL": "C",
                "DEBIAN_FRONTEND": "noninteractive",
                **{k: v for k, v in os.environ.items() if k.lower().endswith("_proxy")},
            },
            stdin=subprocess.DEVNULL,
        )
        self.layers.append(upper)
        return upper

    def install(self, *packages: str) -> Path:
        update = "" if any((self.directory / "apt/lists").iterdir()) else f"{APT} update; "
        add = f"{APT} install -y --no-install-recommends {' '.join(packages)}"
        return self.grow(f"{update}{add}; rm -rf /var/cache/apt/*.bin")


@contextlib.contextmanager
def tar_stream(directory: Path):
    """A readable stream of the directory as a layer: overlay's marks become OCI's whiteouts."""
    reader, writer = os.pipe()
    failed = []

    def write():
        try:
            with os.fdopen(writer, "wb") as out:
                _write_tar(directory, out)
        except BaseException as error:  # handed to the reader's thread
            failed.append(error)

    thread = threading.Thread(target=write)
    thread.start()
    with os.fdopen(reader, "rb") as stream:
        yield stream
    thread.join()
    if failed:
        raise failed[0]


def _write_tar(directory: Path, out):
    with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT, bufsize=1 << 20) as tar:
        for base, dirs, files in os.walk(directory):
            dirs.sort()
            for name in sorted([*dirs, *files]):
                path = os.path.join(base, name)
                _add(tar, path, os.path.relpath(path, directory))


def _add(tar, path, name):
    status = os.lstat(path)
    head, _, last = name.rpartition("/")
    if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:
        tar.addfile(_empty(f"{head}/.wh.{last}".lstrip("/"), status))
        return
    info = tar.gettarinfo(path, arcname=name)
    if info is None:  # a socket
        return
    info.uname = info.gname = ""
    info.mtime = int(info.mtime)
    info.pax_headers = {
        f"SCHILY.xattr.{key}": os.getxattr(path, key, follow_symlinks=False).decode("latin-1")
        for key in os.listxattr(path, follow_symlinks=False)
        if key.startswith(("security.cap", "user."))
    }
    if info.isreg():
        with open(path, "rb") as data:
            tar.addfile(info, data)
    else:
        tar.addfile(info)
    if info.isdir() and _opaque(path):
        tar.addfile(_empty(f"{name}/.wh..wh..opq", status))


def _opaque(path) -> bool:
    try:
        return os.getxattr(path, "trusted.overlay.opaque") == b"y"
    except OSError:
        return False


def _empty(name, status):
    info = tarfile.TarInfo(name)
    info.mode, info.mtime = 0o600, int(status.st_mtime)
    return info
