"""`berth pull` over a hostile network: transfers cut, spoiled and lied about.

What the registry client makes of each is told by test_registry_client_*.py; here the whole program answers for it: exit
code and words, the requests made, the engine, memory, and secrets.
"""

from attack import blob, config_digest, fresh_image, fresh_layer
from lab.cloud import faults, hostile_wire
from lab.cloud.images import image
from lab.cloud.registry import ghcr_like
from transfer_steps import Target, manifests, ranges, rows
from transfer_steps import either, target  # noqa: F401 (fixtures)


class TestCut:
    @rows(hostile_wire.RECOVERS)
    def test_only_what_is_missing_is_fetched_again(self, scene, either, fault):
        either.on(fault, nth=1)
        with scene.gains(either.document, either.reference):
            pulled = scene.pull(either.reference, "--json").succeeded()
        first, *rest = either.gets()
        assert first.range is None and len(rest) <= 1
        got = first.body_sent if first.status == 200 else 0
        if rest:
            assert ranges(rest) == [got or None]
            assert rest[0].body_sent == either.layer.size - got
        assert pulled.answer["bytes"] == either.layer.size
        if either.registry.blob_host:
            assert (
                len(either.registry.blob_requests(either.path)) == 1
            ), "the redirect was remembered"

    @rows(hostile_wire.RECOVERS)
    def test_documents_are_asked_for_again(self, scene, target, fault):
        paths = ["/manifests/", blob(config_digest(target.document))]
        for path in paths:
            target.registry.on("GET", path, fault, nth=1)
        with scene.gains(target.document, target.reference):
            scene.pull(target.reference).succeeded()
        assert len(manifests(target.registry)) <= 2
        assert len(target.registry.matching("GET", paths[1])) <= 2

    def test_a_byte_at_a_time(self, scene, target):
        """Cut after every thousand bytes: progress is progress."""
        target.on(faults.reset_at(10_000))
        with scene.gains(target.document, target.reference):
            scene.pull(target.reference).succeeded()
        assert ranges(target.gets()) == [n * 10_000 or None for n in range(len(target.gets()))]
        assert sum(r.body_sent for r in target.gets()) == target.layer.size

    def test_several_layers_cut_at_once(self, scene, target):
        document = fresh_image(*[50_000] * 8)
        target.registry.push(document, "many")
        for number, made in enumerate(document.layers):
            target.registry.on("GET", made.digest, faults.reset_at(number * 5000 + 1), nth=1)
        reference = target.registry.reference("many")
        with scene.gains(document, reference):
            scene.pull(reference).succeeded()
        for made in document.layers:
            assert (
                sum(r.body_sent for r in target.registry.matching("GET", made.digest)) == made.size
            )

    def test_a_server_without_ranges_starts_again(self, scene):
        with scene.registry(ranges=False) as registry:
            target = Target(registry)
            target.on(faults.reset_at(0.7), nth=1)
            with scene.gains(target.document, target.reference):
                scene.pull(target.reference).succeeded()
            assert [r.status for r in target.gets()] == [200, 200]

    def test_an_expired_url_is_resolved_again_midway(self, scene):
        with ghcr_like(
            public=True, netns=scene.netns, host_kwargs={"netns": scene.netns}
        ) as registry:
            target = Target(registry)
            target.on(faults.after(faults.truncate(0.5), registry.blob_host.expire), nth=1)
            with scene.gains(target.document, target.reference):
                scene.pull(target.reference).succeeded()
            assert [r.status for r in target.gets()] == [200, 403, 206]
            assert len(registry.blob_requests(target.path)) == 2
            registry.canaries.assert_kept(registry.servers)


class TestLies:
    @rows(hostile_wire.LIES)
    def test_one_is_discarded_and_asked_past(self, scene, target, fault):
        target.on(fault, nth=1)
        with scene.gains(target.document, target.reference):
            scene.pull(target.reference).succeeded()
        assert ranges(target.gets()) == [None, None]

    @rows(hostile_wire.LIES)
    def test_for_ever_they_are_believed_to_be_lies(self, scene, either, fault):
        either.on(fault)
        with scene.untouched():
            scene.pull(either.reference).failed("pull app: layer 1 of 1")
        assert len(either.gets()) == 2

    @rows(hostile_wire.RANGE_LIES)
    def test_one_about_a_range(self, scene, target, fault):
        target.on(faults.truncate(0.5), nth=1)
        target.on(fault, nth=1)
        with scene.gains(target.document, target.reference):
            scene.pull(target.reference).succeeded()
        half = target.layer.size // 2
        assert ranges(target.gets()) == [None, half, half]

    @rows(hostile_wire.RANGE_LIES)
    def test_ranges_that_never_work_are_done_without(self, scene, target, fault):
        target.on(faults.truncate(0.5), nth=1)
        target.on(fault, where=lambda request: request.range)
        with scene.gains(target.document, target.reference):
            scene.pull(target.reference).succeeded()
        half = target.layer.size // 2
        assert ranges(target.gets()) == [None, half, half, None]

    def test_the_whole_to_a_range_request_is_taken_as_what_it_is(self, scene, target):
        target.on(faults.truncate(0.5), nth=1)
        target.on(hostile_wire.RANGE_IGNORED, nth=1)
        with scene.gains(target.document, target.reference):
            scene.pull(target.reference).succeeded()
        assert [r.status for r in target.gets()] == [200, 200]

    def test_bytes_that_break_the_inflater_are_judged_by_their_digest(self, scene, target):
        """The worker is through with them long before the transfer is."""
        document = image([fresh_layer(600_000)])
        target.registry.push(document, "slow")
        reference, digest = target.registry.reference("slow"), document.layers[0].digest

        async def spoiled_and_slow(exchange):
            response = await exchange.normal()
            response.body = response.body[:12] + b"\xff" * 100 + response.body[112:]

            async def same():
                return response

            exchange.normal = same
            await faults.slow(2_000_000, after=100_000)(exchange)

        target.registry.on("GET", digest, spoiled_and_slow, nth=1)
        with scene.gains(document, reference):
            pulled = scene.pull(reference).succeeded()
        assert "digest mismatch" in pulled.err and "fetching again" in pulled.err
        assert ranges(target.registry.matching("GET", digest)) == [None, None]

    def test_a_lie_about_the_inflated_size_is_survived(self, scene, target):
        """gzip's last bytes are asked for first, as a hint."""
        document = image([fresh_layer(3_000_000)])
        target.registry.push(document, "hint")
        reference, digest = target.registry.reference("hint"), document.layers[0].digest

        def lie(_request, response):
            response.body = response.body[:-4] + (64 << 20).to_bytes(4, "little")

        asked = target.registry.on(
            "GET", digest, faults.change(lie), where=lambda r: r.range and len_of(r) == 8
        )

        def len_of(request):
            return document.layers[0].size - request.range[0]

        with scene.gains(document, reference):
            scene.pull(reference).succeeded()
        whole = [r for r in target.registry.matching("GET", digest) if not r.range]
        assert len(whole) == 1 + (asked.hits > 0)


class TestHeads:
    @rows(hostile_wire.HEADERS)
    def test_of_a_manifest(self, scene, target, fault):
        target.registry.on("GET", "/manifests/", fault)
        with scene.untouched():
            scene.pull(target.reference, timeout=30).failed("resolve app")
        assert len(target.registry.requests) == 1

    @rows(hostile_wire.HEADERS)
    def test_of_a_layer(self, scene, target, fault):
        target.on(fault)
        with scene.untouched():
            scene.pull(target.reference, timeout=30).failed("pull app: layer 1 of 1")
        assert len(target.gets()) == 2
