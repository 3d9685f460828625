"""`berth pull` and names: where they are looked up, and addresses that they must not have."""

import contextlib

import pytest
from attack import fresh_image
from lab.cloud import faults
from lab.cloud.dns import Dns
from lab.cloud.login import Bearer
from lab.cloud.registry import ScriptedRegistry, ghcr_like
from lab.cloud.server import Trap
from registries_steps import pull_example
from registries_steps import example  # noqa: F401 (fixtures)


class TestNames:
    """Names are looked up by berth itself: the static binary has no resolver of libc's."""

    @contextlib.contextmanager
    def dns(self, scene, addresses=("203.0.113.21",), **more):
        with Dns({"registry.example": list(addresses), **more}, netns=scene.netns) as dns:
            yield dns

    def test_resolv_conf(self, scene, world, example):
        with self.dns(scene) as dns, scene.gains(example.document, example.reference("app")):
            pull_example(scene, world, example, dns).succeeded()
            assert {name for _, name, _ in dns.questions} == {"registry.example"}

    def test_etc_hosts_comes_first(self, scene, world, example):
        with self.dns(scene, ["203.0.113.22"]) as dns, scene.gains(
            example.document, example.reference("app")
        ):
            # Nobody is at the other address. (The engine, which is told the digest in the end, asks for itself.)
            pull_example(
                scene, world, example, dns, hosts={"registry.example": "203.0.113.21"}
            ).succeeded()

    @pytest.mark.parametrize(
        "how", ["SERVFAIL", "silence", "truncated", "wrong id", "other name", "REFUSED"]
    )
    def test_a_moment_of_trouble(self, scene, world, example, how):
        with self.dns(scene) as dns, scene.gains(example.document, example.reference("app")):
            dns.fail(2, how)
            pull_example(scene, world, example, dns).succeeded()

    def test_no_such_name(self, scene, world, example):
        with Dns({}, netns=scene.netns) as dns, scene.untouched():
            pull_example(scene, world, example, dns).failed("resolve registry.example", code=75)

    def test_one_of_two_addresses_is_dead(self, scene, world, example):
        with self.dns(scene, ["203.0.113.29", "203.0.113.21"]) as dns:
            with scene.gains(example.document, example.reference("app")):
                pull_example(scene, world, example, dns).succeeded()

    def test_an_address_of_ipv6(self, scene, world):
        """Docker 20.10 knows no name with such an address: by digest there is none."""
        with ScriptedRegistry(listen=[("::1", 0)], netns=scene.netns) as registry:
            document = fresh_image(1000)
            reference = registry.push(document, "app")
            pulled = scene.pull(reference, "--json").succeeded()
            scene.remove(pulled.answer["id"])

    @pytest.mark.parametrize(
        "address", ["169.254.169.254", "169.254.170.2", "fd00:ec2::254", "0.0.0.0"]
    )
    def test_a_name_of_the_metadata_service(self, scene, world, example, address):
        with self.dns(scene, [address]) as dns, scene.untouched():
            pull_example(scene, world, example, dns).failed("not allowed")
        assert world.imds.connections == [] and world.container.connections == []

    @pytest.mark.parametrize("address", ["127.0.0.1", "10.77.0.2", "169.254.169.254"])
    def test_a_redirect_to_a_name_of_a_more_private_place(self, scene, world, example, address):
        """The name is innocent, its address is not."""
        certificate = world.ca.certificate("blobs.example")
        with Trap("inside", listen=[(address, 8443)], netns=scene.netns, tls=certificate) as inside:
            layer = example.document.layers[0].digest
            example.on("GET", layer, faults.redirect("https://blobs.example:8443/x"))
            with self.dns(scene, **{"blobs.example": [address]}) as dns, scene.untouched():
                pull_example(scene, world, example, dns).failed("layer 1", "not allowed")
            assert inside.requests == [] and not [c for c in inside.connections if c.tls]

    def test_a_realm_at_a_more_private_place(self, scene, world, example):
        example.login = Bearer(example.login.users, realm="https://realm.example:8443/token")
        example.login.attach(example)
        certificate = world.ca.certificate("realm.example")
        with Trap(
            "inside", listen=[("10.77.0.2", 8443)], netns=scene.netns, tls=certificate
        ) as inside:
            with self.dns(scene, **{"realm.example": ["10.77.0.2"]}) as dns, scene.untouched():
                pull_example(scene, world, example, dns).failed("not allowed")
            assert inside.requests == []

    def test_a_private_registry_may_stay_private(self, scene, world):
        """In a VPC: the registry at 10.77.0.1 redirects to 10.77.0.2, by name and over TLS."""
        ca = world.ca

        def place(name, address):
            scene.ns.hosts[name] = address
            return {
                "listen": [(address, 443)],
                "netns": scene.netns,
                "host": name,
                "tls": ca.certificate(name),
            }

        with ghcr_like(
            public=True,
            **place("registry.internal", "10.77.0.1"),
            host_kwargs=place("blobs.internal", "10.77.0.2"),
        ) as registry:
            document = fresh_image(1000)
            registry.push(document, "app")
            with scene.gains(document, registry.reference("app")):
                scene.pull(registry.reference("app"), env=world.env()).succeeded()
