"""Debian root file systems, kept in the cache: for engines newer than the machine's, and for images."""

import hashlib
import subprocess
from pathlib import Path

from . import paths
from .paths import CACHE, LabError

# The standalone packages are what docker.io of the newer suites takes instead of all of systemd.
PACKAGES = {
    "bookworm": ("ca-certificates",),  # what images are made on
    "booting": ("systemd", "systemd-sysv", "dbus", "ca-certificates"),  # a machine with an init
    "clients": ("skopeo",),  # one that speaks to Docker 26 and later
    "trixie": ("docker.io", "ca-certificates", "iptables"),
    "sid": (
        "docker.io",
        "ca-certificates",
        "iptables",
        "systemd-standalone-sysusers",
        "systemd-standalone-tmpfiles",
    ),
}
SUITES = {"booting": "bookworm", "clients": "trixie"}  # of the roots that are not named for theirs
BENCH = {"clients"}  # for benchmarks, which make it


def mirror() -> str:
    """The Debian mirror this machine itself installs from."""
    targets = paths.check(
        ["apt-get", "indextargets", "--format", "$(ORIGIN) $(CODENAME) $(REPO_URI)"]
    )
    for line in targets.splitlines():
        origin, codename, uri = line.split(maxsplit=2)
        if origin == "Debian" and "-" not in codename:
            return uri
    raise LabError("apt knows no Debian mirror here: has `apt-get update` been run?")


def bootstrap(suite: str, target: Path, packages, extra=()):
    """Install a minimal Debian of that suite with packages into target."""
    paths.check(
        [
            *("mmdebstrap", "--quiet", "--variant=minbase"),
            # A mirror that is a snapshot keeps the dates of its day.
            '--aptopt=Acquire::Check-Valid-Until "false"',
            '--dpkgopt=force-unsafe-io',
            f"--include={','.join(packages)}",
            *extra,
            *(suite, target, mirror()),
        ]
    )


def ensure(suite: str) -> Path:
    """The root of that suite, made now if the cache has none of this recipe."""
    recipe = hashlib.sha256(" ".join(PACKAGES[suite]).encode()).hexdigest()[:12]
    root = CACHE / "roots" / f"{suite}-{recipe}"
    if root.is_dir():
        return root
    with paths.lock(CACHE / "roots" / f"{suite}.lock"):
        if root.is_dir():
            return root
        for old in root.parent.glob(f"{suite}-*"):
            subprocess.run(["rm", "-rf", old], check=True)
        making = root.with_suffix(".making")
        bootstrap(SUITES.get(suite, suite), making, PACKAGES[suite])
        # The targets of the bind mounts that give an engine its private names and trust.
        for name in ("etc/hosts", "etc/resolv.conf"):
            file = making / name
            file.unlink(missing_ok=True)
            file.touch()
        (making / "etc/docker").mkdir(exist_ok=True)
        making.rename(root)
    return root

