"""The registry client and the blob fetcher against registries that misbehave, by driver_registry."""

import hashlib

import pytest
from registry_driver import content, layers_of, pull, run

from lab.cloud import faults, hostile, hostile_wire
from lab.cloud.ca import CA
from lab.cloud.canary import Canaries
from lab.cloud.images import buildx_index, image
from lab.cloud.login import Bearer, TokenHost
from lab.cloud.registry import ScriptedRegistry, ecr_like, ghcr_like
from lab.cloud.server import Trap
from lab.cloud.world import World

PROTOCOL_KINDS = {"refused", "protocol", "limit"}
# What only shows once the layers are inflated.
FOR_THE_UNPACKER = {
    "mismatch: diff_id wrong",
    "mismatch: diff_ids swapped",
    "mismatch: media type gzip, bytes zstd",
}


@pytest.fixture
def registry():
    """Blobs served by the registry itself, with ranges, anonymously."""
    with ScriptedRegistry() as r:
        r.document = image(layers_of(200_000))
        r.content = content(r.document)
        r.push(r.document, "app")
        r.digest = "sha256:" + hashlib.sha256(r.content).hexdigest()
        yield r


def sent(requests):
    return sum(r.body_sent for r in requests)


class TestLogin:
    def test_basic_goes_to_the_registry_alone(self):
        with ecr_like() as r:
            r.push(image(layers_of(1000, 2000)), "app")
            password = r.login.users["AWS"]
            done = pull(r, LOGIN_USER="AWS", LOGIN_PASSWORD=password).passed()
            assert done.logins == 1
            assert r.requests[0].status == 401
            assert all(q.status in (200, 307) for q in r.requests[1:])
            assert not [q for q in r.blob_host.requests if q.header("Authorization")]
            r.canaries.assert_kept(r.servers, texts={"out": done.out + done.err})

    def test_a_refused_basic_login_is_asked_for_once_more(self):
        with ecr_like() as r:
            r.push(image(layers_of(1000)), "app")
            done = pull(r, LOGIN_USER="AWS", LOGIN_PASSWORD="wrong").failed_with("denied")
            assert "asked as AWS" in done.err and "ecr:BatchGetImage" in done.err
            assert done.logins == 2 and len(r.requests) == 3
            assert "wrong" not in done.err

    def test_no_login_where_one_is_wanted(self):
        with ecr_like() as r:
            r.push(image(layers_of(1000)), "app")
            done = pull(r).failed_with("denied")
            assert "anonymously" in done.err and "--registry-user" in done.err

    def test_an_anonymous_token(self):
        with ghcr_like(public=True) as r:
            r.push(buildx_index((image(layers_of(1000)), "linux/amd64")), "app")
            run("pull", r.reference("app"), "linux/amd64").passed()
            assert len(r.matching("GET", "/token")) == 1
            # 401, token, index, manifest, config, layer: one round trip a thing
            assert len(r.requests) == 6

    @pytest.mark.parametrize("field", ["token", "access_token", "both"])
    @pytest.mark.parametrize("expires_in", [None, 300, 60])
    def test_tokens_in_all_their_forms(self, field, expires_in):
        canaries = Canaries()
        password = canaries.new("password", allowed={"token-host"})
        login = Bearer(
            {"me": password}, host=TokenHost(), field=field, expires_in=expires_in, service="a b&c"
        )
        with ScriptedRegistry(login=login, canaries=canaries) as r:
            r.push(image(layers_of(1000)), "app")
            pull(r, LOGIN_USER="me", LOGIN_PASSWORD=password).passed()
            canaries.assert_kept(r.servers)

    def test_a_wrong_password_for_a_token(self):
        with ghcr_like() as r:
            r.push(image(layers_of(1000)), "app")
            done = pull(r, LOGIN_USER="octocat", LOGIN_PASSWORD="wrong").failed_with("denied")
            assert "asked as octocat" in done.err
            assert len(r.matching("GET", "/token")) == 1

    @pytest.mark.parametrize("bad", hostile_wire.TOKENS.values(), ids=hostile_wire.TOKENS)
    def test_hostile_tokens(self, bad):
        with ghcr_like(public=True) as r:
            r.push(image(layers_of(1000)), "app")
            r.on("GET", "/token", bad)
            done = pull(r).failed_with("protocol", "limit", "refused", "denied", "failed")
            assert len(r.matching("GET", "/token")) <= 2
            assert sent(r.requests) < 16 << 20
            assert done.seconds < 10

    def test_a_negative_life(self):
        with ScriptedRegistry(login=Bearer(public=True, expires_in=-1)) as r:
            r.push(image(layers_of(1000)), "app")
            pull(r).failed_with("protocol")

    def test_401_for_ever(self):
        with ghcr_like(public=True) as r:
            r.push(image(layers_of(1000)), "app")
            r.on("GET", "/v2/", faults.unauthorized())
            pull(r).failed_with("denied")
            assert len(r.matching("GET", "/token")) <= 2
            assert len(r.requests) <= 5

    def test_a_scope_that_is_not_given(self):
        with ghcr_like(public=True) as r:
            r.push(image(layers_of(1000)), "app")
            r.on(
                "GET",
                "/v2/",
                faults.unauthorized(
                    f'Bearer realm="{r.url}/token",service="ghcr.io",error="insufficient_scope"'
                ),
            )
            pull(r).failed_with("denied")
            assert len(r.matching("GET", "/token")) == 1

    def test_a_token_that_dies_during_the_pull(self):
        with ScriptedRegistry(login=Bearer(public=True, expires_in=1)) as r:
            r.push(image(layers_of(*[3_000_000] * 20)), "app")
            r.on("GET", "/blobs/", faults.slow(2_000_000))
            done = pull(r).passed()
            assert len(r.matching("GET", "/token")) > 1
            assert done.logins == 1

    def test_tokens_revoked_during_the_pull(self):
        with ScriptedRegistry(login=Bearer(public=True)) as r:
            r.document = image(layers_of(*[100_000] * 9))
            r.push(r.document, "app")
            r.on("GET", "/blobs/", faults.after(faults.truncate(0.5), r.login.expire), nth=3)
            pull(r).delivered(content(r.document))

    @pytest.mark.parametrize(
        "challenge",
        [
            "",
            "Negotiate",
            'Bearer service="x"',
            'Bearer realm="/token"',
            'Bearer realm="ftp://x/"',
            'Bearer realm="http://169.254.169.254/token"',
            'Bearer realm="http://ghcr.example/token"',
            'Bearer realm="https://u:p@ghcr.example/token"',
            'Basic realm="x',
        ],
    )
    def test_challenges_that_cannot_be_answered(self, registry, challenge):
        registry.on("GET", "/v2/", faults.unauthorized(challenge))
        pull(registry, LOGIN_USER="u", LOGIN_PASSWORD="p").failed_with("denied", "refused", "protocol")
        assert len(registry.requests) == 1

    def test_two_challenges_in_two_headers(self, registry):
        with ghcr_like(public=True) as r:
            r.push(image(layers_of(1000)), "app")
            realm = f'Bearer realm="{r.url}/token",service="ghcr.io"'
            r.on("GET", "/v2/", faults.unauthorized(['Basic realm="x"', realm]), nth=1)
            pull(r).passed()


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


class TestWorld:
    """At public names with TLS, in a namespace of their own."""

    @pytest.fixture
    def world(self, ns):
        with World(ns) as w:
            yield w

    def pull(self, world, reference, **env):
        return run("pull", reference, namespace=world.namespace, **{**world.env(), **env})

    def test_ghcr(self, world):
        document = image(layers_of(300_000, 100_000))
        world.ghcr.push(document, "octocat/app", "v1")
        pat = world.ghcr.login.users["octocat"]
        done = self.pull(world, "ghcr.io/octocat/app:v1", LOGIN_USER="octocat", LOGIN_PASSWORD=pat)
        done.delivered(content(document))
        world.canaries.assert_kept(world.servers, texts={"out": done.out + done.err})

    @pytest.mark.parametrize("name", hostile_wire.PRIVATE_LOCATIONS)
    @pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
    def test_more_private(self, world, name, tls):
        world.ghcr.login.public = True
        world.ghcr.push(image(layers_of(1000)), "app", "v1")
        target = hostile_wire.PRIVATE_LOCATIONS[name]
        world.ghcr.on(
            "GET", "/blobs/", faults.redirect(target.replace("http:", "https:") if tls else target)
        )
        self.pull(world, "ghcr.io/app:v1").failed_with("refused")

    def test_a_name_of_a_private_address(self, world):
        world.namespace.hosts["inside.example"] = "10.0.0.1"
        world.ghcr.login.public = True
        world.ghcr.push(image(layers_of(1000)), "app", "v1")
        world.ghcr.on("GET", "/blobs/", faults.redirect("https://inside.example/x"))
        done = self.pull(world, "ghcr.io/app:v1").failed_with("refused")
        assert "10.0.0.1" in done.err and "private" in done.err

    def test_a_realm_inside(self, world):
        world.namespace.hosts["inside.example"] = "10.0.0.1"
        world.ghcr.push(image(layers_of(1000)), "app", "v1")
        world.ghcr.login.realm = "https://inside.example/token"
        pat = world.ghcr.login.users["octocat"]
        self.pull(world, "ghcr.io/app:v1", LOGIN_USER="octocat", LOGIN_PASSWORD=pat).failed_with(
            "refused"
        )
        world.canaries.assert_kept(world.servers)

    def test_a_plain_realm(self, world):
        world.ghcr.push(image(layers_of(1000)), "app", "v1")
        world.ghcr.login.realm = "http://ghcr.io/token"
        pat = world.ghcr.login.users["octocat"]
        self.pull(world, "ghcr.io/app:v1", LOGIN_USER="octocat", LOGIN_PASSWORD=pat).failed_with(
            "refused"
        )

    @pytest.mark.parametrize(
        "kind,says",
        [
            ("expired", "expired"),
            ("not_yet_valid", "not yet valid"),
            ("wrong_name", "name"),
            ("self_signed", "self-signed"),
        ],
    )
    def test_certificates(self, world, kind, says):
        make = getattr(world.ca, kind)
        world.ghcr.next_certificates(99, make() if kind == "wrong_name" else make("ghcr.io"))
        done = self.pull(world, "ghcr.io/app:v1").failed_with("refused")
        assert "TLS: " in done.err and says in done.err
        assert not world.ghcr.requests

    def test_unknown_ca(self, world):
        other = CA(common_name="another")
        done = self.pull(world, "ghcr.io/app:v1", SSL_CERT_FILE=other.pem).failed_with("refused")
        assert "AWS_CA_BUNDLE" in done.err

    def test_tls_of_1999(self, world):
        import ssl

        world.ghcr.next_certificates(
            99, world.ca.certificate("ghcr.io").speaking(ssl.TLSVersion.TLSv1)
        )
        self.pull(world, "ghcr.io/app:v1").failed_with("protocol", "network")
        assert not world.ghcr.requests
