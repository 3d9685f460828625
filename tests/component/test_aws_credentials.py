"""Where credentials come from: the instance's role, the environment, a container's endpoint; and when they are none."""

import json

import pytest
from aws_steps import driver
from ecr_login_steps import ROLE_PATH, failed, login, password_is_good, role_document
from ecr_login_steps import world  # noqa: F401 (fixtures)
from lab.cloud import faults
from lab.cloud.aws import ERRORS
from lab.cloud.imds import RoleCredentials, stamp
from lab.cloud.world import World


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


def test_stamp_is_what_is_parsed(world):
    """The expiry that IMDS states is understood (else the keys would be fetched each time)."""
    assert stamp(0) == "1970-01-01T00:00:00Z"
    role_document(world, Expiration="soon")
    failed(world, login(world), 1, "Expiration")
