"""From credentials to a registry password: which source, region and host; and when AWS says no."""

import json

import pytest
from aws_steps import driver, kept, sha256

from lab.cloud import faults
from lab.cloud.aws import ERRORS
from lab.cloud.imds import RoleCredentials, stamp
from lab.cloud.world import World

HOST = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
ROLE_PATH = "meta-data/iam/security-credentials/web"


@pytest.fixture
def world(ns):
    with World(ns) as w:
        yield w


def login(world, host=HOST, **env):
    return driver(world, "login", host, **env)


def password_is_good(world, done, passwords=None):
    done.passed()
    user, hashed = done.out.split()
    assert user == "AWS"
    passwords = passwords or world.aws.passwords
    assert hashed in {sha256(p) for p in passwords.expiry}
    kept(world, done)


def failed(world, done, code, *says):
    done.failed(code, *says)
    kept(world, done)
    return done


def role_document(world, **change):
    """Serve the role's document with these members instead; None removes."""

    def document():
        doc = {**world.imds.credentials.document(), **change}
        return json.dumps({k: v for k, v in doc.items() if v is not None})

    world.imds.tree[ROLE_PATH] = document


class TestLogin:
    def test_with_the_instances_role(self, world):
        done = login(world)
        password_is_good(world, done)
        assert len(world.aws.requests) == 1
        assert world.aws.requests[0].header("Host") == "api.ecr.eu-west-1.amazonaws.com"

    def test_the_image_hosts_region_signs(self, world):
        done = login(world, "123456789012.dkr.ecr.us-east-1.amazonaws.com", AWS_REGION="ap-south-1")
        password_is_good(world, done)
        assert "/us-east-1/ecr/aws4_request" in world.aws.requests[0].header("Authorization")
        assert not world.imds.matching("GET", "placement")

    def test_the_public_registry(self, world):
        password_is_good(world, login(world, "public.ecr.aws"), world.aws.public_passwords)
        assert "/us-east-1/ecr-public/aws4_request" in world.aws.requests[0].header("Authorization")

    def test_the_public_registry_does_not_wait_long_for_metadata(self, world):
        world.imds.down()
        done = failed(world, login(world, "public.ecr.aws"), 1, "no AWS credentials")
        assert done.seconds < 3.5

    def test_the_public_registry_without_credentials_is_denied(self, world):
        failed(
            world,
            login(world, "public.ecr.aws", AWS_EC2_METADATA_DISABLED="true"),
            1,
            "no AWS credentials",
        )

    @pytest.mark.parametrize(
        "answer, says",
        [
            ({}, "authorizationData"),
            ({"authorizationData": []}, "authorizationData"),
            ({"authorizationData": [{}]}, "authorizationToken"),
            ({"authorizationData": [{"authorizationToken": 7}]}, "authorizationToken"),
            ({"authorizationData": [{"authorizationToken": "!!!!"}]}, "base64"),
            ({"authorizationData": [{"authorizationToken": "QVdTOg=="}]}, "no password"),
            ({"authorizationData": [{"authorizationToken": "cm9vdDp4"}]}, "AWS"),
            ({"authorizationData": [{"authorizationToken": "QVdTOmENCmI="}]}, "control bytes"),
        ],
    )
    def test_answers_that_are_none(self, world, answer, says):
        world.aws.on("POST", "/", faults.body(json.dumps(answer).encode()))
        failed(world, login(world), 1, "ecr:GetAuthorizationToken", says)

    @pytest.mark.parametrize(
        "fault",
        [
            faults.body(b'{"authorizationData":'),
            faults.stream(1 << 20, b"{"),
            faults.redirect("https://evil.example/"),
            faults.status(302),
            faults.status(404),
        ],
        ids=["half", "1MB", "redirect", "302", "404"],
    )
    def test_answers_that_are_final(self, world, fault):
        world.aws.on("POST", "/", fault)
        failed(world, login(world), 1, "ecr:GetAuthorizationToken")
        assert len(world.aws.requests) == 1
        assert not world.trap.connections


class TestRefusals:
    def test_a_policy_that_lacks_the_action(self, world):
        world.aws.deny = ERRORS["AccessDenied"]
        failed(
            world,
            login(world),
            1,
            "AccessDeniedException on ecr:GetAuthorizationToken",
            "add ecr:GetAuthorizationToken to role web",
        )
        assert len(world.aws.requests) == 1

    @pytest.mark.parametrize("error", ["Throttling", "InternalFailure", "ServiceUnavailable"])
    def test_overload_of_a_moment(self, world, error):
        refused = world.aws.error(ERRORS[error])
        world.aws.on("POST", "/", faults.answer(refused), nth=(1, 2))
        password_is_good(world, login(world))
        assert len(world.aws.requests) == 3

    def test_overload_for_ever(self, world):
        world.aws.deny = ERRORS["Throttling"]
        failed(
            world,
            login(world),
            75,
            "ThrottlingException on ecr:GetAuthorizationToken: Rate exceeded",
        )
        assert len(world.aws.requests) == 5

    def test_a_load_balancers_error_page(self, world):
        world.aws.on("POST", "/", faults.status(503, "<html>", content_type="text/html"), nth=1)
        password_is_good(world, login(world))

    def test_reset_and_hang(self, world):
        world.aws.next_connections(1, "reset")
        world.aws.on("POST", "/", faults.reset(), nth=1)
        password_is_good(world, login(world))

    @pytest.mark.parametrize("minutes", [16, -16, 60 * 24 * 400])
    def test_a_wrong_clock_is_corrected_once(self, world, minutes):
        world.aws.clock_offset = minutes * 60
        if minutes > 60:  # as far as AWS knows they are still good then
            world.imds.rotate(life=minutes * 60 + 3600)
        password_is_good(world, login(world))
        assert len(world.aws.requests) == 2

    def test_a_wrong_signature_with_a_right_clock_is_final(self, world):
        role_document(world, SecretAccessKey="A" * 40)
        failed(world, login(world), 1, "InvalidSignatureException", "do not fit")
        assert len(world.aws.requests) == 1

    def test_a_wrong_signature_with_a_wrong_clock_is_tried_twice(self, world):
        world.aws.clock_offset = 16 * 60
        role_document(world, SecretAccessKey="A" * 40)
        failed(world, login(world), 1, "InvalidSignatureException")
        assert len(world.aws.requests) == 2

    def test_keys_that_aws_takes_no_more_are_replaced_once(self, world):
        old = world.imds.credentials
        old.denied = ERRORS["ExpiredToken"]
        rule = world.imds.on(
            "GET", ROLE_PATH + "$", faults.body(json.dumps(old.document()).encode()), nth=1
        )
        new = world.imds.rotate()
        password_is_good(world, login(world))
        assert rule.hits == 1
        first, second = world.aws.requests
        assert old.access_key in first.header("Authorization")
        assert new.access_key in second.header("Authorization")

    def test_keys_that_are_never_taken(self, world):
        world.aws.deny = ERRORS["UnrecognizedClient"]
        failed(world, login(world), 1, "UnrecognizedClientException", "IMDS role web")
        assert len(world.aws.requests) == 2


class TestRole:
    def test_an_instance_without_one(self, ns):
        with World(ns, role=None) as world:
            done = failed(
                world,
                login(world),
                1,
                "no role attached to this instance",
                "AWS_ACCESS_KEY_ID not set",
                "AWS_CONTAINER_CREDENTIALS",
                "associate-iam-instance-profile",
            )
            assert done.seconds < 3
            assert not world.aws.requests

    def test_code_other_than_success(self, world):
        world.imds.tree[ROLE_PATH] = json.dumps(
            {"Code": "AssumeRoleUnauthorizedAccess", "Message": "EC2 cannot assume the role web."}
        )
        failed(
            world,
            login(world),
            1,
            "IMDS role web",
            "AssumeRoleUnauthorizedAccess: EC2 cannot assume the role web",
        )

    def test_half_a_document(self, world):
        whole = json.dumps(world.imds.credentials.document())
        world.imds.tree[ROLE_PATH] = whole[: len(whole) // 2]
        failed(world, login(world), 1, "IMDS role web")
        assert not world.aws.requests

    @pytest.mark.parametrize("member", ["AccessKeyId", "SecretAccessKey"])
    def test_a_member_missing(self, world, member):
        role_document(world, **{member: None})
        failed(world, login(world), 1, "IMDS role web", member)

    def test_control_bytes(self, world):
        role_document(world, Token="a\r\nX-Evil: yes")
        failed(world, login(world), 1, "IMDS role web", "control bytes")
        assert not world.aws.requests

    @pytest.mark.parametrize("name", ["../../user-data", "a b", "web\x07", "r" * 65, "<html>"])
    def test_a_listing_that_is_no_name(self, world, name):
        world.imds.on("GET", "/security-credentials/$", faults.body(name.encode()))
        failed(world, login(world), 1, "not the name of a role")
        assert len(world.imds.matching("GET")) == 1

    def test_expired_keys_are_left_to_aws_to_judge(self, world):
        world.imds.rotate(life=-120)
        failed(world, login(world), 1, "ExpiredTokenException", "IMDS role web")
        assert len(world.aws.requests) == 2

    def test_metadata_switched_off(self, world):
        world.imds.on("PUT", "token", faults.status(403))
        failed(world, login(world), 1, "no AWS credentials", "metadata endpoint is disabled")

    def test_metadata_unreachable_is_worth_another_try(self, world):
        world.imds.down()
        failed(world, login(world), 75, "no AWS credentials", "IMDS token request failed")

    def test_kept_until_shortly_before_they_expire(self, world):
        driver(world, "credentials", 5).passed()
        # Four answers from memory, the last by request.
        assert len(world.imds.matching("GET", ROLE_PATH + "$")) == 2

    def test_renewed_when_five_minutes_are_left(self, world):
        world.imds.rotate(life=290)
        driver(world, "credentials", 3).passed()
        assert len(world.imds.matching("GET", ROLE_PATH + "$")) == 3

    @pytest.mark.parametrize("life", [120, -120])
    def test_slightly_expired_ones_are_used_when_there_are_no_newer(self, world, life):
        world.imds.rotate(life=life)
        world.imds.on("GET", ROLE_PATH + "$", faults.status(404), nth=2)
        driver(world, "credentials", 3).passed()
        world.imds.reset()
        world.imds.on("GET", ROLE_PATH + "$", faults.status(503), nth=range(2, 99))
        # The third is by request: the service did not take the ones there are.
        done = driver(world, "credentials", 3).failed(75, "503")
        assert done.out.count(world.imds.credentials.access_key) == 2
        assert done.seconds < 9

    def test_long_expired_ones_are_not(self, world):
        world.imds.rotate(life=-3600)
        world.imds.on("GET", ROLE_PATH + "$", faults.status(404), nth=2)
        driver(world, "credentials", 3).failed(1, "not found")


def environment(world, **kwargs):
    keys = world.aws.add_user(
        RoleCredentials(world.canaries, ("aws",), label="environment", **kwargs)
    )
    return keys, {
        "AWS_ACCESS_KEY_ID": keys.access_key,
        "AWS_SECRET_ACCESS_KEY": keys.secret_key,
        "AWS_SESSION_TOKEN": keys.session_token,
    }


class TestEnvironment:
    def test_wins(self, world):
        _, env = environment(world)
        password_is_good(world, login(world, **env))
        assert not world.imds.connections and not world.container.connections

    def test_half_of_it_is_a_configuration_error(self, world):
        _, env = environment(world)
        del env["AWS_SECRET_ACCESS_KEY"]
        failed(world, login(world, **env), 78, "AWS_SECRET_ACCESS_KEY")

    def test_empty_is_not_set(self, world):
        names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
        password_is_good(world, login(world, **dict.fromkeys(names, "")))

    def test_control_bytes(self, world):
        _, env = environment(world)
        env["AWS_SESSION_TOKEN"] += "\r\nX-Evil: yes"
        failed(world, login(world, **env), 78, "session token", "control bytes")

    def test_a_policy_that_lacks_the_action_names_the_source(self, world):
        _, env = environment(world)
        world.aws.deny = ERRORS["AccessDenied"]
        failed(world, login(world, **env), 1, "allow ecr:GetAuthorizationToken", "environment")


class TestContainer:
    def test_relative_uri(self, world):
        env = {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": world.container.PATH}
        done = login(world, **env)
        password_is_good(world, done)
        assert world.container.credentials.access_key in world.aws.requests[0].header(
            "Authorization"
        )
        assert not world.imds.connections

    def test_the_token_file_wins_and_is_read_anew(self, world, tmp_path):
        world.container.authorization = world.canaries.new(
            "token", 60, allowed={world.container.name}
        )
        file = tmp_path / "token"
        file.write_text(world.container.authorization + "\n")
        env = {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://169.254.170.2" + world.container.PATH,
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(file),
            "AWS_CONTAINER_AUTHORIZATION_TOKEN": "not this one",
        }
        password_is_good(world, login(world, **env))
        file.write_text("wrong")
        failed(world, login(world, **env), 1, "container endpoint", "FULL_URI", "401")
        file.unlink()
        failed(world, login(world, **env), 1, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")

    @pytest.mark.parametrize("token", ["a\r\nX-Evil: yes", "a\x00b", "\x7f"])
    def test_a_token_with_control_bytes_is_not_sent(self, world, tmp_path, token):
        file = tmp_path / "token"
        file.write_text(token)
        env = {
            "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": world.container.PATH,
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(file),
        }
        failed(world, login(world, **env), 78, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
        assert not world.container.requests

    @pytest.mark.parametrize(
        "uri",
        [
            "http://203.0.113.16/creds",
            "http://evil.example/creds",
            "http://169.254.170.2@evil.example/creds",
            "http://169.254.169.254/latest/meta-data/iam/security-credentials/web",
            "ftp://127.0.0.1/creds",
        ],
    )
    def test_plain_http_to_strangers_is_refused(self, world, uri):
        env = {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": uri,
            "AWS_CONTAINER_AUTHORIZATION_TOKEN": world.canaries.new("token", 60),
        }
        failed(world, login(world, **env), 78, "AWS_CONTAINER_CREDENTIALS_FULL_URI")
        assert not world.trap.connections and not world.imds.connections

    def test_redirects_are_not_followed(self, world):
        world.container.on("GET", "", faults.redirect(world.trap.url))
        env = {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": world.container.PATH}
        failed(world, login(world, **env), 1, "container endpoint")
        assert not world.trap.connections

    def test_an_agent_that_is_not_up_yet(self, world):
        world.container.on("GET", "", faults.status(503), nth=1)
        env = {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": world.container.PATH}
        password_is_good(world, login(world, **env))

    def test_a_promised_source_that_fails_is_not_passed_over(self, world):
        env = {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/no/such/path"}
        failed(world, login(world, **env), 1, "RELATIVE_URI")
        assert not world.imds.connections


class TestEndpoint:
    """AWS_ENDPOINT_URL and its narrower sister."""

    @pytest.fixture
    def local(self, world):
        from lab.cloud.aws import Aws

        path = str(world.namespace.path)
        with Aws(sources=[world.imds], canaries=world.canaries, netns=path) as aws:
            yield aws

    def test_the_general_one(self, world, local):
        login(world, AWS_ENDPOINT_URL=local.url).passed()
        assert len(local.requests) == 1 and not world.aws.connections

    def test_the_services_own_wins(self, world, local):
        login(world, AWS_ENDPOINT_URL=world.trap.url, AWS_ENDPOINT_URL_ECR=local.url).passed()
        assert len(local.requests) == 1 and not world.trap.connections

    @pytest.mark.parametrize(
        "url",
        [
            "http://203.0.113.11",
            "http://evil.example",
            "ecr.example",
            "https://user@evil.example",
            "https://h/?q",
        ],
    )
    def test_what_it_must_not_be(self, world, url):
        failed(world, login(world, AWS_ENDPOINT_URL_ECR=url), 78, "AWS_ENDPOINT_URL_ECR")
        assert not world.trap.connections

    def test_a_certificate_for_another_name(self, world):
        world.aws.next_certificates(5, world.ca.certificate("evil.example"))
        failed(world, login(world), 1, "ecr:GetAuthorizationToken")
        assert not world.aws.requests


def test_stamp_is_what_is_parsed(world):
    """The expiry that IMDS states is understood (else the keys would be fetched each time)."""
    assert stamp(0) == "1970-01-01T00:00:00Z"
    role_document(world, Expiration="soon")
    failed(world, login(world), 1, "Expiration")
