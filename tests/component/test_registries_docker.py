"""`berth pull` from Docker Hub, and from the registry that Debian has."""

import pytest
from lab import Registry, images
from lab.cloud.blobhost import BlobHost
from lab.cloud.login import Bearer, TokenHost
from lab.cloud.registry import ScriptedRegistry
from registries_steps import REPOSITORY, config_directory, lab_image, run


class TestDockerHub:
    @pytest.fixture
    def hub(self, scene, world):
        """registry-1.docker.io with its realm at auth.docker.io, as in the real world."""
        canaries, ca = world.canaries, world.ca
        at = {
            "registry-1.docker.io": "203.0.113.18",
            "auth.docker.io": "203.0.113.19",
            "cdn.docker.example": "203.0.113.20",
        }
        scene.ns.hosts.update(at)

        def place(name):
            return {
                "listen": [(at[name], 443)],
                "netns": scene.netns,
                "host": name,
                "tls": ca.certificate(name),
            }

        pat = canaries.new("Hub password", allowed={"token-host"})
        login = Bearer(
            {"me": pat},
            public=True,
            service="registry.docker.io",
            host=TokenHost(**place("auth.docker.io")),
        )
        with ScriptedRegistry(
            "hub",
            login=login,
            canaries=canaries,
            **place("registry-1.docker.io"),
            blob_host=BlobHost("cdn", canaries=canaries, **place("cdn.docker.example")),
        ) as registry:
            registry.pat = pat
            yield registry

    @pytest.mark.parametrize(
        "said, repository, familiar",
        [
            ("app", "library/app", "app:latest"),
            ("app:v1", "library/app", "app:v1"),
            ("docker.io/app:v1", "library/app", "app:v1"),
            ("docker.io/library/app:v1", "library/app", "app:v1"),
            ("me/app:v1", "me/app", "me/app:v1"),
            ("index.docker.io/me/app:v1", "me/app", "me/app:v1"),
        ],
    )
    def test_names(self, scene, world, hub, said, repository, familiar):
        document, made = lab_image("small")
        hub.push(document, repository, familiar.rpartition(":")[2])
        scene.pull(said, env=world.env()).succeeded()
        assert scene.images()[made.config_digest] == [familiar]
        assert run(scene, familiar, "busybox", "echo", "up") == "up\n"
        scene.remove(familiar)

    def test_a_login_goes_to_its_realm_alone(self, scene, world, hub):
        document, made = lab_image("small")
        hub.push(document, "me/app", "v1")
        directory = config_directory(scene, **{"https://index.docker.io/v1/": f"me:{hub.pat}"})
        pulled = scene.pull(
            "me/app:v1", env={**world.env(), "DOCKER_CONFIG": directory}, watch=True
        ).succeeded()
        scene.remove(made.config_digest)
        assert world.canaries.seen(hub.pat, hub.login.host)
        world.canaries.assert_kept(
            [*world.servers, *hub.servers], pulled.texts, [scene.berth.state_dir]
        )


class TestDockerRegistry:
    """Debian's docker-registry, which nobody here has written."""

    @pytest.mark.parametrize("auth", [None, "basic", "token"])
    @pytest.mark.parametrize("name", ["webapp:v1", "schema2:list"])
    def test_of_distribution(self, scene, auth, name):
        with Registry(scene.ns, auth=auth) as registry:
            reference = images.push(name, registry, REPOSITORY, "v1")
            made = images.get(name)
            secret = scene.ns.run_dir / "registry-password"
            secret.write_text(registry.password)
            argv = (
                ["--registry-user", registry.user, "--registry-password", f"file:{secret}"]
                if auth
                else []
            )
            pulled = scene.pull(reference, "--json", *argv, watch=True).succeeded()
            assert pulled.answer["digest"] == made.digest
            assert run(scene, reference, "busybox", "echo", "up") == "up\n"
            if auth:
                for text in (pulled.out, pulled.err, pulled.argv.decode(errors="replace")):
                    assert registry.password not in text
            scene.remove(reference)

    def test_by_digest(self, scene):
        with Registry(scene.ns) as registry:
            images.push("buildx:latest", registry, REPOSITORY, "v1")
            made = images.get("buildx:latest")
            reference = f"{registry.host}/{REPOSITORY}@{made.digest}"
            scene.pull(reference).succeeded()
            assert run(scene, made.config_digest, "busybox", "echo", "up") == "up\n"
            scene.remove(made.config_digest)
