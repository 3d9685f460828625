"""What the tests of credentials and of the login to ECR share: a small cloud, and one login in it."""

import json

import pytest
from aws_steps import driver, kept, sha256
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
