"""berth and the instance metadata service: version 2 only, through outages, never fooled."""

import re
import time

import pytest
from aws_steps import BERTH, driver, kept, metadata, run

from lab.cloud import faults
from lab.cloud.world import World

TOKEN = "^/latest/api/token$"
REGION = "placement/region"
ROLE = "/iam/security-credentials/web$"


@pytest.fixture
def world(ns):
    with World(ns, tags={"Name": "web-1", "Evil": "\x1b]0;owned\x07"}) as w:
        yield w


class TestOutput:
    def test_one_path_in_any_spelling(self, world):
        for path in (REGION, "meta-data/" + REGION, "/latest/meta-data/" + REGION):
            metadata(world, path).passed("eu-west-1\n")

    def test_the_whole_tree(self, world):
        world.imds.tree["user-data"] = "USER-DATA-IS-NOT-FOR-EVERYBODY"
        done = metadata(world).passed()
        lines = done.out.splitlines()
        assert "ami-id: ami-0123456789abcdef0" in lines
        assert "instance-id: i-0123456789abcdef0" in lines
        assert "  region: eu-west-1" in lines
        assert "  availability-zone: eu-west-1a" in lines
        assert "    Name: web-1" in lines
        assert "    web:" in lines
        assert '        "SecretAccessKey": "(redacted)",' in lines
        assert "USER-DATA" not in done.out
        assert "\x1b" not in done.out
        kept_except_key_id(world, done)

    def test_keys_of_the_role_are_redacted(self, world):
        for path in ("iam/security-credentials/web", "meta-data//iam/./security-credentials//web"):
            done = metadata(world, path).passed()
            assert '"SecretAccessKey": "(redacted)"' in done.out
            assert '"Token": "(redacted)"' in done.out
            kept_except_key_id(world, done)

    def test_keys_of_the_instances_identity_are_redacted(self, world):
        world.imds.tree[
            "meta-data/identity-credentials/ec2/security-credentials/ec2-instance"
        ] = world.imds.tree["meta-data/iam/security-credentials/web"]
        path = "identity-credentials/ec2/security-credentials/ec2-instance"
        kept_except_key_id(world, metadata(world, path).passed(), metadata(world).passed())

    def test_half_a_document_of_keys_shows_nothing(self, world):
        whole = world.imds.tree["meta-data/iam/security-credentials/web"]
        world.imds.tree["meta-data/iam/security-credentials/web"] = lambda: whole()[:-40]
        done = metadata(world, "iam/security-credentials/web").passed("(redacted)\n")
        kept(world, done, metadata(world).passed())

    def test_user_data_comes_byte_for_byte_when_asked_for(self, world):
        world.imds.tree["user-data"] = "#!/bin/sh\necho \x1b[1m no newline at the end"
        metadata(world, "user-data").passed("#!/bin/sh\necho \x1b[1m no newline at the end")

    def test_what_is_not_there(self, world):
        metadata(world, "spot/instance-action").failed(1, "spot/instance-action", "not found")
        metadata(world, "../user-data").failed(2, '".."')

    def test_a_listing_cannot_lead_elsewhere(self, world):
        world.imds.tree["meta-data/odd"] = None
        world.imds.on(
            "GET", "/meta-data/$", faults.body(b"../\n../user-data\na/b\n/etc\n\x07\nami-id\n")
        )
        metadata(world).passed()
        assert not world.imds.matching("GET", "user-data|a/b|etc|%07")

    def test_a_tree_without_end_is_left(self, world):
        world.imds.on("GET", "/meta-data/", faults.status(200, "deeper/\n"))
        metadata(world).failed(1, "deeper than 8 levels")


def kept_except_key_id(world, *done):
    """The access key's ID is no secret (it is in every signed request) and shown."""
    for d in done:
        d.out = d.out.replace(world.imds.credentials.access_key, "")
    kept(world, *done)


class TestToken:
    def test_one_token_for_many_answers_never_version_1(self, world):
        metadata(world).passed()
        assert len(world.imds.token_requests()) == 1
        assert (
            world.imds.token_requests()[0].header("X-aws-ec2-metadata-token-ttl-seconds") == "21600"
        )
        gets = world.imds.matching("GET")
        assert len(gets) > 10
        assert all(len(r.header_all("X-aws-ec2-metadata-token")) == 1 for r in gets)
        assert not world.imds.v1_requests()

    def test_a_token_that_dies_is_replaced_once(self, world):
        rule = world.imds.on("GET", "instance-type", faults.status(401), nth=1)
        metadata(world, "instance-type").passed("t3.small\n")
        assert rule.hits == 1
        first, second = world.imds.matching("GET")
        assert first.header("X-aws-ec2-metadata-token") != second.header("X-aws-ec2-metadata-token")
        assert len(second.header_all("X-aws-ec2-metadata-token")) == 1

    def test_401_for_ever_ends_after_two_tokens(self, world):
        world.imds.on("GET", REGION, faults.status(401))
        metadata(world, REGION).failed(1, "IMDS GET meta-data/" + REGION, "401")
        assert len(world.imds.token_requests()) == 2

    @pytest.mark.parametrize(
        "token, says",
        [
            (b"AQ\r\nX-Evil: yes", "control bytes"),
            (b"AQ AQ", "spaces"),
            (b"", "empty"),
            (b"\xff\xfe", "beyond ASCII"),
            (b"A" * 1025, "1025 bytes"),
            (b"A" * (1 << 20), "IMDS token request"),
        ],
        ids=["CRLF", "space", "empty", "not ASCII", "long", "1 MiB"],
    )
    def test_no_token_that_cannot_be_one(self, world, token, says):
        world.imds.on("PUT", TOKEN, faults.body(token))
        metadata(world, REGION).failed(1, "IMDS token request", says)
        assert not world.imds.matching("GET")

    def test_a_life_of_nonsense_is_no_reason_to_fail(self, world):
        world.imds.on(
            "PUT",
            TOKEN,
            faults.change(lambda _q, r: r.set("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "-1e9")),
        )
        metadata(world, REGION).passed("eu-west-1\n")


class TestRefusals:
    """Final at once: none of these gets better by waiting."""

    @pytest.mark.parametrize(
        "status, says",
        [
            (400, ["bad request"]),
            (403, ["disabled", "modify-instance-metadata-options --http-endpoint enabled"]),
            (404, ["not IMDSv2"]),
            (405, ["not IMDSv2"]),
            (418, ["status 418"]),
        ],
    )
    def test_of_the_token(self, world, status, says):
        world.imds.on("PUT", TOKEN, faults.status(status))
        done = metadata(world, REGION).failed(1, "IMDS token request", *says)
        assert len(world.imds.requests) == 1
        assert done.seconds < 2

    def test_of_a_path(self, world):
        world.imds.on("GET", REGION, faults.status(403))
        metadata(world, REGION).failed(1, "IMDS GET", "disabled")
        assert len(world.imds.matching("GET")) == 1

    @pytest.mark.parametrize("method, path", [("PUT", TOKEN), ("GET", REGION)])
    @pytest.mark.parametrize("where", ["trap", "self"])
    def test_redirects_are_not_followed(self, world, method, path, where):
        to = world.trap.url if where == "trap" else world.imds.url
        world.imds.on(method, path, faults.redirect(to + "/latest/meta-data/ami-id"))
        metadata(world, REGION).failed(1, "redirect", "IMDS")
        assert not world.trap.connections
        assert not world.imds.matching("GET", "ami-id")

    def test_an_answer_without_end(self, world):
        world.imds.on("GET", REGION, faults.stream(1 << 30))
        metadata(world, REGION).failed(1, "IMDS GET")
        assert world.imds.matching("GET")[0].body_sent < 8 << 20


class TestOutages:
    @pytest.mark.parametrize("status", [401, 429, 500, 503])
    def test_of_a_moment(self, world, status):
        world.imds.on("PUT", TOKEN, faults.status(status), nth=(1, 2))
        metadata(world, REGION).passed("eu-west-1\n")
        assert len(world.imds.token_requests()) == 3

    def test_retry_after_is_heeded(self, world):
        world.imds.on("GET", REGION, faults.overloaded(503, "2"), nth=1)
        assert metadata(world, REGION).passed("eu-west-1\n").seconds >= 2

    def test_resets_and_half_answers(self, world):
        world.imds.next_connections(2, "reset")
        world.imds.on("GET", REGION, faults.truncate(3), nth=1)
        metadata(world, REGION).passed("eu-west-1\n")

    def test_refused_then_there(self, world):
        world.imds.outage(2)
        metadata(world, REGION).passed("eu-west-1\n")

    def test_refused_for_longer_than_a_person_waits(self, world):
        world.imds.down()
        done = metadata(world, REGION).failed(
            75, "IMDS token request failed:", "attempts in", "is this an EC2 instance"
        )
        assert 3 < done.seconds < 9

    def test_silent_then_there(self, world):
        world.imds.next_connections(1, "hang")
        metadata(world, REGION).passed("eu-west-1\n")

    def test_silence(self, world):
        world.imds.on("PUT", TOKEN, faults.hang())
        done = metadata(world, REGION).failed(75, "IMDS token request timed out:")
        assert done.seconds < 12
        assert 2 <= len(world.imds.token_requests()) <= 4

    def test_silence_in_a_container_is_explained(self, world):
        world.imds.on("PUT", TOKEN, faults.hang())
        script = 'mount -t tmpfs t /run && touch /run/.containerenv && exec "$@"'
        done = run(world, "/bin/sh", "-c", script, "sh", BERTH, "metadata", REGION)
        done.failed(75, "timed out", "--http-put-response-hop-limit 2")

    def test_a_minute_at_boot_is_survived(self, world):
        world.imds.outage(60)
        done = driver(world, "get", 300000, "meta-data/" + REGION, timeout=90)
        done.passed("eu-west-1\n")
        assert 58 < done.seconds < 66

    def test_an_outage_between_two_answers(self, world):
        world.imds.on(
            "GET", "instance-type", faults.sequence(faults.reset(), faults.status(503), None)
        )
        paths = ["meta-data/" + REGION, "meta-data/instance-type", "meta-data/ami-id"]
        driver(world, "get", 5000, *paths).passed("eu-west-1\nt3.small\nami-0123456789abcdef0\n")
        assert len(world.imds.token_requests()) == 1

    def test_back_off_spreads_out(self, world):
        world.imds.on("PUT", TOKEN, faults.status(503))
        driver(world, "get", 8000, "meta-data/" + REGION).failed(75, "503")
        times = [r.time for r in world.imds.token_requests()]
        gaps = [b - a for a, b in zip(times, times[1:])]
        assert 4 <= len(gaps) <= 8
        assert 0.1 <= gaps[0] <= 0.4 and gaps[-2] > 0.9  # the last is cut by patience

    def test_it_stops_when_told_to(self, world):
        world.imds.down()
        process = world.namespace.run([BERTH, "metadata", REGION], env=world.env(), stderr=-1)
        time.sleep(1.5)
        process.terminate()
        start = time.monotonic()
        _, err = process.communicate(timeout=10)
        assert time.monotonic() - start < 1
        assert process.returncode == 1 and b"SIGTERM" in err


class TestSettings:
    def test_no_proxy_ever(self, world):
        proxy = {
            n: world.trap.url.replace("https", "http")
            for n in ("http_proxy", "HTTP_PROXY", "ALL_PROXY")
        }
        metadata(world, REGION, **proxy).passed("eu-west-1\n")
        assert not world.trap.connections
        assert not [
            r for r in world.imds.requests if r.header("X-Forwarded-For") or r.header("Via")
        ]

    def test_ipv6(self, world):
        metadata(world, REGION, AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE="IPv6").passed("eu-west-1\n")
        assert {c.local[0] for c in world.imds.connections} == {"fd00:ec2::254"}

    def test_an_endpoint_wins_over_the_mode(self, world):
        env = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://169.254.169.254/"}
        metadata(world, REGION, AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE="IPv6", **env).passed(
            "eu-west-1\n"
        )
        assert {c.local[0] for c in world.imds.connections} == {"169.254.169.254"}

    def test_switched_off(self, world):
        metadata(world, REGION, AWS_EC2_METADATA_DISABLED="True").failed(
            1, "AWS_EC2_METADATA_DISABLED"
        )
        assert not world.imds.connections

    def test_attempts_and_timeout(self, world):
        world.imds.on("PUT", TOKEN, faults.hang())
        done = metadata(
            world, REGION, AWS_METADATA_SERVICE_NUM_ATTEMPTS="2", AWS_METADATA_SERVICE_TIMEOUT="1"
        )
        done.failed(75, "timed out", "2 attempts")
        assert done.seconds < 4
        assert len(world.imds.token_requests()) == 2

    @pytest.mark.parametrize(
        "name, value",
        [
            ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "file:///etc/passwd"),
            ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://user@169.254.169.254"),
            ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "169.254.169.254"),
            ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://169.254.169.254/?x="),
            ("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "IPv5"),
            ("AWS_EC2_METADATA_DISABLED", "1"),
            ("AWS_METADATA_SERVICE_TIMEOUT", "1s"),
            ("AWS_METADATA_SERVICE_TIMEOUT", "-1"),
            ("AWS_METADATA_SERVICE_NUM_ATTEMPTS", "0"),
        ],
    )
    def test_nonsense_is_a_configuration_error(self, world, name, value):
        metadata(world, REGION, **{name: value}).failed(78, name)
        assert not world.imds.connections

    def test_odd_paths_are_encoded(self, world):
        metadata(world, "tags/instance/a b?c#d%2e").failed(1, "not found")
        assert world.imds.matching("GET", re.escape("/tags/instance/a%20b%3Fc%23d%252e"))
