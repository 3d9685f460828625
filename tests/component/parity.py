"""Two engines of a kind beside one registry: what `berth pull` brings to one must be what `docker pull` brings
to the other."""

import contextlib
import shutil
import time
from pathlib import Path

import lab
import pytest
from lab import images, oci, recipes_small, tree
from lab.paths import LabError, wait_for
from service import Berth

# Of an image's inspection: where the engine keeps it, and when.
OF_THIS_ENGINE = ("GraphDriver", "Metadata")
# Podman knows a repository's digest only of what it fetched itself.
# Podman counts its manifest, which it makes itself of a loaded image.
UNLIKE = {"containerd": (), "classic": (), "podman": ("RepoDigests", "Size", "VirtualSize")}
# An engine cleans up behind a client that has gone, when it notices.
NOTICES_S = 10


def thorough(*values):
    """Of a list of parameters those that are for `--engines all` only."""
    return [pytest.param(value, marks=pytest.mark.thorough) for value in values]


class Pair:
    def __init__(self, ns, kind, config=None):
        self.ns, self.kind = ns, kind
        self.stack = contextlib.ExitStack()
        self.registry = self.stack.enter_context(lab.Registry(ns))
        self.ours, self.theirs = (self.stack.enter_context(lab.Engine(kind, config)) for _ in range(2))
        # Both call their bridge docker0: it is his who came last.
        for engine in (self.theirs, self.ours):
            engine.start(ns)
        self.store = "containerd" if self.ours.containerd_store else self.ours.program.replace("dockerd", "classic")
        self.unlike = UNLIKE[self.store]
        self.berth = Berth(ns, self.ours)
        self.stack.callback(self.berth.close)

    def close(self):
        self.stack.close()

    def clean(self):
        """As if nothing had ever been pulled."""
        self.berth.close()
        for engine in (self.ours, self.theirs):
            remove_all(engine)
        shutil.rmtree(self.berth.state_dir, ignore_errors=True)
        self.registry.forget_requests()

    def push(self, image, repository="team/app", tag="latest"):
        """An image of the lab by name, or one that the test made."""
        if isinstance(image, str):
            return images.push(image, self.registry, repository, tag)
        return images.push_image(image, self.registry, repository, tag)

    def pull_both(self, reference):
        """By the engine itself there, by berth here, and both must be alike: berth's answer. None: both refuse."""
        began_ns = time.time_ns()
        try:
            self.theirs.docker("pull", "--quiet", reference)
        except LabError:
            self.refused(reference)
            return None
        answer = self.berth.pulled(reference)
        self.same(answer["id"], reference, began_ns)
        return answer

    def same(self, ours, theirs, began_ns):
        assert self.facts(self.ours, ours) == self.facts(self.theirs, theirs)
        pairs = zip(self.ours.layer_dirs(ours), self.theirs.layer_dirs(theirs), strict=True)
        for number, (our, their) in enumerate(pairs):
            different = tree.differences(tree.walk(our), tree.walk(their), began_ns)
            assert not different, f"layer {number}: {different}"

    def facts(self, engine, reference):
        """All that the engine says of an image, but for places and times of its own."""
        found = engine.inspect(reference, "--type=image")
        return {key: value for key, value in found.items() if key not in (*OF_THIS_ENGINE, *self.unlike)}

    def refused(self, reference):
        """berth says so in a line, and leaves no more than the engine's own failed pull did."""
        done = self.berth.pull(reference)
        assert done.code == 1, done
        assert done.last_line.startswith("berth: pull "), done
        self.nothing_left(layers(self.theirs))

    def nothing_left(self, layers_allowed=()):
        def left():
            images_left, layers_left, spool = leftovers(self.ours)
            return images_left, sorted(set(layers_left) - set(layers_allowed)), spool

        with contextlib.suppress(LabError):
            wait_for("nothing left", lambda: not any(left()), NOTICES_S)
        assert left() == ([], [], [])

    def blobs_sent(self):
        """The digests of the blobs that the registry has sent whole, in order."""
        paths = [r.path for r in self.registry.requests if (r.method, r.status) == ("GET", 200)]
        return [path.rpartition("/")[2] for path in paths if "/blobs/sha256:" in path]


def remove_all(engine):
    containers = engine.docker("ps", "--all", "--quiet").split()
    if containers:
        engine.docker("rm", "--force", "--volumes", *containers)
    while found := sorted(set(engine.docker("images", "--all", "--quiet").split())):
        engine.docker("rmi", "--force", *found)


def leftovers(engine):
    """What a pull that came to nothing may have left: images, layers, and files in the daemon's spool."""
    spool = sorted(str(path) for path in engine.spool_dir.rglob("*")) if engine.spool_dir.is_dir() else []
    return engine.docker("images", "--all", "--quiet").split(), layers(engine), spool


def layers(engine):
    """The layer directories of a classic store or podman. Containerd collects its own when it likes."""
    store = engine.data_dir / ("storage/overlay" if engine.program == "podman" else "overlay2")
    if engine.containerd_store or not store.is_dir():
        return []
    return sorted(path.name for path in store.iterdir() if path.is_dir() and path.name != "l")


def craft(directory: Path, layers, fmt="oci") -> oci.Image:
    """An image on busybox of layers (compression said, bytes given, tar in them)."""
    layout = oci.Layout(directory)
    made = [recipes_small.base(layout)]
    made += [layout.packed_layer(given, tar, said) for said, given, tar in layers]
    layout.tag("latest", layout.image(made, {"Cmd": ["/bin/sh"], "Env": [recipes_small.PATH]}, fmt=fmt))
    layout.write()
    return oci.read(directory, "latest")
