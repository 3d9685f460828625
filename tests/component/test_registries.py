"""`berth pull` from the registries there are: logins, names, addresses, certificates, and what an image may look like.

Everything runs at its real name and address. After every pull the image is started, and every secret is looked for
wherever it should not be.
"""

import base64
import contextlib
import json
import ssl

import pytest
from attack import fresh_image
from lab import Registry, images
from lab.cloud import faults
from lab.cloud.blobhost import BlobHost
from lab.cloud.ca import CA
from lab.cloud.dns import Dns
from lab.cloud.images import index, read_layout
from lab.cloud.login import Basic, Bearer, TokenHost
from lab.cloud.registry import ScriptedRegistry, ghcr_like
from lab.cloud.server import Trap

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
