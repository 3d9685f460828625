"""`berth pull` of images for several platforms, or for another one."""

import json

import pytest
from attack import fresh_image
from lab.cloud.images import index
from registries_steps import lab_image


class TestPlatforms:
    def test_another_one_when_asked(self, scene):
        document, _ = lab_image("buildx:latest")
        with scene.registry() as registry:
            registry.push(document, "app")
            done = scene.pull(
                registry.reference("app"), "--platform", "linux/arm64", "--json"
            ).succeeded()
            assert scene.inspect(done.answer["id"])["Architecture"] == "arm64"
            scene.remove(done.answer["id"])

    @pytest.mark.parametrize(
        "entries, chosen",
        [
            (["linux/arm64", "linux/amd64"], 1),
            (["linux/amd64", "linux/amd64"], 0),
            (["unknown/unknown", "linux/amd64"], 1),
            (["windows/amd64", "linux/amd64/v1"], 1),
        ],
    )
    def test_choice(self, scene, entries, chosen):
        made = [
            fresh_image(1000, platform=p if p.startswith("linux") else "linux/amd64")
            for p in entries
        ]
        document = index(list(zip(made, entries)))
        with scene.registry() as registry:
            registry.push(document, "app")
            done = scene.pull(registry.reference("app"), "--json").succeeded()
            assert done.answer["digest"] == document.digest
            with_config = json.loads(made[chosen].data)["config"]["digest"]
            assert done.answer["id"] == with_config
            scene.remove(with_config)

    def test_an_image_for_another_machine(self, scene):
        with scene.registry() as registry, scene.untouched():
            registry.push(fresh_image(platform="linux/arm64"), "app")
            scene.pull(registry.reference("app")).failed("linux/arm64", "linux/amd64", "--platform")
