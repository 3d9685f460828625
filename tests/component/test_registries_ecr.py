"""`berth pull` from ECR and ECR Public: the instance's role, names in all forms, regions, and who may not."""

import json

import pytest
from attack import fresh_image
from lab.cloud import faults
from lab.cloud.login import Bearer
from lab.cloud.registry import ScriptedRegistry
from registries_steps import FORMS, REPOSITORY, lab_image, pull_and_run


def reference_by(registry, document, how):
    tag, digest = f"{registry.authority}/{REPOSITORY}:v1", f"@{document.digest}"
    return {"tag": tag, "digest": tag[: tag.rindex(":")] + digest, "both": tag + digest}[how]


class TestEcr:
    @pytest.mark.parametrize(
        "name, by",
        [
            *((name, "tag") for name in FORMS.values()),
            ("webapp:v1", "digest"),
            ("buildx:latest", "digest"),
            ("buildx:latest", "both"),
        ],
    )
    def test_with_the_instances_role(self, scene, world, name, by):
        document, made = lab_image(name)
        world.ecr.push(document, REPOSITORY, "v1")
        pulled = pull_and_run(scene, world, reference_by(world.ecr, document, by), env=world.env())
        assert pulled.answer["digest"] == made.digest and pulled.answer["id"] == made.config_digest
        assert not [r for r in world.s3.requests if r.header("Authorization")]
        assert world.trap.connections == [] and world.ghcr.requests == []

    def test_round_trips_of_login_and_resolve(self, scene, world):
        document = fresh_image()
        world.ecr.push(document, REPOSITORY, "v1")
        scene.pull(world.ecr.reference(REPOSITORY, "v1"), env=world.env()).succeeded()
        layer = document.layers[0].digest
        asked = [
            r
            for r in (*world.aws.requests, *world.ecr.requests, *world.s3.requests)
            if layer not in r.target
        ]
        assert len(asked) <= 5, [str(r) for r in asked]
        assert len(world.imds.requests) <= 3
        assert len([r for r in world.ecr.requests if layer in r.target]) == 1

    def test_a_registry_of_another_region(self, scene, world):
        """The image host's region signs; the instance is elsewhere."""
        world.imds.tree["meta-data/placement/region"] = "us-west-2"
        document, _ = lab_image("small")
        world.ecr.push(document, REPOSITORY, "v1")
        pull_and_run(scene, world, world.ecr.reference(REPOSITORY, "v1"), env=world.env())
        assert [r.header("Host") for r in world.aws.requests] == ["api.ecr.eu-west-1.amazonaws.com"]

    def test_a_repository_that_is_not_there(self, scene, world):
        with scene.untouched():
            pulled = scene.pull(world.ecr.reference("no/such"), env=world.env()).failed(
                "no/such", "not found"
            )
        world.canaries.assert_kept(world.servers, pulled.texts)

    def test_a_role_that_may_not_pull(self, scene, world):
        words = json.dumps(
            {
                "errors": [
                    {"code": "DENIED", "message": "User: arn:aws:sts::123456789012:assumed-role"}
                ]
            }
        )
        world.ecr.push(fresh_image(), REPOSITORY, "v1")
        world.ecr.on(
            "GET",
            "/manifests/",
            faults.status(403, words),
            where=lambda r: r.header("Authorization"),
        )
        with scene.untouched():
            pulled = scene.pull(world.ecr.reference(REPOSITORY, "v1"), env=world.env())
        pulled.failed("ecr:BatchGetImage", REPOSITORY)
        assert len(world.aws.requests) <= 2
        world.canaries.assert_kept(world.servers, pulled.texts)

    def test_the_users_own_login_wins(self, scene, world):
        """--registry-user is for any registry; the role is not asked."""
        document, _ = lab_image("small")
        world.ecr.push(document, REPOSITORY, "v1")
        pull_and_run(
            scene,
            world,
            world.ecr.reference(REPOSITORY, "v1"),
            "--registry-user",
            "AWS",
            "--registry-password",
            "env:TOKEN",
            env={**world.env(), "TOKEN": world.aws.passwords.new()},
        )
        assert world.aws.requests == [] and world.imds.requests == []


class TestPublicEcr:
    @pytest.fixture
    def public(self, scene, world):
        scene.ns.hosts["public.ecr.aws"] = "203.0.113.17"
        with ScriptedRegistry(
            "public.ecr.aws",
            login=Bearer(PublicUsers(world), public=True, service="public.ecr.aws"),
            canaries=world.canaries,
            listen=[("203.0.113.17", 443)],
            netns=scene.netns,
            host="public.ecr.aws",
            tls=world.ca.certificate("public.ecr.aws"),
        ) as registry:
            world.aws.public_passwords.registries.add("public.ecr.aws")
            yield registry

    def test_with_a_role(self, scene, world, public):
        document, _ = lab_image("webapp:v1")
        public.push(document, "docker/library/app", "v1")
        pull_and_run(scene, world, public.reference("docker/library/app", "v1"), env=world.env())
        assert [r.header("Host") for r in world.aws.requests] == [
            "api.ecr-public.us-east-1.amazonaws.com"
        ]
        assert public.matching("GET", "/token")[0].header("Authorization").startswith("Basic ")
        world.canaries.assert_kept([*world.servers, public])

    def test_without_one_it_is_anonymous(self, scene, world, public):
        world.imds.on("GET", "/iam/", faults.status(404))
        document, _ = lab_image("webapp:v1")
        public.push(document, "docker/library/app", "v1")
        pull_and_run(scene, world, public.reference("docker/library/app", "v1"), env=world.env())
        assert public.matching("GET", "/token")[0].header("Authorization") is None


class PublicUsers(dict):
    """The passwords that ECR Public's API has given out."""

    def __init__(self, world):
        super().__init__()
        self.world = world

    def __bool__(self):
        return True

    def get(self, user, default=None):
        living = [p for p in self.world.aws.public_passwords.expiry]
        return living[-1] if user == "AWS" and living else default
