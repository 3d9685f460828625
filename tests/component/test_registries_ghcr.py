"""`berth pull` from GHCR: where a login comes from, where it goes, and what is said when it is none."""

import pytest
from attack import fresh_image
from registries_steps import config_directory, form, lab_image, pull_and_run


class TestGhcr:
    @pytest.fixture(params=["file", "env", "config"])
    def login(self, scene, world, request):
        """(arguments, environment) by which berth learns the PAT."""
        pat = world.ghcr.login.users["octocat"]
        user = ["--registry-user", "octocat", "--registry-password"]
        if request.param == "file":
            path = scene.ns.run_dir / "pat"
            path.write_text(pat + "\n")
            return [*user, f"file:{path}"], {}
        if request.param == "env":
            return [*user, "env:GHCR_PAT"], {"GHCR_PAT": pat}
        return [], {"DOCKER_CONFIG": config_directory(scene, **{"ghcr.io": f"octocat:{pat}"})}

    @form
    def test_every_form(self, scene, world, name):
        pat = world.ghcr.login.users["octocat"]
        argv = ["--registry-user", "octocat", "--registry-password", "env:PAT"]
        self.pull(scene, world, argv, {"PAT": pat}, name)

    def test_every_source_of_the_token(self, scene, world, login):
        self.pull(scene, world, *login, "webapp:v1")

    def pull(self, scene, world, argv, env, name):
        document, made = lab_image(name)
        world.ghcr.push(document, "octocat/app", "v1")
        pulled = pull_and_run(
            scene,
            world,
            world.ghcr.reference("octocat/app", "v1"),
            *argv,
            env={**world.env(), **env},
        )
        assert pulled.answer["digest"] == made.digest
        pat = world.ghcr.login.users["octocat"]
        assert len(world.ghcr.matching("GET", "/token")) == 1
        assert world.canaries.seen(pat, world.ghcr)
        assert [
            r.target.partition("?")[0]
            for r in world.ghcr.requests
            if "Basic" in r.header("Authorization", "")
        ] == ["/token"]
        assert not [r for r in world.ghcr_blobs.requests if r.header("Authorization")]
        assert world.imds.requests == [] and world.aws.requests == []

    def test_a_public_image_needs_none(self, scene, world):
        world.ghcr.login.public = True
        document, _ = lab_image("webapp:v1")
        world.ghcr.push(document, "octocat/app", "v1")
        pull_and_run(scene, world, world.ghcr.reference("octocat/app", "v1"), env=world.env())
        assert not world.ghcr.matching("GET", "/token")[0].header("Authorization")

    def test_a_private_image_without_a_login(self, scene, world):
        world.ghcr.push(fresh_image(), "octocat/app", "v1")
        with scene.untouched():
            scene.pull(world.ghcr.reference("octocat/app", "v1"), env=world.env()).failed(
                "denied", "ghcr.io", "anonymously", "--registry-password"
            )

    def test_a_wrong_password(self, scene, world):
        wrong = world.canaries.new("wrong PAT", allowed={"ghcr"}, prefix="ghp_")
        world.ghcr.push(fresh_image(), "octocat/app", "v1")
        with scene.untouched():
            pulled = scene.pull(
                world.ghcr.reference("octocat/app", "v1"),
                "--registry-user",
                "octocat",
                "--registry-password",
                "env:PAT",
                env={**world.env(), "PAT": wrong},
                watch=True,
            ).failed("denied", "octocat")
        assert len(world.ghcr.matching("GET", "/token")) <= 2
        world.canaries.assert_kept(world.servers, pulled.texts, [scene.berth.state_dir])

    @pytest.mark.parametrize(
        "source", ["file:/no/such/file", "env:NOT_SET", "the-password-itself", "ssm:/x"]
    )
    def test_a_password_that_is_nowhere(self, scene, world, source):
        pulled = scene.pull(
            "ghcr.io/octocat/app:v1",
            "--registry-user",
            "octocat",
            "--registry-password",
            source,
            env=world.env(),
        ).failed("--registry-password", code=78)
        assert "the-password-itself" not in pulled.err
        assert not [r for r in world.ghcr.requests if r.header("Authorization")]

    def test_a_broken_docker_config_is_named(self, scene, world):
        directory = config_directory(scene)
        (directory / "config.json").write_text('{"auths": {"ghcr.io": {"auth": "%%%"}}}')
        scene.pull(
            "ghcr.io/octocat/app:v1", env={**world.env(), "DOCKER_CONFIG": directory}
        ).failed("config.json", code=78)

    def test_a_login_for_another_host_is_not_for_this_one(self, scene, world):
        other = world.canaries.new("other password", allowed=())
        world.ghcr.push(fresh_image(), "octocat/app", "v1")
        directory = config_directory(
            scene,
            **{
                "evil.ghcr.io": f"o:{other}",
                "ghcr.io.evil": f"o:{other}",
                "ghcr.io:444": f"o:{other}",
            },
        )
        pulled = scene.pull(
            "ghcr.io/octocat/app:v1", env={**world.env(), "DOCKER_CONFIG": directory}
        ).failed("denied")
        world.canaries.assert_kept(world.servers, pulled.texts)
