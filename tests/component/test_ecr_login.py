"""From credentials to a registry password: which region and host; and when AWS says no."""

import json

import pytest
from ecr_login_steps import ROLE_PATH, failed, login, password_is_good, role_document
from ecr_login_steps import world  # noqa: F401 (fixtures)
from lab.cloud import faults
from lab.cloud.aws import ERRORS


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
