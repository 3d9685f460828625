"""What the component tests share: the lab on the path, a namespace per test, engines by name."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import lab  # noqa: E402

MUST_RUN = os.environ.get("BERTH_TESTS_MUST_RUN") == "1"


def pytest_addoption(parser):
    parser.addoption(
        "--engines",
        default=os.environ.get("BERTH_ENGINES", "docker20,docker26,docker26c,podman"),
        help=f"engines to test with, or `all`: {','.join(lab.KINDS)}",
    )


def pytest_generate_tests(metafunc):
    if "engine_kind" in metafunc.fixturenames:
        wanted = metafunc.config.getoption("--engines")
        kinds = list(lab.KINDS) if wanted == "all" else wanted.split(",")
        metafunc.parametrize("engine_kind", kinds)


def pytest_collection_modifyitems(items):
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
