"""`berth pull` and logins that go wrong: tokens that are none, that die, and realms that are to get nothing."""

import pytest
from attack import fresh_image
from lab.cloud import faults, hostile_wire
from lab.cloud.canary import Canaries
from lab.cloud.login import Bearer
from lab.cloud.registry import ghcr_like
from lab.cloud.server import Trap
from transfer_steps import Target, rows
from transfer_steps import target  # noqa: F401 (fixtures)


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
