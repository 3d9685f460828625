"""What the component tests share: the lab on the path, a namespace per test, engines by name."""

import contextlib
import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

pytest.register_assert_rewrite(
    "containerd_steps", "ecr_login_steps", "hostile_layers_steps", "killing", "parity", "registries_steps"
)

import lab  # noqa: E402

MUST_RUN = os.environ.get("BERTH_TESTS_MUST_RUN") == "1"


def pytest_addoption(parser):
    parser.addoption(
        "--engines",
        default=os.environ.get("BERTH_ENGINES", "docker20,docker26,docker26c,podman"),
        help=f"engines to test with, or `all`: {','.join(lab.KINDS)}",
    )


def wanted_kinds(config):
    """The very strings of lab.KINDS: pytest keeps a fixture while its parameter *is* the one before."""
    wanted = config.getoption("--engines")
    named = set(wanted.split(",")) - {"all"}
    if unknown := named - set(lab.KINDS):
        raise pytest.UsageError(f"--engines: no such engine: {','.join(sorted(unknown))}")
    return [kind for kind in lab.KINDS if kind in named or wanted == "all"]


def pytest_generate_tests(metafunc):
    if "engine_kind" in metafunc.fixturenames:
        # The widest scope, so that a module may share an engine between its tests.
        metafunc.parametrize("engine_kind", wanted_kinds(metafunc.config), scope="session")


def pytest_configure(config):
    config.addinivalue_line("markers", "thorough: runs with --engines all only")


def pytest_collection_modifyitems(config, items):
    if config.getoption("--engines") != "all":
        thorough = [item for item in items if item.get_closest_marker("thorough")]
        config.hook.pytest_deselected(items=thorough)
        items[:] = [item for item in items if item not in thorough]
    if os.geteuid() != 0:
        for item in items:
            item.add_marker(pytest.mark.skip(reason="needs root, for namespaces and engines"))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """On CI nobody reads the list of skipped tests: there a skip is a failure."""
    outcome = yield
    report = outcome.get_result()
    if MUST_RUN and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, but BERTH_TESTS_MUST_RUN=1: {report.longrepr}"


@pytest.fixture
def ns():
    with lab.Namespace() as namespace:
        yield namespace


@pytest.fixture
def engine(ns, engine_kind):
    """A fresh engine of each kind in turn, started in ns."""
    with lab.Engine(engine_kind) as started:
        yield started.start(ns)


@pytest.fixture(scope="module")
def scene():
    """berth watched from outside, and an engine that tells whether it changed; kept for a module."""
    from attack import Scene

    with Scene() as scene:
        yield scene


@pytest.fixture
def world(scene):
    """A cloud in the scene's network, whose names and trust go with it."""
    from lab.cloud.world import World

    with World(scene.ns) as world:
        yield world
    scene.ns.hosts.clear()
    scene.ns.ca = None


@pytest.fixture(scope="module")
def pair_of_module(engine_kind):
    from parity import Pair

    with lab.Namespace() as namespace:
        with contextlib.closing(Pair(namespace, engine_kind)) as pair:
            yield pair


@pytest.fixture
def pair(pair_of_module):
    """Two engines of a kind, shared by the tests of a module, and empty."""
    pair_of_module.clean()
    return pair_of_module
