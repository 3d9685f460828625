"""`berth pull` and `berth up` on an instance whose metadata, keys, clock and login change or fail midway."""

import json

import pytest
from attack import fresh_image
from lab import images
from lab.cloud import faults, hostile_wire
from lab.cloud.aws import ERRORS
from lab.cloud.images import read_layout
from service import request

REPOSITORY = "team/app"
ROLE = "/iam/security-credentials/web$"
# Enough to see that it is tried again; the default waits for five minutes, as instances at boot need.
IMPATIENT = {"AWS_METADATA_SERVICE_TIMEOUT": "1", "AWS_METADATA_SERVICE_NUM_ATTEMPTS": "2"}


@pytest.fixture
def document(world):
    document = fresh_image(100_000, 100_000)
    world.ecr.push(document, REPOSITORY, "v1")
    return document


def pull(scene, world, **env):
    pulled = scene.pull(
        world.ecr.reference(REPOSITORY, "v1"), env={**world.env(), **env}, watch=True
    )
    world.canaries.assert_kept(
        world.servers, pulled.texts, [scene.berth.state_dir, scene.berth.run_dir]
    )
    assert world.trap.connections == []
    return pulled


def gains(scene, world, document):
    return scene.gains(document, world.ecr.reference(REPOSITORY, "v1"))


class TestKeys:
    def test_rotated_between_login_and_layers(self, scene, world, document):
        world.ecr.on("GET", "/manifests/", faults.after(None, world.imds.rotate))
        with gains(scene, world, document):
            pull(scene, world).succeeded()

    def test_rotated_and_the_old_ones_dead_before_they_are_used(self, scene, world, document):
        """Read a moment before they expire: AWS says so, the new ones are fetched, once."""
        old = world.imds.credentials

        def rotate():
            old.denied = ERRORS["ExpiredToken"]
            world.imds.rotate()

        world.imds.on("GET", ROLE, faults.after(None, rotate), nth=1)
        with gains(scene, world, document):
            pull(scene, world).succeeded()
        assert [r.status for r in world.aws.requests] == [400, 200]
        assert len(world.imds.matching("GET", ROLE)) == 2

    def test_that_aws_never_takes(self, scene, world, document):
        world.aws.deny = ERRORS["ExpiredToken"]
        with scene.untouched():
            pull(scene, world).failed("ExpiredTokenException", "ecr:GetAuthorizationToken")
        assert len(world.aws.requests) <= 2

    def test_without_the_permission(self, scene, world, document):
        world.aws.deny = ERRORS["AccessDenied"]
        with scene.untouched():
            pull(scene, world).failed("add ecr:GetAuthorizationToken to role web")
        assert len(world.aws.requests) == 1

    def test_metadata_tokens_forgotten_midway(self, scene, world, document):
        world.imds.on(
            "GET",
            "/iam/security-credentials/$",
            faults.after(None, world.imds.forget_tokens),
            nth=1,
        )
        with gains(scene, world, document):
            pull(scene, world).succeeded()
        assert not world.imds.v1_requests()


class TestLogin:
    def test_dies_between_manifest_and_config(self, scene, world, document):
        world.ecr.on(
            "GET",
            "/manifests/",
            faults.after(None, world.aws.passwords.expire),
            where=lambda r: r.header("Authorization"),
            nth=1,
        )
        with gains(scene, world, document):
            pull(scene, world).succeeded()
        assert len(world.aws.requests) == 2

    def test_says_expired_by_403(self, scene, world, document):
        """What ECR answers when the twelve hours are over."""
        words = {"errors": [{"code": "DENIED", "message": "Your authorization token has expired."}]}
        world.ecr.on(
            "GET",
            "/manifests/",
            faults.status(403, json.dumps(words), content_type="application/json"),
            where=lambda r: r.header("Authorization"),
            nth=1,
        )
        with gains(scene, world, document):
            pull(scene, world).succeeded()
        assert len(world.aws.requests) == 2

    def test_is_never_taken(self, scene, world, document):
        world.ecr.on("GET", "/v2/", faults.unauthorized())
        with scene.untouched():
            pull(scene, world).failed("denied", "as AWS")
        assert len(world.aws.requests) <= 2

    @pytest.mark.parametrize(
        "answer",
        [
            b"{}",
            b'{"authorizationData":[]}',
            b'{"authorizationData":[{"authorizationToken":"%%%"}]}',
            b'{"authorizationData":[{"authorizationToken":"QVdTOg0KWC1FdmlsOiAx"}]}',
            b"<html>",
            b"[" * 100_000,
        ],
        ids=lambda a: a[:50].decode(),
    )
    def test_of_nonsense(self, scene, world, document, answer):
        world.aws.on("POST", "", faults.body(answer))
        with scene.untouched():
            pull(scene, world).failed("resolve app: login to ")
        assert not [r for r in world.ecr.requests if r.header("Authorization")]

    def test_of_1_gb(self, scene, world, document):
        world.aws.on(
            "POST", "", faults.stream(1 << 30, b'{"authorizationData":[{"authorizationToken":"')
        )
        with scene.untouched():
            assert pull(scene, world).failed("resolve app: login to ").seconds < 30

    def test_sent_elsewhere(self, scene, world, document):
        world.aws.on("POST", "", faults.redirect(world.trap.url + "/"))
        with scene.untouched():
            pull(scene, world).failed("resolve app: login to ")


class TestUrls:
    def test_that_expire_midway(self, scene, world, document):
        """Every URL that is out dies after half of a layer."""
        for made in document.layers:
            world.s3.on(
                "GET", made.digest, faults.after(faults.truncate(0.5), world.s3.expire), nth=1
            )
        with gains(scene, world, document):
            pull(scene, world).succeeded()
        for made in document.layers:
            got = [r for r in world.s3.matching("GET", made.digest) if r.status != 403]
            assert sum(r.body_sent for r in got) == made.size, "only what was missing"

    def test_that_are_dead_on_arrival(self, scene, world, document):
        world.ecr.url_life = -1
        with scene.untouched():
            pull(scene, world).failed("resolve app", "403")

    def test_that_leak_into_no_message(self, scene, world, document):
        """Presigned URLs are secrets: the host fails in every way, and no line shows a query."""
        for fault, ever in (
            (faults.status(400), False),
            (faults.flip(), True),
            (faults.headers(10000), True),
            (faults.status(500), False),
            (faults.reset(), False),
        ):
            world.s3.reset()
            world.s3.on("GET", document.layers[0].digest, fault, **({} if ever else {"nth": 1}))
            pulled = scene.pull(world.ecr.reference(REPOSITORY, "v1"), "-v", env=world.env())
            assert pulled.code == (1 if ever else 0), pulled
            assert "X-Amz-Signature" not in pulled.err and "?" not in pulled.err, pulled
            world.canaries.assert_kept(world.servers, pulled.texts)
            if not ever:
                scene.remove(world.ecr.reference(REPOSITORY, "v1"))


class TestClock:
    @pytest.mark.parametrize("minutes", [16, -16])
    def test_that_is_wrong(self, scene, world, document, minutes):
        world.set_clock(minutes * 60)
        with gains(scene, world, document):
            pull(scene, world).succeeded()
        assert len(world.aws.requests) == 2, "one retry, by the answer's Date"

    def test_that_stays_wrong_whatever_the_date_says(self, scene, world, document):
        world.aws.deny = ERRORS["InvalidSignature"]
        world.aws.clock_offset = 3600
        with scene.untouched():
            pull(scene, world).failed("InvalidSignature")
        assert len(world.aws.requests) <= 2


class TestMetadata:
    """Each of these for ever: which step fails, and why, is said in one line."""

    @pytest.mark.parametrize("name", hostile_wire.IMDS)
    def test_that_fails_for_ever(self, scene, world, document, name):
        hostile_wire.IMDS[name](world.imds)
        with scene.untouched():
            pulled = pull(scene, world, **IMPATIENT)
        assert pulled.code in (1, 75), pulled
        assert pulled.last_line.startswith("berth: resolve app: login to "), pulled
        assert any(words in pulled.last_line for words in ("IMDS", "role", "credentials")), pulled
        # Patience is the metadata client's: nobody multiplies it.
        assert pulled.seconds < 15
        assert len(world.imds.connections) < 30
        assert not world.imds.v1_requests()
        assert world.aws.requests == [] or name == "expired role"

    def test_that_comes_20_s_late_to_up(self, scene, world):
        made = images.get("webapp:v1")
        world.ecr.push(read_layout(made.layout, made.tag), "team/web", "v1")
        world.imds.outage(20)
        service = scene.berth.up(
            world.ecr.reference("team/web", "v1"), "-p", "8080:3000", env=world.env()
        )
        seen = []
        said = service.wait_health(200, timeout=60, seen=seen)
        assert said["status"] == "ready" and all(code == 503 for code, _ in seen[:-1])
        assert request(scene.ns, 8080, "/")[0] == 200
        assert service.stop() == 0
        world.canaries.assert_kept(
            world.servers, {"stderr": service.err}, [scene.berth.state_dir, scene.berth.run_dir]
        )
        inspected = json.dumps(scene.engine.inspect("web"))
        assert not [c for c in world.canaries.all if c in inspected]
        scene.engine.docker("rm", "--force", "web")
