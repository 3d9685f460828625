"""`berth pull` over a hostile network: transfers cut, stalled, spoiled, lied about, redirected and overloaded.

What the registry client makes of each is test_registry_client.py's; here the whole program answers for it: exit code
and words, the requests made, the engine, memory, and secrets.
"""

import threading

import pytest
from attack import blob, config_digest, fresh_image, fresh_layer
from lab.cloud import faults, hostile_wire
from lab.cloud.blobhost import BlobHost
from lab.cloud.canary import Canaries
from lab.cloud.images import image
from lab.cloud.login import Bearer
from lab.cloud.registry import ecr_like, ghcr_like
from lab.cloud.server import Trap


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


class TestRedirects:
    @pytest.fixture
    def traps(self, scene):
        """Wherever a Location may point to, somebody writes down who comes."""
        places = [
            ("127.0.0.1", 70),
            ("127.0.0.1", 80),
            ("127.0.0.1", 8080),
            ("169.254.169.254", 80),
            ("169.254.170.2", 80),
            ("fd00:ec2::254", 80),
        ]
        traps = [
            Trap(f"trap at {host}", listen=[(host, port)], netns=scene.netns)
            for host, port in places
        ]
        for trap in traps:
            trap.start()
        yield traps
        for trap in traps:
            trap.stop()

    @pytest.mark.parametrize("what", ["manifest", "layer"])
    @pytest.mark.parametrize("name", [n for n in hostile_wire.LOCATIONS if n != "port 0"])
    def test_to_nowhere_good(self, scene, target, traps, what, name):
        path = {"manifest": "/manifests/", "layer": target.path}
        target.registry.on("GET", path[what], hostile_wire.location(name, target.registry))
        with scene.untouched():
            scene.pull(target.reference).failed("app")
        assert [t.name for t in traps if t.connections] == []
        # What stays at the registry may be asked there (that is what its words then say).
        assert len(target.registry.matching("GET", path[what])) <= 2

    def test_round_in_circles(self, scene, target):
        target.on(faults.redirect_loop())
        with scene.untouched():
            scene.pull(target.reference).failed("redirects")
        assert len(target.gets()) <= 12

    @pytest.mark.parametrize("hops", [1, 4])
    def test_several_honest_ones(self, scene, target, hops):
        with scene.registry() as other:
            other.push(target.document, "app")
            there = f"{other.url}/v2/app/blobs/{target.path}"
            chain = [
                faults.redirect(f"{target.registry.url}/v2/app/blobs/{target.path}?{n}")
                for n in range(hops - 1)
            ]
            target.on(faults.sequence(*chain, faults.redirect(there)))
            with scene.gains(target.document, target.reference):
                scene.pull(target.reference).succeeded()
            assert len(target.gets()) == hops and len(other.requests) == 1

    def test_credentials_stay_at_home(self, scene):
        """Basic to the registry; nothing of it to the host it redirects to, nor to one that only sounds alike."""
        canaries = Canaries()
        with ecr_like(
            canaries=canaries,
            netns=scene.netns,
            blob_host=BlobHost("s3", canaries=canaries, netns=scene.netns),
        ) as registry:
            target = Target(registry)
            password = registry.login.users["AWS"]
            secret = scene.ns.run_dir / "password"
            secret.write_text(password)
            with scene.gains(target.document, target.reference):
                pulled = scene.pull(
                    target.reference,
                    "--registry-user",
                    "AWS",
                    "--registry-password",
                    f"file:{secret}",
                    watch=True,
                ).succeeded()
            assert canaries.seen(password, registry)
            canaries.assert_kept(registry.servers, pulled.texts, [scene.berth.state_dir])


class TestOverload:
    # Seconds that must pass, and their text; what is no time is waited for as if nothing were said.
    @pytest.mark.parametrize(
        "value, least",
        [
            (None, 0.1),
            *(
                (v, 1.9 if v == "2" else 0.1)
                for v in hostile_wire.RETRY_AFTER
                if not v.isdigit() or int(v) < 3
            ),
        ],
    )
    def test_one_refusal_of_everything_is_waited_out(self, scene, target, value, least):
        target.registry.on("GET", "/manifests/", faults.overloaded(429, value), nth=1)
        target.on(faults.overloaded(503, value), nth=1)
        with scene.gains(target.document, target.reference):
            scene.pull(target.reference).succeeded()
        for gets in (manifests(target.registry), target.gets()):
            first, second = (request.time for request in gets)
            assert second - first >= least


class TestTokens:
    @rows(hostile_wire.TOKENS)
    def test_that_are_none(self, scene, fault):
        with ghcr_like(netns=scene.netns, host_kwargs={"netns": scene.netns}) as registry:
            target = Target(registry)
            pat = registry.login.users["octocat"]
            registry.on("GET", "/token", fault)
            with scene.untouched():
                pulled = scene.pull(
                    target.reference,
                    "--registry-user",
                    "octocat",
                    "--registry-password",
                    "env:PAT",
                    env={"PAT": pat},
                ).failed("resolve app")
            assert len(registry.matching("GET", "/token")) <= 2
            assert all(r.body_sent < 4 << 20 for r in registry.requests), "taken as long as it came"
            registry.canaries.assert_kept(registry.servers, pulled.texts, [scene.berth.state_dir])

    @pytest.mark.parametrize("life", [-1, 0, 1, 1 << 31, "soon", None])
    def test_of_any_life(self, scene, life):
        """`expires_in` is the registry's word; a pull is over before any of it matters."""
        with ghcr_like(
            public=True, netns=scene.netns, host_kwargs={"netns": scene.netns}
        ) as registry:
            registry.login.expires_in, registry.login.life = life, 300
            target = Target(registry)
            pulled = scene.pull(target.reference)
            if life in (-1, "soon", 1 << 31):
                assert pulled.code in (0, 1), pulled
            else:
                pulled.succeeded()
            if pulled.code == 0:
                scene.remove(target.reference)

    def test_401_for_ever(self, scene):
        with ghcr_like(
            public=True, netns=scene.netns, host_kwargs={"netns": scene.netns}
        ) as registry:
            target = Target(registry)
            registry.on("GET", "/v2/", faults.unauthorized())
            with scene.untouched():
                scene.pull(target.reference).failed("denied by", "anonymously")
            assert len(registry.matching("GET", "/token")) <= 2

    def test_revoked_midway(self, scene):
        with ghcr_like(
            public=True, netns=scene.netns, host_kwargs={"netns": scene.netns}
        ) as registry:
            target = Target(registry, fresh_image(50_000, 50_000, 50_000))
            registry.on("GET", target.path, faults.after(None, registry.login.expire), nth=1)
            with scene.gains(target.document, target.reference):
                scene.pull(target.reference).succeeded()
            assert len(registry.matching("GET", "/token")) <= 2

    def test_challenged_with_1_mb(self, scene, target):
        target.registry.on(
            "GET", "/v2/", faults.unauthorized('Bearer realm="x",scope="' + "a" * (1 << 20) + '"')
        )
        with scene.untouched():
            scene.pull(target.reference).failed("resolve app")

    @pytest.mark.parametrize(
        "realm",
        [
            "http://evil.example/token",
            "http://169.254.169.254/latest/api/token",
            "http://10.77.0.2/token",
            "file:///etc/passwd",
            "//evil.example/token",
            "http://user:pass@127.0.0.1/token",
        ],
    )
    def test_a_realm_that_gets_nothing(self, scene, realm):
        pat = Canaries().new("PAT", allowed=())
        places = [
            ("203.0.113.16", 80),
            ("169.254.169.254", 80),
            ("10.77.0.2", 80),
            ("127.0.0.1", 80),
        ]
        with scene.registry(login=Bearer({"me": pat}, realm=realm)) as registry, Trap(
            listen=places, netns=scene.netns
        ) as trap:
            registry.login.endpoint = lambda: realm
            target = Target(registry)
            with scene.untouched():
                scene.pull(
                    target.reference,
                    "--registry-user",
                    "me",
                    "--registry-password",
                    "env:PAT",
                    env={"PAT": pat},
                ).failed("realm")
            assert trap.connections == []


class TestPatience:
    """What takes the client's patience, all at once: each waits for a constant of berth's, on a pull of its own."""

    def test_stalls_and_long_waits(self, scene):
        def stalled(fault, at_least, at_most):
            def run():
                with scene.registry() as registry:
                    target = Target(registry)
                    target.on(fault, nth=1)
                    pulled = scene.pull(target.reference).succeeded()
                    assert at_least <= pulled.seconds < at_most, pulled
                    first, second = target.gets()
                    assert second.body_sent + (second.range or (0,))[0] == target.layer.size

            return run

        def overloaded(path, value):
            def run():
                with scene.registry() as registry:
                    target = Target(registry)
                    registry.on("GET", path, faults.overloaded(429, value), nth=1)
                    pulled = scene.pull(target.reference).succeeded()
                    assert 60 <= pulled.seconds < 75, pulled

            return run

        def unreachable(where):
            def run():
                with scene.registry() as registry:
                    target = Target(registry)
                    target.on(faults.redirect(where))
                    scene.pull(target.reference).failed("layer 1 of 1", code=75)

            return run

        def date():
            with scene.registry() as registry:
                target = Target(registry)
                registry.on("GET", "/manifests/", hostile_wire.retry_after_date(3), nth=1)
                scene.pull(target.reference).succeeded()
                first, second = (r.time for r in manifests(registry))
                assert 1.9 <= second - first

        def four_times_500():
            with scene.registry() as registry:
                target = Target(registry)
                registry.on("GET", "/manifests/", faults.status(500), times=4)
                target.on(faults.status(500), times=4)
                scene.pull(target.reference).succeeded()

        def never_a_byte():
            with scene.registry() as registry:
                target = Target(registry)
                target.on(faults.truncate(0))
                scene.pull(target.reference).failed("layer 1 of 1", code=75)
                assert config_digest(target.document) not in scene.images()

        def silent_manifest():
            with scene.registry() as registry:
                target = Target(registry)
                registry.on("GET", "/manifests/", faults.stall_at(10), nth=1)
                pulled = scene.pull(target.reference).succeeded()
                assert 20 <= pulled.seconds < 35, pulled

        def stalled_range():
            """Eight layers at once, one of which stalls: the others are not held up, and only its rest is fetched."""
            with scene.registry() as registry:
                target = Target(registry, fresh_image(*[50_000] * 8))
                late = target.document.layers[3]
                registry.on("GET", late.digest, faults.stall_at(0.5), nth=1)
                scene.pull(target.reference).succeeded()
                again = registry.matching("GET", late.digest)[1]
                assert again.range == (late.size // 2, None)
                others = [r for r in registry.blob_requests() if late.digest not in r.target]
                assert max(r.time for r in others) < again.time - 15

        runs = {
            **{
                name: stalled(fault, *((30, 50) if name == "one byte a second" else (20, 35)))
                for name, fault in hostile_wire.STALLS.items()
            },
            "Retry-After of a billion": overloaded("/manifests/", "1000000000"),
            "Retry-After beyond numbers, for a blob": overloaded("/blobs/", "99999999999999999999"),
            "nobody where the redirect points": unreachable("http://127.0.0.1:1/x"),
            "Retry-After a date": date,
            "500 four times": four_times_500,
            "never a byte": never_a_byte,
            "silence in a manifest": silent_manifest,
            "one of eight stalls": stalled_range,
        }
        failures = {}

        def attempt(name, run):
            try:
                run()
            except BaseException as error:  # pylint: disable=broad-except
                failures[name] = error

        threads = [threading.Thread(target=attempt, args=item) for item in runs.items()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for name, error in failures.items():
            raise AssertionError(f"{name}: {error}") from error
