"""Running driver_registry against registries that misbehave, and images whose layers do not compress."""

import hashlib
import json
import os
import random
import subprocess
from pathlib import Path

import pytest
import service
from lab.cloud.images import image
from lab.cloud.layers import layer
from lab.cloud.registry import ScriptedRegistry

BUILD = Path(os.environ.get("BERTH_BUILD") or Path(__file__).resolve().parents[2])
DRIVER = BUILD / "tests/component/driver_registry"
PROTOCOL_KINDS = {"refused", "protocol", "limit"}


class Answer(service.Done):
    """What the driver says: a kind and a message on stderr, words and values on stdout."""

    @property
    def kind(self):
        """The first line on stderr: "refused", "network retryable"."""
        return self.err.split("\n")[0]

    @property
    def logins(self):
        return self.out.count("login ")

    def said(self, word):
        """The values of the line of output that starts with the word."""
        return next(
            line.split()[1:] for line in self.out.splitlines() if line.startswith(word + " ")
        )

    def failed_with(self, *kinds):
        assert self.code in (1, 75), self
        assert self.kind.split()[0] in kinds, self
        assert "AddressSanitizer" not in self.err, self
        return self

    def delivered(self, content):
        self.passed()
        size, digest = self.said("delivered")
        assert (int(size), digest) == (len(content), hashlib.sha256(content).hexdigest())
        return self


def run(verb, reference, *argv, namespace=None, timeout=120, **env):
    command = [str(DRIVER), verb, reference, *argv]
    environment = {"PATH": os.environ["PATH"], **{k: str(v) for k, v in env.items()}}
    start = namespace.run if namespace else subprocess.Popen
    process = start(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    return service.finish(process, timeout, Answer)


def pull(registry, **env):
    return run("pull", registry.reference("app"), **env)


def noise(size, seed=1):
    return random.Random(seed).randbytes(size)


def layers_of(*sizes):
    """Layers that do not compress."""
    return [layer([(f"file{i}", noise(size, i))], "none") for i, size in enumerate(sizes)]


def content(document):
    _, blobs = document.everything()
    manifest = json.loads(document.data)
    return b"".join(blobs[part["digest"]] for part in manifest["layers"])


def sent(requests):
    return sum(r.body_sent for r in requests)


@pytest.fixture
def registry():
    """Blobs served by the registry itself, with ranges, anonymously."""
    with ScriptedRegistry() as r:
        r.document = image(layers_of(200_000))
        r.content = content(r.document)
        r.push(r.document, "app")
        r.digest = "sha256:" + hashlib.sha256(r.content).hexdigest()
        yield r
