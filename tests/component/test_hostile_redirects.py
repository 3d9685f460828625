"""`berth pull` from a registry that sends it elsewhere: where it does not go, and what it does not take along."""

import pytest
from lab.cloud import faults, hostile_wire
from lab.cloud.blobhost import BlobHost
from lab.cloud.canary import Canaries
from lab.cloud.registry import ecr_like
from lab.cloud.server import Trap
from transfer_steps import Target
from transfer_steps import target  # noqa: F401 (fixtures)


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
