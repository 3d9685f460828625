"""What the tests of `berth pull` over a hostile network share: an image, its registry, and who has its bytes."""

import pytest
from attack import fresh_image
from lab.cloud.registry import ghcr_like


def rows(table):
    return pytest.mark.parametrize("fault", table.values(), ids=list(table))


def ranges(requests):
    return [r.range and r.range[0] for r in requests]


def manifests(registry):
    """berth's own requests; the engine has one, too, to learn the digest of what it was given."""
    return [r for r in registry.matching("GET", "/manifests/") if r.header("User-Agent", "").startswith("berth")]


class Target:
    """A registry with a fresh image, and the server that has its first layer's bytes."""

    def __init__(self, registry, document=None):
        self.registry = registry
        self.document = document or fresh_image()
        registry.push(self.document, "app")
        self.reference = registry.reference("app")
        self.layer = self.document.layers[0]
        self.path = self.layer.digest
        self.server = registry.blob_host or registry

    def gets(self):
        return self.server.matching("GET", self.path)

    def on(self, fault, **kwargs):
        return self.server.on("GET", self.path, fault, **kwargs)


@pytest.fixture
def target(scene):
    with scene.registry() as registry:
        yield Target(registry)


@pytest.fixture(params=["direct", "redirected"])
def either(scene, request):
    """The bytes come from the registry itself, or from a host that it redirects to."""
    if request.param == "direct":
        with scene.registry() as registry:
            yield Target(registry)
    else:
        with ghcr_like(
            public=True, netns=scene.netns, host_kwargs={"netns": scene.netns}
        ) as registry:
            yield Target(registry)
