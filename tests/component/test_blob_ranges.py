"""Layers that come in ranges over many connections, from servers that behave and servers that do not."""

import pytest
from registry_driver import content, layers_of, pull

from lab.cloud import faults, hostile_wire
from lab.cloud.blobhost import BlobHost
from lab.cloud.images import image
from lab.cloud.registry import ScriptedRegistry, ecr_like, ghcr_like

SIZE = 40_000_000
MIB = 1 << 20


class Target:
    """A registry with one image, and the server that has the bytes of its layer."""

    def __init__(self, registry, *sizes):
        self.registry = registry
        self.document = image(layers_of(*(sizes or (SIZE,))))
        self.content = content(self.document)
        self.digests = [layer.digest for layer in self.document.layers]
        self.digest, self.size = self.digests[0], self.document.layers[0].size
        self.server = registry.blob_host or registry
        registry.push(self.document, "app")

    def pull(self, parallel=True, **env):
        return pull(self.registry, PARALLEL=int(parallel), **env)

    def passes(self, **env):
        return self.pull(**env).delivered(self.content)

    def gets(self, digest=None):
        return self.server.matching("GET", digest or self.digest)

    def on(self, fault, **kwargs):
        return self.server.on("GET", self.digest, fault, **kwargs)

    def sent(self):
        return sum(request.body_sent for request in self.gets())

    def span(self, request):
        """The bytes that were asked for, [first, end)."""
        first, last = request.range or (0, None)
        return first, self.size if last is None else last + 1


@pytest.fixture
def target():
    """The registry itself has the bytes."""
    with ScriptedRegistry() as registry:
        yield Target(registry)


@pytest.fixture
def redirected():
    with ghcr_like(public=True) as registry:
        yield Target(registry)


def is_range(request):
    return request.range is not None


class TestRanges:
    def test_each_byte_once(self, target):
        target.passes()
        spans = sorted(map(target.span, target.gets()))
        assert len(spans) > 4 and target.sent() == target.size
        assert [first for first, _ in spans] == [0, *(end for _, end in spans[:-1])]
        assert all(end - first <= 16 * MIB for first, end in spans)

    def test_connections_are_kept(self, target):
        target.passes()
        assert len(target.server.connections) <= 17

    def test_a_throttle_on_each_connection(self, target):
        """5 MB/s each: 8 s by one."""
        target.on(faults.slow(5_000_000))
        assert target.passes().seconds < 4
        assert 6 < len({r.connection for r in target.gets()}) <= 16

    def test_the_lowest_layer_first(self):
        with ScriptedRegistry() as registry:
            target = Target(registry, *[SIZE // 4] * 4)
            registry.on("GET", "/blobs/", faults.slow(5_000_000))
            target.passes()
            last = [max(r.time for r in target.gets(digest)) for digest in target.digests]
            assert last == sorted(last)

    def test_layers_of_all_sizes(self):
        with ghcr_like(public=True) as registry:
            target = Target(registry, 1, 9_000_000, 100, 4 * MIB - 1024, 5_000_000, 30_000_000, 70_000)
            target.passes(READ_BYTES=1_000_000)
            for digest in target.digests:
                assert len(registry.blob_requests(digest)) == 1, "each redirect is asked for once"

    def test_a_small_one_in_one_request(self):
        with ScriptedRegistry() as registry:
            target = Target(registry, 3_000_000)
            target.passes()
            assert [r.range for r in target.gets()] == [None]

    def test_a_late_reader(self, target):
        done = target.passes(READ_DELAY_MS=1500)
        assert int(done.said("peak")[0]) <= 32 * MIB
        assert sum(r.body_sent for r in target.gets()) == target.size


class TestFlow:
    """While one connection is enough for a reader, it has one."""

    def test_one_request(self, target):
        target.passes(parallel=False)
        assert [r.range for r in target.gets()] == [(0, target.size - 1)] and target.sent() == target.size

    def test_behind_a_redirect(self, redirected):
        redirected.passes(parallel=False)
        assert [r.range for r in redirected.gets()] == [(0, redirected.size - 1)]

    def test_a_window_for_a_late_reader(self, target):
        done = target.passes(parallel=False, READ_DELAY_MS=1500)
        assert int(done.said("peak")[0]) <= 2 * MIB
        assert target.sent() == target.size

    def test_a_slow_connection_is_cut_short_for_many(self, target):
        """5 MB/s each: 8 s by one."""
        target.on(faults.slow(5_000_000))
        assert target.passes(parallel=False).seconds < 5
        first, *others = target.gets()
        assert first.range == (0, target.size - 1) and first.body_sent < target.size / 4
        assert 6 < len({r.connection for r in others}) <= 16
        spans = sorted(map(target.span, others))
        assert spans[0][0] <= first.body_sent and spans[-1][1] == target.size
        assert [first for first, _ in spans[1:]] == [end for _, end in spans[:-1]]

    def test_a_paused_one_is_cut_too(self):
        """What stands still behind a slow lowest one, since the reader takes them in order."""
        with ScriptedRegistry() as registry:
            target = Target(registry, SIZE // 2, SIZE // 2)
            registry.on("GET", target.digests[0], faults.slow(4_000_000))
            target.passes(parallel=False)

    def test_a_reset_midway_is_resumed(self, target):
        target.on(faults.reset_at(0.5), nth=1)
        target.passes(parallel=False)
        again = target.gets()[1]
        assert target.span(again)[0] > target.size / 4 and target.span(again)[1] == target.size

    def test_a_server_without_ranges(self):
        with ScriptedRegistry(ranges=False) as registry:
            target = Target(registry)
            target.passes(parallel=False, READ_DELAY_MS=500)
            assert [r.status for r in target.gets()] == [200]


class TestNoRanges:
    def test_never(self):
        with ScriptedRegistry(ranges=False) as registry:
            target = Target(registry)
            target.passes()
            assert [r.status for r in target.gets()] == [200]

    def test_never_and_cut(self):
        with ScriptedRegistry(ranges=False) as registry:
            target = Target(registry)
            target.on(faults.sequence(faults.reset_at(0.5), faults.truncate(0.2), None))
            target.passes()
            assert [is_range(r) for r in target.gets()] == [True, False, False]

    def test_no_more_midway(self, target):
        """All ranges from the fifth on are answered with the whole: one such answer is taken."""
        target.on(faults.ignore_range(), nth=range(5, 1000))
        target.passes()
        taken = [r for r in target.gets() if r.status == 200]
        assert max(r.body_sent for r in taken) == target.size
        assert len(target.gets()) <= 4 + 16
        assert sum(r.body_sent for r in taken) < 1.5 * target.size + 16 * MIB

    def test_and_a_late_reader(self):
        with ScriptedRegistry(ranges=False) as registry:
            target = Target(registry, SIZE, SIZE // 2)
            done = target.passes(READ_DELAY_MS=1500)
            assert int(done.said("peak")[0]) <= 32 * MIB

    def test_the_others_keep_theirs(self, target):
        with ScriptedRegistry() as registry:
            target = Target(registry, SIZE // 2, SIZE // 2)
            target.on(faults.ignore_range())
            target.passes()
            assert len(target.gets()) == 1 and len(target.gets(target.digests[1])) > 2


class TestLies:
    @pytest.mark.parametrize("fault", hostile_wire.RANGE_LIES.values(), ids=hostile_wire.RANGE_LIES)
    def test_once(self, target, fault):
        target.on(fault, nth=4)
        target.passes()
        asked = [r.range for r in target.gets()]
        again = {one for one in asked if asked.count(one) > 1}
        assert again == {asked[3]} and asked.count(asked[3]) == 2

    @pytest.mark.parametrize("fault", hostile_wire.RANGE_LIES.values(), ids=hostile_wire.RANGE_LIES)
    @pytest.mark.parametrize("since", [1, 6])
    def test_for_ever_is_done_without(self, target, fault, since):
        rule = target.on(fault, where=is_range, nth=range(since, 1000))
        target.passes()
        assert rule.hits <= 2 * 16
        assert not is_range(target.gets()[-1])
        assert len([r for r in target.gets() if not is_range(r)]) == 1

    @pytest.mark.parametrize("name", [n for n in hostile_wire.LIES if n != "206 though nothing was asked"])
    def test_about_all_is_refused(self, target, name):
        target.on(hostile_wire.LIES[name])
        target.pull().failed_with("refused", "protocol", "limit")
        assert len(target.gets()) <= 3 + 16

    def test_a_short_range(self, target):
        """A well-formed answer with less than was asked for."""

        def halve(_request, response):
            first, _, rest = response.header("Content-Range")[len("bytes ") :].partition("-")
            half = len(response.body) // 2
            response.set("Content-Range", f"bytes {first}-{int(first) + half - 1}/{rest.split('/')[1]}")
            response.body = response.body[:half]

        target.on(faults.change(halve), nth=3)
        target.passes()

    def test_a_longer_range_without_a_length(self, target):
        target.on(faults.extra(100, "chunked"), nth=3)
        done = target.pull()
        assert done.code == 0 or "more than the" in done.failed_with("refused").err

    def test_a_flipped_bit(self, target):
        target.on(faults.flip(), nth=5)
        assert "digest mismatch" in target.pull().failed_with("refused").err


class TestCut:
    @pytest.mark.parametrize("name", hostile_wire.RECOVERS)
    def test_only_what_is_missing(self, target, name):
        target.on(hostile_wire.RECOVERS[name], nth=(1, 4))
        target.passes()
        # On a busy machine an RST overtakes bytes that nobody has read yet: those are missing too.
        lost = 2 * 16 * MIB if name.startswith("reset") else 100_000
        assert target.sent() < target.size + lost

    def test_all_ranges(self, target):
        """Each comes in two halves."""
        seen = set()

        def first_time(request):
            new = target.span(request)[1] not in seen
            seen.add(target.span(request)[1])
            return new

        target.on(faults.truncate(0.5), where=first_time)
        target.passes()
        assert target.sent() == target.size
        for end in seen:
            spans = [s for s in map(target.span, target.gets()) if s[1] == end]
            assert len(spans) == 2 and spans[1][0] - spans[0][0] == (end - spans[0][0]) // 2

    def test_one_of_many_stalls(self, target):
        target.on(faults.stall_at(0.5), nth=4)
        done = target.passes()
        assert 19 < done.seconds < 30
        late, again = target.gets()[3], target.gets()[-1]
        assert target.span(again) == (
            target.span(late)[0] + late.body_sent,
            target.span(late)[1],
        ), "its rest"
        assert target.sent() == target.size
        others = [r.time for r in target.gets() if r not in (late, again)]
        assert max(others) < late.time + 15, "the others are not held up"

    def test_never_a_byte_after_the_first_range(self, target):
        target.on(faults.reset(), nth=range(2, 1000))
        done = target.pull().failed_with("network")
        assert done.code == 75
        assert len(target.gets()) <= 1 + 5 * 16

    @pytest.mark.parametrize("code", [429, 503])
    def test_overload_of_one_range(self, target, code):
        target.on(faults.overloaded(code, "2"), nth=4)
        assert target.passes().seconds > 1.9
        refused = target.gets()[3]
        again = [r for r in target.gets() if r.range == refused.range][1]
        assert again.time - refused.time > 1.9


class TestRedirects:
    def test_one_resolution(self, redirected):
        redirected.passes()
        assert len(redirected.registry.blob_requests(redirected.digest)) == 1
        assert len(redirected.gets()) > 4

    def test_expired_midway_is_resolved_once_for_all_ranges(self, redirected):
        host = redirected.registry.blob_host
        redirected.on(faults.after(None, host.expire), nth=6)
        redirected.passes()
        assert len(redirected.registry.blob_requests(redirected.digest)) == 2
        assert 403 in [r.status for r in redirected.gets()]
        assert redirected.sent() < redirected.size + 100_000
        redirected.registry.canaries.assert_kept(redirected.registry.servers)

    def test_urls_that_live_for_a_few_requests(self, redirected):
        host = redirected.registry.blob_host
        for n in range(3, 60, 6):
            redirected.on(faults.after(None, host.expire), nth=n)
        redirected.passes()

    def test_urls_that_never_work_again(self, redirected):
        """Only the first request ever is answered with bytes."""
        redirected.on(faults.status(403), nth=range(2, 10_000))
        redirected.pull().failed_with("failed")
        assert len(redirected.gets()) < 1 + 16 * 12

    @pytest.mark.parametrize("how", ["expires", "goes down"])
    def test_another_host_midway(self, redirected, how):
        registry, old = redirected.registry, redirected.registry.blob_host
        with BlobHost("moved", style="azure", canaries=registry.canaries) as new:

            def move():
                registry.blob_host = new
                if how == "expires":
                    old.expire()
                else:
                    old.on("GET", "", faults.reset())

            redirected.on(faults.after(faults.truncate(0.5), move), nth=4)
            try:
                redirected.passes()
            finally:
                registry.blob_host = old
            assert new.requests and not [r for r in new.requests if r.header("Authorization")]

    def test_credentials_stay_with_the_registry(self):
        with ecr_like() as registry:
            target = Target(registry, SIZE, SIZE // 2)
            target.on(faults.after(None, registry.blob_host.expire), nth=4)
            password = registry.login.users["AWS"]
            done = target.passes(LOGIN_USER="AWS", LOGIN_PASSWORD=password)
            assert registry.canaries.seen(password, registry)
            assert not [r for r in registry.blob_host.requests if r.header("Authorization")]
            registry.canaries.assert_kept(registry.servers, texts={"out": done.out + done.err})
