"""What the tests of `berth pull` from the registries there are share.

Everything runs at its real name and address. After every pull the image is started, and every secret is looked for
wherever it should not be.
"""

import base64
import json

import pytest
from attack import fresh_image
from lab import images
from lab.cloud.images import read_layout
from lab.cloud.login import Basic
from lab.cloud.registry import ScriptedRegistry

REPOSITORY = "team/app"


def lab_image(name):
    """One of the lab's images as a Document; (it, what it is as oci.Image)."""
    made = images.get(name)
    return read_layout(made.layout, made.tag), made


def config_directory(scene, **auths):
    """A DOCKER_CONFIG that knows user:password for hosts."""
    directory = scene.ns.run_dir / "docker-config"
    directory.mkdir(exist_ok=True)
    coded = {
        host: {"auth": base64.b64encode(pair.encode()).decode()} for host, pair in auths.items()
    }
    (directory / "config.json").write_text(json.dumps({"auths": coded}))
    return directory


def run(scene, reference, *command):
    return scene.engine.docker("run", "--rm", "--network=none", reference, *command)


def pull_and_run(scene, world, reference, *argv, **kwargs):
    """Pull, run something in it, look for secrets, remove it: the Pulled."""
    pulled = scene.pull(reference, "--json", *argv, watch=True, **kwargs).succeeded()
    assert run(scene, pulled.answer["id"], "busybox", "echo", "up") == "up\n"
    world.canaries.assert_kept(
        world.servers, pulled.texts, [scene.berth.state_dir, scene.berth.run_dir]
    )
    scene.remove(pulled.answer["id"])
    return pulled


FORMS = {
    "a manifest": "webapp:v1",
    "a Docker manifest": "schema2:latest",
    "an index with attestations": "buildx:latest",
    "a Docker manifest list": "schema2:list",
}

form = pytest.mark.parametrize("name", FORMS.values(), ids=FORMS)


@pytest.fixture
def example(scene, world):
    """A registry at registry.example, 203.0.113.21, which /etc/hosts does not know."""
    with ScriptedRegistry(
        "example",
        login=Basic({"me": world.canaries.new("example password", allowed={"example"})}),
        canaries=world.canaries,
        listen=[("203.0.113.21", 443)],
        netns=scene.netns,
        host="registry.example",
        tls=world.ca.certificate("registry.example"),
    ) as registry:
        registry.document = fresh_image(1000)
        registry.push(registry.document, "app")
        yield registry


def pull_example(scene, world, example, dns=None, **kwargs):
    pulled = scene.pull(
        example.reference("app"),
        "--registry-user",
        "me",
        "--registry-password",
        "env:PASSWORD",
        env={**world.env(), "PASSWORD": example.login.users["me"]},
        **({"resolv": dns.resolv_conf()} if dns else {}),
        **kwargs,
    )
    world.canaries.assert_kept([*world.servers, example], pulled.texts)
    return pulled
