"""The lab's images mean the same to all engines, and what berth must refuse the engines refuse too."""

import time

import lab
import pytest
from lab import images, oci, paths, recipes_odd, tree

# Docker 20.10 reads no zstd, which came with 23.
ZSTD_UNKNOWN = {"docker20"}

# odd image: the kinds that refuse it, though others do not
DISPUTED = {
    "odd:duplicates": {"docker20", "docker26", "docker28", "own", "podman"},
    "odd:gzip-header": {"podman"},
}

ODD = [f"odd:{function.__name__.replace('_', '-')}" for function in recipes_odd.ALL]
REFUSED = [f"odd:{function.__name__.replace('_', '-')}" for function in recipes_odd.REFUSED]
FORMS = ["buildx:latest", "buildx:single", "schema2:latest", "schema2:list", "tiny125"]


def refused_by(kind):
    return [name for name in ODD if name in REFUSED or kind in DISPUTED.get(name, ())]


class TestForms:
    @staticmethod
    def pulled(ns, engine, registry, name):
        reference = images.push(name, registry, name.replace(":", "/"))
        engine.docker("pull", reference)
        image, found = images.get(name), engine.inspect(reference, "--type=image")
        want = image.digest if engine.containerd_store else image.config_digest
        assert found["Id"].removeprefix("sha256:") == want.removeprefix("sha256:"), name
        assert found["RootFS"]["Layers"] == image.diff_ids, name

    def test_engine_takes_every_form(self, ns, engine):
        with lab.Registry(ns) as registry:
            for name in FORMS:
                self.pulled(ns, engine, registry, name)

    def test_engine_takes_zstd(self, ns, engine, engine_kind):
        """An engine of its own: one that has the layers from gzip looks at no other bytes."""
        with lab.Registry(ns) as registry:
            if engine_kind in ZSTD_UNKNOWN:
                with pytest.raises(paths.LabError, match="invalid tar header"):
                    self.pulled(ns, engine, registry, "zstd:webapp")
            else:
                self.pulled(ns, engine, registry, "zstd:webapp")

    def test_an_index_of_buildx_is_pushed_whole(self, ns):
        image = images.get("buildx:latest")
        with lab.Registry(ns) as registry:
            images.push("buildx:latest", registry, "app")
            for entry in image.top["manifests"]:
                url = f"{registry.url}/v2/app/manifests/{entry['digest']}"
                accept = f"Accept: {entry['mediaType']}"
                body = ns.check(["curl", "-sSf", "-H", accept, url])
                assert oci.sha256(body.encode()) == entry["digest"]


class TestOdd:
    def test_engine_takes_and_refuses_what_is_expected(self, ns, engine, engine_kind):
        refused = []
        with lab.Registry(ns) as registry:
            for name in ODD:
                reference = images.push(name, registry, name.replace(":", "/"))
                try:
                    engine.docker("pull", reference)
                except paths.LabError:
                    refused.append(name)
        assert refused == refused_by(engine_kind)

    def test_two_stores_unpack_alike(self, ns):
        """Apart from directories without an entry, to which the containerd store gives the owner and
        mode they have below, and the classic store root's and 0755."""
        start_ns = time.time_ns()
        with lab.Registry(ns) as registry, lab.Engine("docker26") as classic, lab.Engine(
            "docker26c"
        ) as containerd:
            classic.start(ns)
            containerd.start(ns)
            different = {}
            for name in (n for n in ODD if n not in REFUSED and n not in DISPUTED):
                reference = images.push(name, registry, name.replace(":", "/"))
                trees = []
                for engine in (classic, containerd):
                    engine.docker("pull", reference)
                    trees.append([tree.walk(path) for path in engine.layer_dirs(reference)])
                lines = [tree.differences(a, b, start_ns) for a, b in zip(*trees, strict=True)]
                if any(lines):
                    different[name] = [line.split(":")[0] for layer in lines for line in layer]
        assert different == {
            "odd:whiteouts": ["'opaque3'"],
            "odd:implied": ["'known'"] * 3 + ["'known/deep'"],
        }


class TestQuickstart:
    def test_serves_and_ends_gracefully(self, ns, engine):
        with lab.Registry(ns) as registry:
            reference = images.push("quickstart:health", registry, "quickstart")
            engine.docker("pull", reference)
        engine.docker("run", "-d", "--name", "app", "-p", "8080:3000", "-e", "START_DELAY=1", reference)
        retry = ["--retry", "50", "--retry-delay", "0", "--retry-all-errors", "--retry-max-time", "20"]
        for host in (f"{engine.address('app')}:3000", "127.0.0.1:8080"):
            assert '"version": "v1"' in ns.check(["curl", "-sSf", *retry, f"http://{host}/"])
        # Without a time podman 4.3 kills at once.
        engine.docker("stop", "--time=10", "app")
        assert engine.inspect("app")["State"]["ExitCode"] == 0
