"""What berth says when it fails: one line that names the step, the cause and what helps, and the right exit status.

Each row: what goes wrong, the arguments, the exit status, and what the last line has to say.
"""

import os
import subprocess
from pathlib import Path

import pytest
from lab import Engine, Namespace, Registry, images
from lab.cloud import faults
from lab.cloud.aws import ERRORS
from lab.cloud.ca import CA
from lab.cloud.images import image
from lab.cloud.layers import layer
from lab.cloud.world import World
from service import Berth, Done, binary

ECR = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
APP = f"{ECR}/team/app:v1"
NOWHERE = "unix:///nowhere/docker.sock"
LINE_MAX = 800


@pytest.fixture(scope="module")
def place():
    """A cloud and an engine for all rows: failures leave nothing behind."""
    with Namespace() as ns, World(ns) as world, Registry(ns) as registry, Engine("docker20") as engine:
        engine.start(ns)
        for registry_ in (world.ecr, world.ghcr):
            registry_.push(image([layer([("etc/motd", b"welcome\n")])]), "team/app", "v1")
        world.web = images.push("webapp:v1", registry, "team/web", "latest")
        world.engine = engine
        yield world


@pytest.fixture
def world(place):
    yield place
    for server in place.servers:
        server.reset()
    place.aws.deny = None


@pytest.fixture
def berth(world):
    berth = Berth(world.namespace, world.engine, env=world.env())
    yield berth
    berth.close()


def says(line, *parts):
    assert line.startswith("berth: ") and len(line) <= LINE_MAX
    for part in parts:
        assert part in line
    before, _, hint = line.partition("; ")
    for step in before.split(": "):
        assert f"{step}: {step}: " not in before, "a step is said once"


def failed(done, code, *parts, lines=None):
    assert done.code == code, done
    says(done.last_line, *parts)
    if lines:
        assert len(done.err.splitlines()) == lines, done
    return done


# Refused before anything is asked: exactly one line.
COMMAND_LINES = [
    ("an unknown command", ["upp"], 2, "no command 'upp'", "berth help"),
    ("an unknown flag", ["up", APP, "--bogus"], 2, "unknown option --bogus", "berth help up"),
    ("half a flag", ["up", APP, "--pub", "80:80"], 2, "unknown option --pub", "--publish meant"),
    ("a flag without its value", ["up", APP, "--name"], 2, "--name needs a value"),
    ("no image for up", ["up"], 2, "no image", "BERTH_IMAGE", "berth.conf"),
    ("no image for pull", ["pull"], 2, "no image", "berth pull IMAGE"),
    ("two images", ["pull", APP, "another"], 2, "unexpected argument 'another'"),
    ("an image in capitals", ["pull", "Team/App:v1"], 2, '"Team/App:v1"', "neither lower-case nor a host"),
    ("a URL for an image", ["pull", "https://ghcr.io/a/b:v1"], 2, 'no "https://"'),
    ("half a port", ["up", APP, "-p", "80:"], 2, '--publish: "80:"', "no container port"),
    ("a port too high", ["up", APP, "-p", "99999:80"], 2, '"99999" is no host port'),
    ("a time without unit", ["up", APP, "--probe-interval", "5"], 2, "--probe-interval", "such as 500ms, 2s or 5m"),
    ("a size in words", ["up", APP, "--memory", "lots"], 2, '--memory: "lots"', "write 512m or 1.5g"),
    ("a probe without scheme", ["up", APP, "--probe", "3000"], 2, "--probe 3000", "http://:PORT/PATH, tcp://:PORT"),
    ("a choice there is not", ["up", APP, "--pull", "often"], 2, "--pull: 'often'", "newer|missing|always|never"),
    ("a restart policy misspelt", ["up", APP, "--restart", "allways"], 2, '"allways"', "unless-stopped"),
    ("a relative mount", ["up", APP, "-v", "/data:data"], 2, "--volume", "not absolute"),
    ("a health port without colon", ["up", APP, "--health-listen", "8642"], 78, "--health-listen: '8642'", "[IP]:PORT"),
    ("a platform without system", ["pull", APP, "--platform", "amd64"], 2, "--platform", "linux/amd64"),
    ("an env file that is not there", ["up", APP, "--env-file", "/nowhere"], 78, "--env-file: /nowhere does not exist"),
    ("a configuration that is not there", ["up", "--config", "/nowhere"], 78, "/nowhere does not exist"),
    ("a user without password", ["pull", APP, "--registry-user", "me"], 78, "--registry-password go together"),
    ("a password on the command line", ["pull", APP, "--registry-user", "me", "--registry-password", "hunter2"],
     78, "neither file:PATH nor env:NAME", "not the password"),
    ("a password file that is not there",
     ["pull", APP, "--registry-user", "me", "--registry-password", "file:/nowhere"], 78, "/nowhere does not exist"),
    ("a password variable that is not set",
     ["pull", APP, "--registry-user", "me", "--registry-password", "env:NOWHERE"], 78, "NOWHERE is not set"),
    ("somebody else's Docker", ["pull", APP, "--docker-host", "tcp://203.0.113.9:2375"],
     78, "not on this machine", "its own instance"),
    ("status of nothing", ["status"], 2, "no service is running here", "--name NAME"),
    ("status of a stranger", ["status", "--name", "web"], 1, "no service web here"),
    ("status without Docker", ["status", "--name", "web", "--docker-host", NOWHERE],
     75, "Docker is not running: /nowhere/docker.sock does not exist", "systemctl enable --now docker"),
    ("metadata there is not", ["metadata", "nowhere"], 1, "IMDS", "meta-data/nowhere", "not found"),
]


@pytest.mark.parametrize("argv,code,parts", [(r[1], r[2], r[3:]) for r in COMMAND_LINES], ids=[r[0] for r in COMMAND_LINES])
def test_a_command_line_that_is_wrong(berth, argv, code, parts):
    done = failed(berth.run(*argv, timeout=20), code, *parts, lines=1)
    assert "hunter2" not in done.err


# What is wrong in the file or the environment is named by its line or variable, and is 78.
CONFIGURATIONS = [
    ("no value", "BERTH_IMAGE\n", {}, ":1: not a KEY=value line"),
    ("a key misspelt", "\nBERTH_IMGE=x\n", {}, ":2: unknown key BERTH_IMGE"),
    ("a wrong choice", f"BERTH_IMAGE={APP}\nBERTH_PULL=often\n", {}, ":2: BERTH_PULL: 'often'"),
    ("a wrong port", f"BERTH_IMAGE={APP}\nBERTH_PUBLISH=80;81\n", {}, ':2: BERTH_PUBLISH: --publish: "80;81"'),
    ("a wrong probe", f"BERTH_IMAGE={APP}\nBERTH_PROBE=3000\n", {}, ":2: BERTH_PROBE: --probe 3000"),
    ("a wrong image", "BERTH_IMAGE=Team/App\n", {}, ':1: BERTH_IMAGE: image "Team/App"'),
    ("a wrong variable", "", {"BERTH_IMAGE": "Team/App"}, 'BERTH_IMAGE: image "Team/App"'),
    ("a wrong time in a variable", f"BERTH_IMAGE={APP}\n", {"BERTH_PROBE_TIMEOUT": "2"}, "BERTH_PROBE_TIMEOUT: '2'"),
]


@pytest.mark.parametrize("text,env,part", [r[1:] for r in CONFIGURATIONS], ids=[r[0] for r in CONFIGURATIONS])
def test_a_configuration_that_is_wrong(berth, text, env, part):
    path = berth.ns.run_dir / "berth.conf"
    path.write_text(text)
    failed(berth.run("up", "--config", path, env=env, timeout=20), 78, part, lines=1)


IMAGES = [
    ("a tag that is missing", f"{ECR}/team/app:nope", "resolve app: ", "MANIFEST_UNKNOWN", "check the name and the tag"),
    ("a repository that is missing", f"{ECR}/team/nope:v1", "resolve nope: ", "NAME_UNKNOWN", "check the name"),
    ("a private image, asked by nobody", "ghcr.io/team/nope:v1", "denied by ghcr.io, asked anonymously", "--registry-user"),
    ("an image for another platform", f"{APP}", "linux/arm64", "build it for", ["--platform", "linux/arm64"]),
]


@pytest.mark.parametrize("row", IMAGES, ids=[r[0] for r in IMAGES])
def test_an_image_that_cannot_be_had(berth, row):
    _, reference, *parts = row
    extra = parts.pop() if isinstance(parts[-1], list) else []
    failed(berth.pull(reference, *extra, timeout=60), 1, *parts)


def test_a_password_that_is_wrong(berth):
    done = berth.pull("ghcr.io/team/app:v1", "--registry-user", "me", "--registry-password", "env:PW", env={"PW": "pst"})
    failed(done, 1, "denied by ghcr.io, asked as me", "password is still good")
    assert "pst" not in done.err


def system_bundle():
    return Path("/etc/ssl/certs/ca-certificates.crt").read_bytes()


def another_ca():
    ca = CA()  # its files go with it
    return ca.pem.read_bytes()


TLS = [
    ("a CA that is not known", system_bundle, 1, "unable to get local issuer certificate", "AWS_CA_BUNDLE or SSL_CERT_FILE"),
    ("a CA of that name with another key", another_ca, 1, "signature cannot be verified", "AWS_CA_BUNDLE or SSL_CERT_FILE"),
    ("a CA file that holds none", lambda: b"", 78, "cannot read certificates from", "must name a PEM file"),
]


@pytest.mark.parametrize("bundle,code,parts", [(r[1], r[2], r[3:]) for r in TLS], ids=[r[0] for r in TLS])
def test_a_certificate_that_is_not_trusted(berth, bundle, code, parts):
    pem = berth.ns.run_dir / "bundle.pem"
    pem.write_bytes(bundle())
    failed(berth.pull(APP, env={"SSL_CERT_FILE": pem}, timeout=60), code, "TLS: ", *parts)


def test_a_certificate_that_has_expired(world, berth):
    world.ecr.next_certificates(5, world.ca.expired(ECR))
    failed(berth.pull(APP, timeout=60), 1, "certificate has expired", "this machine's clock")
    world.ecr.next_certificates(0, None)


UNREACHABLE = [
    ("a name that is not known", "registry.nowhere.example/a/b:v1", "resolve registry.nowhere.example: no address found"),
    ("a port that is closed", "203.0.113.20:5000/a/b:v1", "connect to 203.0.113.20:5000: connection refused"),
]


@pytest.mark.parametrize("reference,cause", [r[1:] for r in UNREACHABLE], ids=[r[0] for r in UNREACHABLE])
def test_a_registry_out_of_reach_is_temporary_and_the_wait_is_explained(berth, reference, cause):
    done = failed(berth.pull(reference, timeout=120), 75, "resolve b: ", cause, "VPC endpoints", "HTTPS_PROXY")
    assert len([line for line in done.err.splitlines() if line.endswith("; trying again")]) == 3, done


AWS = [
    ("AccessDenied", 1, "AccessDeniedException on ecr:GetAuthorizationToken", "add ecr:GetAuthorizationToken to role web"),
    ("ExpiredToken", 1, "ExpiredTokenException", "AWS does not take the keys it was given (IMDS role web)"),
    ("UnrecognizedClient", 1, "UnrecognizedClientException", "is invalid; AWS does not take the keys"),
    ("InvalidSignature", 1, "InvalidSignatureException", "a proxy changes requests"),
]


@pytest.mark.parametrize("error,code,parts", [(r[0], r[1], r[2:]) for r in AWS], ids=[r[0] for r in AWS])
def test_a_login_that_aws_refuses(world, berth, error, code, parts):
    world.aws.deny = ERRORS[error]
    failed(berth.pull(APP, timeout=60), code, f"resolve app: login to {ECR}: ", *parts)


def test_no_credentials_at_all(berth):
    done = berth.pull(APP, env={"AWS_EC2_METADATA_DISABLED": "true"}, timeout=60)
    failed(done, 1, "no AWS credentials", "AWS_ACCESS_KEY_ID not set", "AWS_EC2_METADATA_DISABLED")


def test_an_instance_without_a_role(world, berth):
    # The role of a fresh instance may come late, so that its absence is asked for some seconds.
    world.imds.on("GET", "iam/security-credentials", faults.status(404))
    failed(berth.pull(APP, timeout=60), 1, "no role attached to this instance", "associate-iam-instance-profile")


def test_a_role_that_may_log_in_but_not_pull(world, berth):
    world.ecr.on("GET", "/manifests/", faults.status(403))
    failed(berth.pull(APP, timeout=60), 1, "denied by", "ecr:BatchGetImage and ecr:GetDownloadUrlForLayer on team/app")


def test_docker_that_is_not_running_is_waited_for_and_that_is_said(berth):
    process = berth.ns.run(
        [binary(), "pull", APP, "--docker-host", NOWHERE], env=berth.env, stderr=subprocess.PIPE, text=True
    )
    try:
        line = process.stderr.readline()
    finally:
        process.kill()
        process.wait()
    says(line, "Docker is not running: /nowhere/docker.sock does not exist", "systemctl enable --now docker; waiting for it")


def test_docker_that_may_not_be_used(world, berth):
    os.chmod(world.engine.socket, 0o660)
    argv = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", binary(), "pull", APP]
    process = berth.ns.run(argv, env=berth.env, stderr=subprocess.PIPE, text=True)
    err = process.communicate(timeout=60)[1]
    failed(Done(process.returncode, "", err), 1, "no permission to use", "run berth as root", lines=1)


# What Docker refuses when the container is made or started.
CONTAINERS = [
    ("a port that another container has", ["-p", "8081:3000"], "8081", "port is already allocated", "`docker ps` shows which"),
    ("a port that another program has", ["-p", "8642:3000"], "8642", "address already in use", "`ss -ltnp` shows which"),
    ("a command that is not in the image", ["--", "/nope"], "start container web", "/nope", "is the command in the image?"),
    ("a user that is not in the image", ["--user", "nobodyhere"], "nobodyhere", "check --user"),
    ("GPUs that are not there", ["--gpus", "all"], "could not select device driver", "NVIDIA container toolkit"),
    ("a network that is not there", ["--network", "nope"], "network nope not found"),
    ("a log driver that is not there", ["--log-driver", "nope"], 'plugin "nope" not found'),
]


@pytest.fixture(scope="module")
def other(place):
    place.engine.docker("pull", place.web)
    place.engine.docker("run", "-d", "--name", "other", "-p", "8081:3000", place.web)


@pytest.mark.parametrize("argv,parts", [(r[1], r[2:]) for r in CONTAINERS], ids=[r[0] for r in CONTAINERS])
def test_a_container_that_docker_refuses(world, other, berth, argv, parts):
    service = berth.up(world.web, *argv)
    said = service.wait_health("failed")
    says("berth: " + said["reason"], *parts)
    says(service.wait_line(parts[0]), *parts)
    assert "web" not in world.engine.docker("ps", "--all", "--format", "{{.Names}}").split()


def test_a_container_that_is_somebody_elses(world, other, berth):
    said = berth.up(world.web, "--name", "other").wait_health("failed")
    says("berth: " + said["reason"], "a container called other exists that berth did not make", "--name")


def test_a_health_port_that_is_taken(world, berth):
    with berth.ns.listen("0.0.0.0", 8642):
        failed(berth.run("up", world.web, timeout=20), 78, ":8642: ", "`ss -ltnp`", "--health-listen")
