"""Where a case is played: a network, a registry that has the image, engines, and a file system for it all."""

import contextlib
import time

from lab import Engine, Namespace, Registry, images, paths

from . import links, measure

TMPFS = "size=8g,nr_inodes=2m"
SETTLED_S, SETTLE_TIMEOUT_S = 0.3, 60
SLACK_BYTES = 8 << 20  # what an engine's own database may keep


class Stage:
    """Stage(image, kind, link, berth), a context manager."""

    def __init__(self, image: str, kind: str, link: str, berth: str, podman: bool = False):
        self.image_name, self.kind, self.link, self.berth = image, kind, link, berth
        self._wants_podman = podman
        self._closing = contextlib.ExitStack()

    def __enter__(self):
        try:
            self._open(self._closing)
        except BaseException:
            self._closing.close()
            raise
        return self

    def __exit__(self, *exc):
        self._closing.close()

    def _open(self, closing):
        self.ns = closing.enter_context(Namespace())
        self._mount()
        self.registry = closing.enter_context(Registry(self.ns))
        self.reference = images.push(self.image_name, self.registry, "bench/image")
        self.image = images.get(self.image_name)
        links.LINKS[self.link][1](self.registry)
        self.engine = closing.enter_context(Engine(self.kind)).start(self.ns)
        self.podman = None
        if self._wants_podman:
            self.podman = closing.enter_context(Engine("podman")).start(self.ns)
        self.version = self.engine.docker("version", "--format", "{{.Server.Version}}").strip().partition("+")[0]
        self.warm_blobs()
        self.wait_until_settled(measure.used_bytes(self.data))

    def _mount(self):
        """A file system of the run's own, below the directory whose mounts Namespace ends: what is in use there
        is what the engines hold, and no more than the machine can spare."""
        self.data = self.ns.data_dir / "bench"
        self.data.mkdir()
        paths.check(["mount", "-t", "tmpfs", "-o", TMPFS, "tmpfs", self.data])
        self.ns.data_dir = self.data

    @property
    def engine_name(self) -> str:
        return f"Docker {self.version}, {'containerd' if self.engine.containerd_store else 'classic'} store"

    @property
    def client_env(self) -> dict:
        return {
            "DOCKER_HOST": f"unix://{self.engine.socket}",
            "DOCKER_CONFIG": self.ns.run_dir / "client",
            "HOME": self.ns.run_dir,
            "TMPDIR": self.data,
        }

    def blobs(self):
        return [self.image.blob(layer["digest"]) for layer in self.image.layers]

    def warm_blobs(self):
        """What the floor reads comes from memory, as the registry's files do."""
        for blob in self.blobs():
            with open(blob, "rb") as file:
                while file.read(1 << 20):
                    pass

    def wait_until_settled(self, before: int):
        """Until nothing is being removed any more; before: how much was in use when it was clean."""
        end = time.monotonic() + SETTLE_TIMEOUT_S
        used, since = -1, 0.0
        while time.monotonic() < end:
            now, seen = time.monotonic(), measure.used_bytes(self.data)
            if seen != used:
                used, since = seen, now
            if used <= before + SLACK_BYTES and now - since >= SETTLED_S:
                return
            time.sleep(0.05)
        raise paths.LabError(f"{self.kind} still holds {used - before} bytes of what was removed")
