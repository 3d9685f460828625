"""berth pull from ECR by the instance's role alone, and where its secrets have been."""

import subprocess

import pytest
import service

import lab
from lab.cloud import faults
from lab.cloud.aws import ERRORS
from lab.cloud.canary import ArgvWatch
from lab.cloud.images import image
from lab.cloud.layers import layer
from lab.cloud.world import World

MOTD = [("etc/motd", b"welcome aboard\n")]


@pytest.fixture
def world(ns):
    with World(ns) as w:
        w.ecr.push(image([layer(MOTD)]), "team/app", "v1")
        yield w


@pytest.fixture
def docker(ns):
    with lab.Engine("docker20") as engine:
        yield engine.start(ns)


@pytest.fixture
def berth(ns, world, docker):
    return service.Berth(ns, docker, env=world.env())


def pull(world, berth, *argv):
    """Pull while the command lines of berth and its workers are watched; no secret strays."""
    reference = world.ecr.reference("team/app", "v1")
    process = world.namespace.run(
        [service.binary(), "pull", reference, *argv],
        env=berth.env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with ArgvWatch(process.pid, interval=0.005) as watch:
        out, err = process.communicate(timeout=60)
    done = service.Done(process.returncode, out, err)
    world.canaries.assert_kept(
        world.servers,
        texts={"stdout": out, "stderr": err, "argv": watch.text},
        dirs=[berth.state_dir, berth.run_dir],
    )
    return done


def test_the_role_is_all_it_needs(world, berth, docker):
    done = pull(world, berth, "-v")
    assert done.code == 0, done
    assert docker.inspect(world.ecr.reference("team/app", "v1"))
    # The search is worth nothing where the secrets never were.
    password = next(iter(world.aws.passwords.expiry))
    assert world.canaries.seen(password, world.ecr)
    assert world.canaries.seen(world.imds.credentials.session_token, world.aws)
    assert len(world.aws.requests) == 1
    assert not world.imds.v1_requests()


def test_a_fresh_instance_whose_metadata_comes_late(world, berth):
    world.imds.outage(8)
    world.imds.on("PUT", "token", faults.status(401), nth=range(1, 3))
    done = pull(world, berth)
    assert done.code == 0, done


def test_a_role_without_the_permission(world, berth):
    world.aws.deny = ERRORS["AccessDenied"]
    done = pull(world, berth)
    assert done.code == 1, done
    assert "AccessDeniedException on ecr:GetAuthorizationToken" in done.last_line
    assert "add ecr:GetAuthorizationToken to role web" in done.last_line


def test_a_clock_that_is_16_minutes_wrong(world, berth):
    world.aws.clock_offset = 16 * 60
    done = pull(world, berth)
    assert done.code == 0, done
    assert len(world.aws.requests) == 2
