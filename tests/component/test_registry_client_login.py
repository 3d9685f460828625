"""The registry client and logins: Basic, tokens in all their forms, challenges, and refusals."""

import pytest
from lab.cloud import faults, hostile_wire
from lab.cloud.canary import Canaries
from lab.cloud.images import buildx_index, image
from lab.cloud.login import Bearer, TokenHost
from lab.cloud.registry import ScriptedRegistry, ecr_like, ghcr_like
from registry_driver import content, layers_of, pull, run, sent
from registry_driver import registry  # noqa: F401 (fixtures)


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
