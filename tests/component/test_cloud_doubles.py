"""The doubles of metadata and AWS behave as those do: shown with clients that are not berth's."""

import base64
import copy
import email.utils
import http.client
import json
import subprocess
import time

import botocore.auth
import botocore.awsrequest
import botocore.config
import botocore.exceptions
import botocore.session
import pytest

from lab.cloud import hostile_wire
from lab.cloud.aws import ERRORS, Aws
from lab.cloud.canary import ArgvWatch, Canaries, Leak
from lab.cloud.clients import call, curl
from lab.cloud.dns import Dns
from lab.cloud.images import image
from lab.cloud.imds import ContainerCredentials, Imds
from lab.cloud.layers import file, layer
from lab.cloud.registry import ScriptedRegistry
from lab.cloud.server import Trap
from lab.cloud.world import World

TTL = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}


class TestImds:
    @pytest.fixture
    def imds(self):
        with Imds(tags={"Name": "web-1"}) as server:
            yield server

    def token(self, imds, ttl="60"):
        return call(imds, "PUT", "/latest/api/token", {"X-aws-ec2-metadata-token-ttl-seconds": ttl})

    def get(self, imds, path, token=None):
        token = token or self.token(imds)[2].decode()
        return call(imds, "GET", "/latest/" + path, {"X-aws-ec2-metadata-token": token})

    @pytest.mark.parametrize(
        "path, expected",
        [
            ("meta-data/placement/region", b"eu-west-1"),
            ("meta-data/services/partition", b"aws"),
            ("meta-data/iam/security-credentials/", b"web"),
            ("meta-data/tags/instance", b"Name"),
            ("meta-data/tags/instance/Name", b"web-1"),
            ("meta-data/placement/", b"availability-zone\nregion"),
        ],
    )
    def test_reads_the_tree_with_a_token(self, imds, path, expected):
        assert self.get(imds, path)[::2] == (200, expected)

    def test_serves_the_roles_keys(self, imds):
        document = json.loads(self.get(imds, "meta-data/iam/security-credentials/web")[2])
        assert document["Code"] == "Success"
        assert document["SecretAccessKey"] == imds.credentials.secret_key
        imds.rotate()
        assert json.loads(self.get(imds, "meta-data/iam/security-credentials/web")[2]) != document

    @pytest.mark.parametrize(
        "ttl, status",
        [("0", 400), ("1", 200), ("21600", 200), ("21601", 400), ("x", 400), ("", 400)],
    )
    def test_a_token_lives_1_to_21600_seconds(self, imds, ttl, status):
        assert self.token(imds, ttl)[0] == status

    def test_refuses_what_is_no_imdsv2(self, imds):
        assert call(imds, "GET", "/latest/meta-data/")[0] == 401
        assert self.get(imds, "meta-data/", "made-up")[0] == 401
        assert (
            call(imds, "PUT", "/latest/api/token", {**TTL, "X-Forwarded-For": "10.0.0.1"})[0] == 403
        )
        assert len(imds.v1_requests()) == 1
        assert self.get(imds, "meta-data/spot/instance-action")[0] == 404

    def test_a_forgotten_or_expired_token_is_401(self, imds):
        token = self.token(imds, "5")[2].decode()
        assert self.get(imds, "meta-data/", token)[0] == 200
        imds.clock_offset = 6
        assert self.get(imds, "meta-data/", token)[0] == 401

    def test_an_outage_refuses_and_ends(self, imds):
        imds.outage(0.5)
        assert curl(imds.url)[0] == 7
        time.sleep(0.6)
        assert curl(imds.url) == (0, "401 " + curl(imds.url)[1].split()[1])

    def test_connections_can_be_reset_or_hang(self, imds):
        imds.next_connections(1, "hang")
        assert curl("-m", "0.3", imds.url)[0] == 28
        imds.next_connections(1, "reset")
        assert curl(imds.url)[0] in (7, 52, 56)
        assert curl(imds.url)[0] == 0

    @pytest.mark.parametrize("name", hostile_wire.IMDS)
    def test_a_scripted_fault_shows(self, imds, name):
        token = self.token(imds)[2].decode()
        role = json.loads(self.get(imds, "meta-data/iam/security-credentials/web", token)[2])
        hostile_wire.IMDS[name](imds)
        try:
            again = call(imds, "PUT", "/latest/api/token", TTL)
            names = self.get(imds, "meta-data/iam/security-credentials/", token)
            keys = (
                self.get(imds, "meta-data/iam/security-credentials/web", token)
                if "hang" not in name and "endless" not in name
                else (0, {}, b"")
            )
            fine = (
                again[0] == 200
                and 40 < len(again[2]) < 100
                and not again[1].get("X-Injected")
                and names[::2] == (200, b"web")
                and keys[0] == 200
                and json.loads(keys[2]) == role
            )
        except (OSError, http.client.HTTPException, ValueError):
            fine = False
        assert not fine


def test_container_credentials_want_their_token():
    with ContainerCredentials() as agent:
        assert call(agent, "GET", agent.PATH)[0] == 401
        assert call(agent, "GET", agent.PATH, {"Authorization": "wrong"})[0] == 401
        assert call(agent, "GET", "/elsewhere", {"Authorization": agent.authorization})[0] == 404
        status, _, body = call(agent, "GET", agent.PATH, {"Authorization": agent.authorization})
        assert status == 200 and json.loads(body)["AccessKeyId"] == agent.credentials.access_key
        agent.canaries.assert_kept([agent])


class TestAws:
    @pytest.fixture
    def imds(self):
        with Imds() as server:
            yield server

    @pytest.fixture
    def aws(self, imds):
        with Aws(sources=[imds], canaries=imds.canaries) as server:
            yield server

    def client(self, aws, service="ecr", region="eu-west-1", keys=None):
        keys = keys or aws.sources[0].credentials
        return botocore.session.Session().create_client(
            service,
            region,
            endpoint_url=aws.url,
            aws_access_key_id=str(keys.access_key),
            aws_secret_access_key=str(keys.secret_key),
            aws_session_token=str(keys.session_token),
            config=botocore.config.Config(retries={"total_max_attempts": 1}),
        )

    def refusal(self, aws, **kwargs):
        with pytest.raises(botocore.exceptions.ClientError) as caught:
            self.client(aws, **kwargs).get_authorization_token()
        return caught.value.response["Error"]["Code"], caught.value.response["Error"]["Message"]

    def test_gives_a_registry_password_to_a_good_signature(self, aws):
        data = self.client(aws).get_authorization_token()["authorizationData"][0]
        user, _, password = base64.b64decode(data["authorizationToken"]).decode().partition(":")
        assert aws.passwords.check(user, password)
        assert data["proxyEndpoint"] == "https://123456789012.dkr.ecr.eu-west-1.amazonaws.com"

    def test_ecr_public_answers_an_object_from_us_east_1_only(self, aws):
        answer = self.client(aws, "ecr-public", "us-east-1").get_authorization_token()
        assert "authorizationToken" in answer["authorizationData"]
        assert "valid region" in self.refusal(aws, service="ecr-public")[1]

    def test_refuses_a_wrong_secret_region_and_unknown_key(self, aws, imds):
        wrong = copy.copy(imds.credentials)
        wrong.secret_key = "x" * 40
        code, message = self.refusal(aws, keys=wrong)
        assert (
            code == "InvalidSignatureException"
            and "does not match the signature you provided" in message
        )
        assert "valid region" in self.refusal(aws, region="us-east-1")[1]
        known = imds.issued.pop()
        assert self.refusal(aws, keys=known)[0] == "UnrecognizedClientException"

    @pytest.mark.parametrize(
        "tamper", ["body", "target", "date", "unsigned x-amz header", "no token"]
    )
    def test_refuses_a_request_changed_after_signing(self, aws, imds, tamper):
        keys = imds.credentials
        request = botocore.awsrequest.AWSRequest(
            "POST",
            aws.url + "/",
            data=b"{}",
            headers={
                "Content-Type": "application/x-amz-json-1.1",
                "X-Amz-Target": "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken",
            },
        )
        botocore.auth.SigV4Auth(
            botocore.credentials.Credentials(
                str(keys.access_key), str(keys.secret_key), str(keys.session_token)
            ),
            "ecr",
            "eu-west-1",
        ).add_auth(request)
        headers, body = dict(request.headers.items()), b"{}"
        assert call(aws, "POST", "/", headers, body)[0] == 200
        if tamper == "body":
            body = b"{ }"
        elif tamper == "target":
            headers["X-Amz-Target"] = "SpencerFrontendService.GetAuthorizationToken"
        elif tamper == "date":
            headers["X-Amz-Date"] = headers["X-Amz-Date"][:-2] + (
                "1Z" if headers["X-Amz-Date"][-2] == "0" else "0Z"
            )
        elif tamper == "no token":
            del headers["X-Amz-Security-Token"]
        else:
            headers["X-Amz-Extra"] = "1"
        assert call(aws, "POST", "/", headers, body)[0] == 400

    def test_a_clock_16_minutes_off_is_told_with_a_date(self, aws):
        aws.clock_offset = 16 * 60
        code, message = self.refusal(aws)
        assert code == "InvalidSignatureException" and message.startswith("Signature expired: ")
        aws.clock_offset = -16 * 60
        assert "not yet current" in self.refusal(aws)[1]
        assert call(aws, "POST", "/")[1]["Date"]

    def test_expired_keys_are_told(self, aws, imds):
        imds.rotate(life=-1)
        assert self.refusal(aws)[0] == "ExpiredTokenException"

    @pytest.mark.parametrize("name", ERRORS)
    def test_errors_in_awss_words(self, aws, name):
        aws.deny = ERRORS[name]
        assert self.refusal(aws)[0] == ERRORS[name].code


class TestCanaries:
    @pytest.mark.parametrize(
        "write",
        [
            lambda s: s,
            lambda s: f"x{s}y",
            lambda s: base64.b64encode(f"AWS:{s}".encode()).decode(),
            lambda s: base64.b64encode(f"u:{s}!".encode()).decode(),
            lambda s: base64.urlsafe_b64encode(f"user{s}".encode()).decode(),
            lambda s: s.encode().hex(),
            lambda s: json.dumps({"a": s}),
            lambda s: s.replace("/", "%2F").replace("+", "%2B"),
        ],
    )
    def test_are_found_in_every_form(self, write):
        canaries = Canaries()
        secret = canaries.new("secret", 30, prefix="a/b+c")
        with pytest.raises(Leak) as caught:
            canaries.assert_kept(texts={"stderr": "before " + write(secret) + " after"})
        assert (
            "secret (" in str(caught.value)
            and "in stderr" in str(caught.value)
            and secret not in str(caught.value)
        )

    def test_belong_to_their_server(self):
        with ScriptedRegistry("right") as right, ScriptedRegistry("wrong") as wrong:
            secret = Canaries().new("secret", allowed={"right"})
            canaries = Canaries()
            canaries.all.append(secret)
            call(right, "GET", "/v2/", {"Authorization": secret})
            canaries.assert_kept([right, wrong])
            call(wrong, "GET", "/v2/", {"Authorization": secret})
            with pytest.raises(Leak, match="secret .plain. in a request to wrong"):
                canaries.assert_kept([right, wrong])

    def test_are_found_in_files_and_command_lines(self, tmp_path):
        canaries = Canaries()
        secret = canaries.new("secret")
        (tmp_path / "state.json").write_text(json.dumps({"password": secret}))
        with pytest.raises(Leak, match="state.json"):
            canaries.assert_kept(dirs=[tmp_path])
        with subprocess.Popen(["sh", "-c", f"sleep 0.3; : {secret}"]) as process, ArgvWatch(
            process.pid
        ) as watch:
            process.wait()
        with pytest.raises(Leak, match="argv"):
            canaries.assert_kept(texts={"argv": watch.text})


class TestWorld:
    def test_at_the_real_names_and_addresses(self, ns):
        with World(ns) as world:
            world.ecr.push(image([layer([("x", file(b"1"))])]), "team/app")
            assert (
                world.ecr.reference("team/app")
                == "123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/app:latest"
            )
            for host in ("169.254.169.254", "[fd00:ec2::254]"):
                ns.check(
                    [
                        "curl",
                        "-sSf",
                        "-X",
                        "PUT",
                        "-H",
                        "X-aws-ec2-metadata-token-ttl-seconds: 9",
                        f"http://{host}/latest/api/token",
                    ]
                )
            ns.check(["curl", "-sSf", f"http://169.254.170.2{world.container.PATH}"])
            password = world.aws.passwords.new()
            blob = world.ecr.documents["team/app"]["latest"].layers[0].digest
            out = ns.check(
                [
                    "curl",
                    "-sSfL",
                    "-u",
                    f"AWS:{password}",
                    "-w",
                    "%{num_redirects} %{remote_ip}",
                    "-o",
                    "/dev/null",
                    f"{world.ecr.url}/v2/team/app/blobs/{blob}",
                ]
            )
            assert out == "1 203.0.113.13"
            assert (
                ns.check(
                    ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", f"{world.aws.url}/"]
                )
                == "404"
            )
            world.canaries.assert_kept(world.servers)

    def test_on_loopback(self):
        with World() as world:
            assert all("127.0.0.1" in url for url in world.env().values())
            assert call(world.imds, "GET", "/latest/")[0] == 401

    def test_a_wrong_clock_is_everywhere(self):
        with World() as world:
            world.set_clock(16 * 60)
            for server in world.servers:
                date = email.utils.parsedate_to_datetime(call(server, "GET", "/")[1]["Date"])
                assert 950 < date.timestamp() - time.time() < 970

    def test_names_can_fail(self, ns):
        names = {"api.example": ["203.0.113.11"]}
        with Dns(names, netns=str(ns.path)) as dns, Trap(
            netns=str(ns.path), listen=[("203.0.113.11", 80)]
        ) as trap:

            def reach(host):
                run = ns.run(
                    ["curl", "-sS", "-m", "9", f"http://{host}/"], resolv=dns.resolv_conf()
                )
                return run.wait()

            assert reach("api.example") == 0 and reach("unknown.example") == 6
            dns.fail(4)
            assert reach("api.example") == 6
            dns.fail(2, "truncated")
            assert reach("api.example") == 0
            assert {transport for transport, _, _ in dns.questions} == {"udp", "tcp"}
            assert len(trap.requests) == 2
