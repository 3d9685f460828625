"""`berth pull` and certificates: which are refused, and where the trust comes from."""

import ssl

import pytest
from attack import fresh_image
from lab.cloud.ca import CA
from lab.cloud.registry import ScriptedRegistry
from lab.cloud.server import Trap
from registries_steps import REPOSITORY, pull_example
from registries_steps import example  # noqa: F401 (fixtures)


class TestTls:
    @pytest.fixture
    def example(self, scene, example):
        scene.ns.hosts["registry.example"] = "203.0.113.21"
        return example

    @pytest.mark.parametrize(
        "kind, says",
        {
            "expired": "expired",
            "not_yet_valid": "not yet valid",
            "wrong_name": "registry.example",
            "self_signed": "self",
            "TLS 1.0": "TLS",
        }.items(),
    )
    def test_refused(self, scene, world, example, kind, says):
        good = example.tls
        names = () if kind == "wrong_name" else ("registry.example",)
        if kind == "TLS 1.0":
            offered = good.speaking(ssl.TLSVersion.TLSv1)
        else:
            offered = getattr(world.ca, kind)(*names)
        example.next_certificates(1000, offered)
        with Trap(
            "plain", listen=[("203.0.113.21", 80)], netns=scene.netns
        ) as plain, scene.untouched():
            # The double of 1999 just hangs up, which may be a network's fault: temporary.
            code = 75 if kind == "TLS 1.0" else 1
            pulled = pull_example(scene, world, example).failed("registry.example", says, code=code)
            assert plain.connections == [], "no downgrade"
        assert example.requests == [] and len(pulled.lines) == (4 if code == 75 else 1)

    def test_a_ca_that_is_not_trusted(self, scene, world, example):
        other = CA(common_name="another CA")
        with scene.untouched():
            scene.pull(example.reference("app"), env={"SSL_CERT_FILE": str(other.pem)}).failed(
                "TLS", "AWS_CA_BUNDLE"
            )
        assert example.requests == []

    @pytest.mark.parametrize("where", ["system", "SSL_CERT_FILE", "AWS_CA_BUNDLE"])
    def test_where_the_ca_is_found(self, scene, world, example, where):
        env = {"PASSWORD": example.login.users["me"]}
        hosts = {"registry.example": "203.0.113.21"}
        if where != "system":
            env[where] = str(world.ca.pem)
            scene.ns.ca = "/dev/null"
        with scene.gains(example.document, example.reference("app")):
            scene.pull(
                example.reference("app"),
                "--registry-user",
                "me",
                "--registry-password",
                "env:PASSWORD",
                env=env,
                hosts=hosts,
            ).succeeded()

    def test_a_ca_bundle_that_is_none(self, scene, world, example):
        scene.pull(example.reference("app"), env={"SSL_CERT_FILE": "/no/such/bundle"}).failed(
            "/no/such/bundle", code=78
        )

    def test_plain_http_where_tls_was_expected(self, scene, world):
        scene.ns.hosts["plain.example"] = "203.0.113.23"
        with ScriptedRegistry(
            listen=[("203.0.113.23", 443)], netns=scene.netns, host="plain.example"
        ) as registry:
            with scene.untouched():
                scene.pull("plain.example/app", env=world.env()).failed("plain.example")
            assert registry.requests == []

    def test_the_blob_host_is_checked_as_the_registry_is(self, scene, world):
        document = fresh_image(1000)
        world.ecr.push(document, REPOSITORY, "v1")
        world.s3.next_certificates(1000, world.ca.wrong_name())
        with scene.untouched():
            scene.pull(world.ecr.reference(REPOSITORY, "v1"), env=world.env()).failed(
                "s3.eu-west-1.amazonaws.com"
            )
        assert world.s3.requests == []
