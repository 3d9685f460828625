"""Real Docker and Podman engines, each in a mount and pid namespace of its own."""

import base64
import contextlib
import http.client
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path

from . import containerd, paths, podman, roots
from .namespace import BIND, Namespace, container_cgroups, remove_cgroups
from .oci import sha256
from .paths import LabError

# kind: (root file system by suite, None for the machine's own; containerd image store; program)
KINDS = {
    "docker20": (None, False, "dockerd"),
    "docker26": ("trixie", False, "dockerd"),
    "docker26c": ("trixie", True, "dockerd"),
    "docker28": ("sid", False, "dockerd"),
    "docker28c": ("sid", True, "dockerd"),
    "podman": (None, False, "podman"),
}
# A Docker of one's own: its programs, static, come before the machine's, which has what they lack.
OWN_DIR = os.environ.get("BERTH_ENGINE_DIR")
if OWN_DIR:
    KINDS |= {"own": (None, False, "dockerd"), "ownc": (None, True, "dockerd")}

VPC = ("10.77.0.0/24",)
START_TIMEOUT_S = 40
STOP_TIMEOUT_S = 20

# Debian 12's client: old enough to speak to every engine here.
DOCKER_CLI = os.environ.get("BERTH_LAB_DOCKER", "/usr/bin/docker")

# What runs as the first process of an engine's namespaces, and reaps there. /sys is mounted anew,
# since it shows the network of whoever mounted it. Classic dockerd remounts / while it unpacks:
# a root file system has to be a mount point. Some places the engines write to cannot be configured:
# those are tmpfs, so that nothing remains.
BOX = (
    BIND
    + """
run=$1 data=$2
mkdir "$run/sys"
mount -t sysfs sysfs "$run/sys"
mount --rbind /sys/fs/cgroup "$run/sys/fs/cgroup"
mount --rbind "$run/sys" /sys
if [ -n "$root" ]; then
	mount --rbind "$root" "$root"
	mount --make-rprivate "$root"
	mount -t tmpfs tmpfs "$root/run"
	mount -t tmpfs tmpfs "$root/var/tmp"
	for dir in /proc /sys /dev "$run" "$data"; do
		mkdir -p "$root$dir"
		mount --rbind "$dir" "$root$dir"
		mount --make-rslave "$root$dir"
	done
fi
for dir in /etc/docker /opt/containerd /run/containerd /run/containers /run/libpod /run/netns \\
	/run/runc /var/lib/cni /var/lib/containers; do
	mkdir -p "$root$dir"
	mount -t tmpfs tmpfs "$root$dir"
done
exec chroot "${root:-/}" /bin/sh -c 'echo ready; exec >/dev/null; sleep infinity & wait'
"""
)

_numbers = itertools.count()


class Engine:
    """Engine(kind).start(ns); then .socket, .docker(...), .kill(), .start(), .stop().

    kill() ends only the daemon, as a crash does: its containers, images and data stay, and
    start() begins again upon them. stop() ends and removes everything.
    """

    def __init__(self, kind: str, config: dict | None = None, args=(), insecure=VPC, group=None):
        """config goes into daemon.json (Docker) on top of the lab's; args to the daemon.

        group: the small_machine.MemoryGroup that it runs in.

        insecure: registries that may speak plain http besides those on loopback. Podman takes hosts
        only, and knows by itself those that were started in the namespace before it.
        """
        self.kind = kind
        self.suite, self.containerd_store, self.program = KINDS[kind]
        self.config = config or {}
        self.containerd_namespace = "moby"
        self.snapshotter = self.config.get("storage-driver", "overlayfs")
        self._containerd = None
        self.args = list(args)
        self.insecure = list(insecure)
        self.group = group
        self.ns: Namespace | None = None
        self._box = self._daemon = None
        self._init_pid = 0

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.stop()

    def start(self, ns: Namespace | None = None, hosts=None, ca=None, timeout=START_TIMEOUT_S):
        """Start the daemon and wait until it answers; LabError with its log when it does not.

        hosts and ca are what the daemon sees, as in Namespace.run().
        """
        if ns:
            self._prepare(ns)
        if not self._box:
            self._open_box(hosts, ca)
        if self.socket.exists():
            self.socket.unlink()
        argv = [*self._inside, *self._argv()]
        with open(self.log, "ab") as log:
            self._daemon = subprocess.Popen(
                self.group.argv(*argv) if self.group else argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._env(),
            )
        try:
            paths.wait_for(f"{self.kind} answers /_ping", self._alive, timeout)
        except LabError as error:
            self.stop()
            raise LabError(f"{error}\n{self.last_log}") from None
        return self

    def _prepare(self, ns: Namespace):
        if self.ns:
            raise LabError(f"{self.kind} has been started: start() without a namespace goes on")
        self.ns = ns
        self.name = f"{self.kind}-{next(_numbers)}"
        self.run_dir = ns.run_dir / self.name
        self.data_dir = ns.data_dir / self.name
        self.run_dir.mkdir()
        self.data_dir.mkdir()
        self.socket = self.run_dir / "docker.sock"
        self.log = self.run_dir / "log"
        self.bridge = ns.next_bridge()
        self._write_config()

    def _open_box(self, hosts, ca):
        root = roots.ensure(self.suite) if self.suite else ""
        etc = self.ns.etc(hosts, ca)
        self._box = subprocess.Popen(
            [
                *self.ns.enter,
                *("unshare", "--mount", "--propagation", "private", "--pid", "--fork"),
                *("--kill-child=SIGKILL", "--mount-proc", "--"),
                *("/bin/sh", "-c", BOX, "lab", etc, root, self.run_dir, self.data_dir),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=open(self.log, "ab"),
        )
        if self._box.stdout.readline() != b"ready\n":
            raise LabError(f"{self.kind}: no namespace\n{self.last_log}")
        self._init_pid = _only_child(self._box.pid)

    @property
    def _inside(self):
        flags = ("--net", "--mount", "--pid", "--root", "--wd")
        return ["nsenter", f"--target={self._init_pid}", *flags, "--"]

    def inside(self, *argv) -> list[str]:
        """The argv that runs a program where the engine runs, in its root and environment."""
        env = [f"{name}={value}" for name, value in self._env().items()]
        return [*self._inside, "/usr/bin/env", "-i", *env, *map(str, argv)]

    def _env(self):
        env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8"}
        if self.kind.startswith("own"):
            env["PATH"] = f"{OWN_DIR}:{env['PATH']}"
            env["CONTAINERD_DISABLE_IGZIP"] = "1"  # it takes bytes behind a stream's end
        if self.program == "podman":
            env["CONTAINERS_CONF"] = str(self.run_dir / "containers.conf")
            env["CONTAINERS_REGISTRIES_CONF"] = str(self.run_dir / "registries.conf")
            env["TMPDIR"] = str(self.spool_dir)
        return env

    def _write_config(self):
        if self.program == "podman":
            self.spool_dir.mkdir(exist_ok=True)
            podman.write_config(self)
            return
        config = {
            "data-root": str(self.data_dir),
            "exec-root": str(self.run_dir / "exec"),
            "pidfile": str(self.run_dir / "docker.pid"),
            "hosts": [f"unix://{self.socket}"],
            "bip": self.bridge,
            "exec-opts": ["native.cgroupdriver=cgroupfs"],
            "cgroup-parent": f"/{self.ns.name}",
            "insecure-registries": self.insecure,
            "shutdown-timeout": 5,
        }
        if self.containerd_store:
            config["features"] = {"containerd-snapshotter": True}
        (self.run_dir / "daemon.json").write_text(json.dumps(config | self.config, indent=1))

    def _argv(self):
        if self.program == "podman":
            return podman.argv(self)
        return ["dockerd", f"--config-file={self.run_dir / 'daemon.json'}", *self.args]

    def _alive(self):
        if self._daemon.poll() is not None:
            raise LabError(f"{self.kind} ended by itself, status {self._daemon.returncode}")
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as client:
            client.settimeout(5)
            client.connect(str(self.socket))
            client.sendall(b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n")
            return b" 200 " in client.recv(64)
        return False

    @property
    def last_log(self) -> str:
        return paths.tail(self.log)

    @property
    def pid(self) -> int:
        """The daemon's pid as the machine sees it; nsenter, whose child it is, only waits."""
        return _only_child(self._daemon.pid)

    @property
    def spool_dir(self) -> Path:
        """Where it keeps what it is being sent: Docker's own place, and what podman is told."""
        return self.data_dir / "tmp"

    @property
    def containerd_socket(self) -> Path:
        """Where the containerd that dockerd started listens."""
        return self.run_dir / "exec/containerd/containerd.sock"

    def docker(self, *args, timeout: float = 180, config=None) -> str:
        """Run the docker client against this engine, return its stdout; LabError on failure.

        config is a DOCKER_CONFIG directory; without it one of this engine's own, as for login.
        """
        env = {
            "DOCKER_HOST": f"unix://{self.socket}",
            "DOCKER_CONFIG": config or self.run_dir / "client",
        }
        try:
            return self.ns.check([DOCKER_CLI, *args], timeout=timeout, env=env)
        except LabError as error:
            raise LabError(f"{error}\n{self.kind}'s log:\n{self.last_log}") from None

    def login(self, registry):
        """Give docker() the registry's credentials, as `docker login` would: podman's login
        endpoint speaks no plain http."""
        client = self.run_dir / "client"
        client.mkdir(exist_ok=True)
        file = client / "config.json"
        known = json.loads(file.read_text())["auths"] if file.exists() else {}
        pair = f"{registry.user}:{registry.password}".encode()
        known[registry.host] = {"auth": base64.b64encode(pair).decode()}
        file.write_text(json.dumps({"auths": known}))

    def inspect(self, what: str, *flags) -> dict:
        return json.loads(self.docker("inspect", *flags, what))[0]

    def api(self, method: str, path: str, body: dict | None = None):
        """(status, body) of a request to Docker's API, as a client of its own would make it."""
        connection = http.client.HTTPConnection("docker", timeout=60)
        connection.sock = socket.socket(socket.AF_UNIX)
        try:
            connection.sock.settimeout(60)
            connection.sock.connect(str(self.socket))
            headers = {"Content-Type": "application/json"} if body else {}
            connection.request(method, path, json.dumps(body) if body else None, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def address(self, container: str) -> str:
        """A container's address on the default bridge."""
        networks = self.inspect(container)["NetworkSettings"]["Networks"]
        return next(iter(networks.values()))["IPAddress"]

    def layer_dirs(self, reference: str) -> list[Path]:
        """The directories that hold an image's unpacked layers, lowest first; for tree.walk()."""
        image = self.inspect(reference, "--type=image")
        if self.containerd_store:
            return self._snapshots(image["RootFS"]["Layers"])
        data = image["GraphDriver"]["Data"]
        below = reversed(data.get("LowerDir", "").split(":")) if data.get("LowerDir") else []
        return [Path(path) for path in (*below, data["UpperDir"])]

    def layer_dirs_of(self, image) -> list[Path]:
        """The same by diff_ids, for an image whose blobs a containerd store lacks."""
        return self._snapshots(image.diff_ids)

    def _snapshots(self, diff_ids) -> list[Path]:
        chain = ""
        for diff_id in diff_ids:
            chain = sha256(f"{chain} {diff_id}".encode()) if chain else diff_id
        return [Path(path) for path in self.containerd.layer_dirs(chain)]

    @property
    def containerd(self) -> containerd.Containerd:
        """The one that dockerd started."""
        if not self._containerd:
            names = (self.containerd_namespace, self.snapshotter)
            self._containerd = containerd.Containerd(self.containerd_socket, *names)
        return self._containerd

    def ctr(self, *args) -> str:
        """containerd's own client, in Docker's namespace."""
        env = {
            "CONTAINERD_ADDRESS": str(self.containerd_socket),
            "CONTAINERD_NAMESPACE": self.containerd_namespace,
            "CONTAINERD_SNAPSHOTTER": self.snapshotter,
        }
        return paths.check([*self._inside, "ctr", *args], env=self._env() | env)

    def kill(self):
        """SIGKILL to the daemon alone."""
        self._signal(signal.SIGKILL)

    def shut_down(self):
        """SIGTERM to the daemon, as systemctl stop sends; start() begins again on its data."""
        self._signal(signal.SIGTERM)

    @contextlib.contextmanager
    def hanging(self):
        """The daemon answers nobody meanwhile, and nobody is told that it has gone."""
        os.kill(self.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.pid, signal.SIGCONT)
            self._daemon.send_signal(signal.SIGCONT)  # nsenter stops with its child

    def _signal(self, number):
        os.kill(self.pid, number)
        self._daemon.wait(STOP_TIMEOUT_S)

    def stop(self):
        """End the daemon and all it started, remove its data."""
        if not self._box:
            return
        if self._containerd:
            self._containerd.close()
            self._containerd = None
        # The first process is gone when all of its pid namespace is; unshare waits for it.
        with contextlib.suppress(ProcessLookupError):  # the network namespace was closed before
            os.kill(self._init_pid or self._box.pid, signal.SIGKILL)
        self._box.wait()
        self._init_pid = 0
        self._box.stdout.close()
        if self._daemon:
            self._daemon.wait(STOP_TIMEOUT_S)
        self._box = self._daemon = None
        remove_cgroups(container_cgroups(self.data_dir))
        subprocess.run(["rm", "-rf", self.data_dir], check=False)
        shutil.rmtree(self.run_dir / "exec", ignore_errors=True)


def _only_child(pid: int) -> int:
    def find():
        try:
            return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        except OSError as error:
            raise LabError(f"process {pid} has ended") from error

    return int(paths.wait_for(f"child of {pid}", find, 5)[0])
