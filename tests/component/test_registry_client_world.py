"""The registry client at public names with TLS: redirects and realms inside, and certificates."""

import pytest
from lab.cloud import faults, hostile_wire
from lab.cloud.ca import CA
from lab.cloud.images import image
from lab.cloud.world import World
from registry_driver import content, layers_of, run


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
