"""A machine with a real systemd: a container of systemd-nspawn in a Namespace, on a root that forgets."""

import os
import re
import subprocess
import time
from pathlib import Path

from . import roots
from .paths import LabError

BOOT_WITHIN_S = 60


class Machine:
    """`with Machine(ns, {path inside: file outside}) as machine: machine.run("systemctl", …)`."""

    def __init__(self, ns, binds):
        self.ns, self.binds = ns, {str(k): str(v) for k, v in binds.items()}
        self.console = Path(ns.run_dir) / "console"
        self.process = self.leader = None

    def __enter__(self):
        root = roots.ensure("booting")
        unified = Path("/sys/fs/cgroup/cgroup.controllers").exists()
        argv = [
            *("systemd-nspawn", "--quiet", f"--directory={root}", "--volatile=overlay"),
            *("--register=no", "--keep-unit", "--link-journal=no", "--console=pipe", "--capability=all"),
            f"--machine=berth-{os.getpid()}-{id(self)}",
            f"--network-namespace-path={self.ns.path}",
            *(f"--bind={outside}:{inside}" for inside, outside in self.binds.items()),
            "--boot",
        ]
        env = {**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1" if unified else "0"}
        with self.console.open("wb") as console:
            self.process = subprocess.Popen(
                argv, env=env, stdin=subprocess.DEVNULL, stdout=console, stderr=console, start_new_session=True
            )
        try:
            self._wait_for_boot()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc):
        self.process.kill()  # its init dies with it
        self.process.wait()

    def _wait_for_boot(self):
        deadline = time.monotonic() + BOOT_WITHIN_S
        while time.monotonic() < deadline and self.process.poll() is None:
            if self.leader is None:
                self.leader = self._find_leader()
            elif self.run("systemctl", "is-system-running", check=False).strip() in ("running", "degraded"):
                return
            time.sleep(0.1)
        raise LabError(f"the machine did not boot\n{self.console.read_text(errors='replace')[-4000:]}")

    def _find_leader(self):
        """The child of nspawn's that is process 1 inside, once its mounts are there."""
        pids = [self.process.pid]
        for pid in pids:
            children = Path(f"/proc/{pid}/task/{pid}/children")
            pids += [int(p) for p in children.read_text().split()] if children.exists() else []
            status = Path(f"/proc/{pid}/status")
            if status.exists() and re.search(r"^NSpid:.*\t1$", status.read_text(), re.M):
                return pid
        return None

    def run(self, *argv, check=True, timeout=60):
        """Run a command inside: its output."""
        command = ["nsenter", f"--target={self.leader}", "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup"]
        done = subprocess.run(
            [*command, "--root", "--wd", *map(str, argv)],
            env={"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
        )
        if check and done.returncode != 0:
            raise LabError(f"{' '.join(map(str, argv))}: exit {done.returncode}\n{done.stdout}")
        return done.stdout
