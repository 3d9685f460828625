"""The blob fetcher against registries that cut, stall, lie and redirect, and with many blobs at once."""

import hashlib

import pytest
from lab.cloud import faults, hostile_wire
from lab.cloud.images import image
from lab.cloud.registry import ScriptedRegistry, ecr_like, ghcr_like
from lab.cloud.server import Trap
from registry_driver import PROTOCOL_KINDS, content, layers_of, pull, sent
from registry_driver import registry  # noqa: F401 (fixtures)


class TestBlobs:
    @pytest.mark.parametrize("fault", hostile_wire.RECOVERS.values(), ids=hostile_wire.RECOVERS)
    @pytest.mark.parametrize("direct", [True, False], ids=["direct", "redirected"])
    def test_recovers_with_what_is_missing_only(self, fault, direct):
        with ScriptedRegistry() if direct else ghcr_like(public=True) as r:
            document = image(layers_of(200_000))
            r.push(document, "app")
            server = r if direct else r.blob_host
            digest = "sha256:" + hashlib.sha256(content(document)).hexdigest()
            server.on("GET", digest, fault, nth=1)
            pull(r).delivered(content(document))
            assert sent(server.matching("GET", digest)) < 1.2 * len(content(document)) + 10000
            if not direct:
                assert len(r.blob_requests(digest)) == 1

    @pytest.mark.parametrize("fault", hostile_wire.LIES.values(), ids=hostile_wire.LIES)
    def test_lies_for_ever(self, registry, fault):
        registry.on("GET", registry.digest, fault)
        pull(registry).failed_with(*PROTOCOL_KINDS)
        assert len(registry.blob_requests(registry.digest)) <= 2

    @pytest.mark.parametrize("fault", hostile_wire.LIES.values(), ids=hostile_wire.LIES)
    def test_one_lie(self, registry, fault):
        """Recovers, or fails by name; never wrong bytes."""
        registry.on("GET", registry.digest, fault, nth=1)
        done = pull(registry)
        if done.code:
            done.failed_with("refused")
        else:
            done.delivered(registry.content)

    @pytest.mark.parametrize("fault", hostile_wire.RANGE_LIES.values(), ids=hostile_wire.RANGE_LIES)
    @pytest.mark.parametrize("ever", [False, True], ids=["once", "for ever"])
    def test_lies_about_ranges(self, registry, fault, ever):
        registry.on("GET", registry.digest, faults.truncate(0.5), nth=1)
        how = {"where": lambda q: q.range} if ever else {"nth": 2}
        registry.on("GET", registry.digest, fault, **how)
        pull(registry).delivered(registry.content)
        asked = [q.range for q in registry.blob_requests(registry.digest)]
        half = (len(registry.content) // 2, None)
        assert asked == [None, half, half, None][: 4 if ever else len(asked)]

    def test_no_ranges(self):
        with ScriptedRegistry(ranges=False) as r:
            document = image(layers_of(200_000))
            r.push(document, "app")
            r.on(
                "GET",
                "/blobs/",
                faults.sequence(None, faults.truncate(0.5), faults.reset_at(0.7), None),
            )
            pull(r).delivered(content(document))

    def test_cut_again_and_again(self, registry):
        registry.on("GET", registry.digest, faults.reset_at(20_000))
        pull(registry).delivered(registry.content)
        assert sent(registry.blob_requests(registry.digest)) < 1.2 * len(registry.content) + 10000

    def test_never_a_byte(self, registry):
        registry.on("GET", registry.digest, faults.truncate(0))
        done = pull(registry).failed_with("network")
        assert done.code == 75
        assert len(registry.blob_requests(registry.digest)) == 5

    @pytest.mark.parametrize("name", ["silence at half", "silence before the head"])
    def test_silence_is_cut(self, registry, name):
        registry.on("GET", registry.digest, hostile_wire.STALLS[name], nth=1)
        done = pull(registry).delivered(registry.content)
        assert 19 < done.seconds < 25

    def test_a_trickle_is_cut(self, registry):
        registry.on("GET", registry.digest, hostile_wire.STALLS["one byte a second"], nth=1)
        done = pull(registry).delivered(registry.content)
        assert 29 < done.seconds < 40

    def test_an_expired_url_is_asked_for_again(self):
        with ghcr_like(public=True) as r:
            document = image(layers_of(200_000))
            r.push(document, "app")
            digest = "sha256:" + hashlib.sha256(content(document)).hexdigest()
            r.blob_host.on(
                "GET", digest, faults.after(faults.truncate(0.5), r.blob_host.expire), nth=1
            )
            pull(r).delivered(content(document))
            assert [q.status for q in r.blob_host.matching("GET", digest)] == [200, 403, 206]
            assert len(r.blob_requests(digest)) == 2

    def test_a_url_that_never_works(self):
        with ghcr_like(public=True) as r:
            document = image(layers_of(200_000))
            r.push(document, "app")
            digest = "sha256:" + hashlib.sha256(content(document)).hexdigest()
            r.blob_host.on("GET", digest, faults.status(403))
            pull(r).failed_with("failed")
            assert len(r.blob_host.matching("GET", digest)) == 5

    @pytest.mark.parametrize("name", hostile_wire.LOCATIONS)
    def test_locations(self, registry, name):
        registry.on("GET", registry.digest, hostile_wire.location(name, registry))
        done = pull(registry, LOGIN_USER="u", LOGIN_PASSWORD="p")
        assert done.code != 0, done
        assert not [q for q in registry.requests if q.header("X-Injected")]
        assert done.seconds < 30

    def test_a_loop_of_redirects(self, registry):
        registry.on("GET", registry.digest, faults.redirect_loop())
        pull(registry).failed_with("refused")
        assert len(registry.blob_requests(registry.digest)) == 6

    def test_plain_http_elsewhere(self, registry):
        registry.on("GET", registry.digest, faults.redirect("http://198.51.100.1/x"))
        done = pull(registry).failed_with("refused")
        assert "plain http to 198.51.100.1" in done.err

    def test_a_redirect_elsewhere_carries_no_credentials(self):
        with ecr_like() as r, Trap() as trap:
            r.push(image(layers_of(1000)), "app")
            r.on("GET", "/blobs/", faults.redirect(trap.url + "/x"))
            password = r.login.users["AWS"]
            pull(r, LOGIN_USER="AWS", LOGIN_PASSWORD=password)
            assert trap.requests
            assert not [q for q in trap.requests if q.header("Authorization")]
            r.canaries.assert_kept([*r.servers, trap])


class TestManyBlobs:
    def check(self, sizes, **env):
        with ScriptedRegistry() as r:
            document = image(layers_of(*sizes))
            r.push(document, "app")
            done = pull(r, **env).delivered(content(document))
            return r, done

    def test_none_and_empty(self):
        with ScriptedRegistry() as r:
            r.push(image([]), "app")
            pull(r).delivered(b"")

    def test_a_late_reader_holds_the_bytes_back(self):
        _, done = self.check([20_000_000] * 6, READ_DELAY_MS=1500)
        assert int(done.said("peak")[0]) <= 32 << 20

    def test_a_slow_reader_never_starves(self):
        """The upper blobs fill the buffer long before the lowest, which is slow, is read."""
        with ScriptedRegistry() as r:
            document = image(layers_of(*[12_000_000] * 5))
            r.push(document, "app")
            lowest = (
                "sha256:"
                + hashlib.sha256(content(document)[: len(content(document)) // 5]).hexdigest()
            )
            r.on("GET", lowest, faults.slow(8_000_000))
            done = pull(r, READ_BYTES=100_000).delivered(content(document))
            assert 24 << 20 < int(done.said("peak")[0]) <= 32 << 20

    def test_the_lowest_breaks_while_the_buffer_is_full(self):
        with ScriptedRegistry() as r:
            document = image(layers_of(*[12_000_000] * 5))
            r.push(document, "app")
            lowest = (
                "sha256:"
                + hashlib.sha256(content(document)[: len(content(document)) // 5]).hexdigest()
            )
            r.on("GET", lowest, faults.delay(2), nth=1)
            r.on(
                "GET", lowest, faults.sequence(faults.reset_at(0), faults.reset_at(1_000_000), None)
            )
            done = pull(r).delivered(content(document))
            assert int(done.said("peak")[0]) <= 32 << 20

    def test_paused_for_longer_than_a_stall(self):
        _, done = self.check([40_000_000, 20_000_000], READ_DELAY_MS=23_000)
        assert done.seconds < 40

    def test_a_paused_transfer_that_the_server_cuts(self):
        with ScriptedRegistry() as r:
            document = image(layers_of(*[20_000_000] * 3))
            r.push(document, "app")
            r.on("GET", "/blobs/", faults.reset_at(16_000_000), times=4)
            pull(r, READ_DELAY_MS=2000).delivered(content(document))

    def test_a_hundred_small_ones(self):
        r, done = self.check([1000 + i for i in range(125)], READ_DELAY_MS=300)
        assert len(r.connections) <= 17
