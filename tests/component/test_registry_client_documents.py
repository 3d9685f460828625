"""The registry client and documents: hostile ones, wrong digests, overload, and bad heads."""

import pytest
from lab.cloud import faults, hostile, hostile_wire
from lab.cloud.images import image
from lab.cloud.registry import ScriptedRegistry
from registry_driver import PROTOCOL_KINDS, layers_of, pull, run
from registry_driver import registry  # noqa: F401 (fixtures)

# What only shows once the layers are inflated.
FOR_THE_UNPACKER = {
    "mismatch: diff_id wrong",
    "mismatch: diff_ids swapped",
    "mismatch: media type gzip, bytes zstd",
}


class TestDocuments:
    @pytest.mark.parametrize("name", [n for n in hostile.DOCUMENTS if n not in FOR_THE_UNPACKER])
    def test_hostile(self, name):
        with ScriptedRegistry() as r:
            r.push(hostile.DOCUMENTS[name](), "app")
            done = run("pull", r.reference("app"), "linux/amd64")
            assert len(r.requests) - len(r.blob_requests()) <= 4
            done.failed_with(*PROTOCOL_KINDS)

    def test_digest_asked_for(self, registry):
        other = image(layers_of(10))
        registry.push(other, "app", "other")
        registry.documents["app"][registry.document.digest] = other
        done = run("pull", f"{registry.authority}/app@{registry.document.digest}").failed_with("refused")
        assert "digest mismatch" in done.err

    def test_docker_content_digest_that_lies(self, registry):
        registry.on(
            "GET",
            "/manifests/",
            faults.change(lambda _q, a: a.set("Docker-Content-Digest", "sha256:" + "0" * 64)),
        )
        assert "Docker-Content-Digest" in pull(registry).failed_with("refused").err

    def test_a_config_spoiled_on_the_way(self, registry):
        registry.on("GET", "/blobs/", faults.flip(), nth=1)
        pull(registry).delivered(registry.content)

    def test_a_config_that_is_another(self, registry):
        registry.on("GET", "/blobs/", faults.flip())
        assert "digest mismatch" in pull(registry).failed_with("refused").err
        assert len(registry.blob_requests()) == 2

    def test_not_there(self, registry):
        done = run("pull", registry.reference("app", "nope")).failed_with("not-found")
        assert "app:nope" in done.err and len(registry.requests) == 1

    def test_top(self, registry):
        done = run("top", registry.reference("app")).passed()
        assert done.said("top") == [registry.document.digest] and len(registry.requests) == 1

    @pytest.mark.parametrize(
        "value", [v for v, most in hostile_wire.RETRY_AFTER.items() if most < 5 or not v.isdigit()]
    )
    def test_overload_passes(self, registry, value):
        registry.on("GET", "/manifests/", faults.overloaded(429, value), nth=1)
        done = pull(registry).delivered(registry.content)
        assert (2 if value == "2" else 0) <= done.seconds < 4

    def test_500_four_times(self, registry):
        registry.on("GET", "/manifests/", faults.status(500), times=4)
        pull(registry).delivered(registry.content)

    def test_500_for_ever(self, registry):
        registry.on("GET", "/manifests/", faults.status(503))
        done = pull(registry).failed_with("network")
        assert done.kind == "network retryable" and done.code == 75
        assert len(registry.requests) == 5

    @pytest.mark.parametrize("bad", hostile_wire.HEADERS.values(), ids=hostile_wire.HEADERS)
    def test_headers(self, registry, bad):
        registry.on("GET", "/manifests/", bad)
        done = pull(registry)
        assert done.seconds < 30
        assert done.code != 0 or bad is hostile_wire.HEADERS["two Content-Lengths"], done

    def test_nobody_there(self):
        with ScriptedRegistry() as r:
            reference = r.reference("app")
        done = run("pull", reference).failed_with("network")
        assert "refused" in done.err
