"""The containerd store against real engines: snapshots and documents are what the engine's own pull makes of an image."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import lab
import pytest
from lab import images, tree
from lab.paths import wait_for

BUILD = Path(os.environ.get("BERTH_BUILD", Path(__file__).resolve().parents[2]))
DRIVER = BUILD / "tests/component/driver_store"
BERTH = BUILD / "berth"
NO_BOOT = "00000000-0000-0000-0000-000000000000"
IMAGES = ["small", "webapp:v1", "buildx", "buildx:single", "schema2", "schema2:list", "zstd:webapp", "tiny125"]


def pytest_generate_tests(metafunc):
    """Of the engines that are to be tested, those with this store."""
    if "kind" in metafunc.fixturenames:
        wanted = metafunc.config.getoption("--engines")
        kinds = list(lab.KINDS) if wanted == "all" else wanted.split(",")
        metafunc.parametrize("kind", [kind for kind in kinds if kind.endswith("c")])


@pytest.fixture(scope="module", autouse=True)
def built():
    if not DRIVER.exists() or not BERTH.exists():
        pytest.skip(f"{DRIVER} is not built (make)")


@pytest.fixture
def engine(ns, kind):
    with lab.Engine(kind) as started:
        yield started.start(ns)


@pytest.fixture
def other(ns, kind):
    with lab.Engine(kind) as started:
        yield started.start(ns)


@pytest.fixture
def registry(ns):
    with lab.Registry(ns) as registry:
        yield registry


def start(ns, engine, image, name, *options, **popen):
    """The driver, unpacking with tar: for images without whiteouts."""
    command = [DRIVER, f"unix://{engine.socket}", image.layout, image.digest, name]
    command.append(f"containerd={engine.containerd_socket}")
    return ns.run([*command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **popen)


def finish(process):
    out, err = process.communicate(timeout=120)
    assert process.returncode in (0, 1), err
    return json.loads(out.splitlines()[-1])


def drive(ns, engine, image, name, *options):
    return finish(start(ns, engine, image, name, *options))


def load(ns, engine, image, name, *options):
    answer = drive(ns, engine, image, name, *options)
    assert (answer["outcome"], answer["store"]) == ("loaded", "containerd"), answer
    return answer


def berth_pull(ns, engine, reference, *options):
    """What it printed, as JSON, and what it logged."""
    command = [BERTH, "pull", reference, "--json", "--docker-host", f"unix://{engine.socket}"]
    command += ["--containerd-socket", engine.containerd_socket, "--state-dir", ns.run_dir / "state"]
    process = ns.run([*command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return json.loads(out), err


def chain_ids(image):
    chain, chains = "", []
    for diff_id in image.diff_ids:
        chain = lab.oci.sha256(f"{chain} {diff_id}".encode()) if chain else diff_id
        chains.append(chain)
    return chains


def snapshots(engine):
    return {line.split()[0] for line in engine.ctr("snapshots", "ls").splitlines()[1:] if line.strip()}


def leases(engine):
    """Without those of Docker, which forgets one when its client dies in the middle of a load."""
    return {line.split()[0] for line in engine.ctr("leases", "ls").splitlines()[1:] if "berth" in line}


def collect_garbage(engine):
    engine.ctr("leases", "create", "--id", "test-gc")
    engine.ctr("leases", "delete", "--sync", "test-gc")


def nothing_more_than(engine, *used):
    """Neither leases nor snapshots but those that the images need."""
    expected = set().union(*(chain_ids(image) for image in used)) if used else set()
    assert leases(engine) == set()
    wait_for("only the images' snapshots", lambda: snapshots(engine) == expected, 10)
    collect_garbage(engine)
    assert snapshots(engine) == expected


def identity(engine, reference):
    found = engine.inspect(reference)
    names = ["Id", "RepoTags", "RepoDigests", "Architecture", "Os", "Config"]
    return {name: found.get(name) for name in names} | {"layers": found["RootFS"].get("Layers")}


def runs(engine, reference):
    return engine.docker("run", "--rm", reference, "/bin/busybox", "echo", "ran").strip() == "ran"


@pytest.mark.parametrize("name", IMAGES)
def test_an_image_is_what_pull_makes_of_it(ns, registry, engine, other, name):
    image = images.get(name)
    reference = images.push(name, registry, "team/app")
    before = time.time_ns()
    answer, _ = berth_pull(ns, engine, reference, "--backfill", "no")
    assert (answer["store"], answer["layers_fetched"], answer["backfilled_bytes"]) == ("containerd", len(image.layers), 0)
    other.docker("pull", "-q", reference)
    nothing_more_than(engine, image)
    same_files(engine, other, image, reference, before)
    assert runs(engine, reference)
    assert engine.inspect(reference)["Id"] == other.inspect(reference)["Id"] == image.digest
    answer, _ = berth_pull(ns, engine, reference)
    assert answer["present"] and answer["backfilled_bytes"] == image.size_bytes
    assert identity(engine, reference) == identity(other, reference)
    nothing_more_than(engine, image)


def same_files(engine, other, image, reference, before):
    for ours, theirs in zip(engine.layer_dirs_of(image), other.layer_dirs(reference), strict=True):
        assert tree.differences(tree.walk(ours), tree.walk(theirs), before) == [], image


@pytest.mark.parametrize("name", [name for name in images.names() if name.startswith("odd:")])
def test_odd_images_are_what_pull_makes_of_them(ns, registry, engine, other, name):
    image = images.get(name)
    reference = images.push(name, registry, "team/odd")
    before = time.time_ns()
    try:
        other.docker("pull", "-q", reference)
    except lab.LabError:
        command = [BERTH, "pull", reference, "--docker-host", f"unix://{engine.socket}", "--containerd-socket"]
        process = ns.run([*command, engine.containerd_socket], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 1, (out, err)
        nothing_more_than(engine)
        return
    answer, _ = berth_pull(ns, engine, reference)
    assert answer["store"] == "containerd"
    same_files(engine, other, image, reference, before)
    assert identity(engine, reference) == identity(other, reference)
    nothing_more_than(engine, image)


def test_without_blobs_it_runs_and_with_them_it_can_be_saved_and_pushed(ns, registry, engine):
    image = images.get("webapp:v1")
    reference = images.push("webapp:v1", registry, "team/app")
    copy = reference.replace("team/app", "other/app")
    load(ns, engine, image, reference)
    answer, _ = berth_pull(ns, engine, reference, "--backfill", "no")
    assert answer["backfilled_bytes"] == 0
    assert runs(engine, reference)
    answer, _ = berth_pull(ns, engine, reference)
    assert answer["backfilled_bytes"] == image.size_bytes
    answer, _ = berth_pull(ns, engine, reference)
    assert answer["backfilled_bytes"] == 0
    assert reference.rpartition(":")[0] in engine.docker("images")
    engine.docker("save", "-o", ns.run_dir / "saved.tar", reference)
    engine.docker("tag", reference, copy)
    engine.docker("push", copy)
    engine.docker("rmi", copy, reference)
    nothing_more_than(engine)
    engine.docker("load", "-i", ns.run_dir / "saved.tar")
    assert runs(engine, reference)


@pytest.mark.parametrize("backfilled", [False, True])
def test_pull_afterwards_is_at_peace_with_it(ns, registry, engine, backfilled):
    image = images.get("webapp:v1")
    reference = images.push("webapp:v1", registry, "team/app")
    load(ns, engine, image, reference)
    if backfilled:
        berth_pull(ns, engine, reference)
    assert "up to date" in engine.docker("pull", reference)
    assert runs(engine, reference)
    nothing_more_than(engine, image)
    engine.docker("rmi", reference)
    nothing_more_than(engine)
    engine.docker("pull", reference)
    assert runs(engine, reference)


def test_an_image_can_be_built_upon_it(ns, registry, engine):
    reference = images.push("webapp:v1", registry, "team/app")
    load(ns, engine, images.get("webapp:v1"), reference)
    berth_pull(ns, engine, reference)
    context = ns.run_dir / "context"
    context.mkdir()
    (context / "Dockerfile").write_text(f'FROM {reference}\nRUN ["/bin/busybox", "touch", "/built"]\n')
    engine.docker("build", "-q", "-t", "built:1", context)
    assert engine.docker("run", "--rm", "built:1", "/bin/busybox", "ls", "/built").strip() == "/built"


def test_prune_takes_it_all(ns, engine):
    load(ns, engine, images.get("webapp:v1"), "127.0.0.1:5/app:v1")
    load(ns, engine, images.get("webapp:v2"), "127.0.0.1:5/app:v2")
    engine.docker("rmi", "127.0.0.1:5/app:v1")
    nothing_more_than(engine, images.get("webapp:v2"))
    assert runs(engine, "127.0.0.1:5/app:v2")
    engine.docker("rmi", "127.0.0.1:5/app:v2")
    nothing_more_than(engine)


def test_by_digest_only(ns, registry, engine, other):
    image = images.get("webapp:v1")
    tagged = images.push("webapp:v1", registry, "team/app")
    reference = f"{tagged.rpartition(':')[0]}@{image.digest}"
    load(ns, engine, image, reference)
    berth_pull(ns, engine, reference)
    other.docker("pull", "-q", reference)
    assert identity(engine, reference) == identity(other, reference)
    assert runs(engine, reference)


def test_only_the_layers_that_are_lacking(ns, engine):
    old, new = images.get("webapp:v1"), images.get("webapp:v2")
    load(ns, engine, old, "127.0.0.1:5/app:v1")
    answer = load(ns, engine, new, "127.0.0.1:5/app:v2")
    assert answer["fed"] == new.layers[-1]["size"]
    assert answer["skipped"] == [layer["digest"] for layer in new.layers[:-1]]
    nothing_more_than(engine, old, new)
    assert load(ns, engine, new, "127.0.0.1:5/app:again")["fed"] == 0
    engine.docker("rmi", "127.0.0.1:5/app:v1", "127.0.0.1:5/app:v2")
    nothing_more_than(engine, new)
    assert runs(engine, "127.0.0.1:5/app:again")


def test_after_restarts(ns, engine):
    load(ns, engine, images.get("webapp:v1"), "127.0.0.1:5/app:v1")
    engine.shut_down()
    engine.start()
    assert runs(engine, "127.0.0.1:5/app:v1")
    engine.kill()
    engine.start()
    nothing_more_than(engine, images.get("webapp:v1"))
    assert runs(engine, "127.0.0.1:5/app:v1")


@pytest.mark.parametrize("at", range(4))
def test_an_abandoned_session_leaves_nothing(ns, engine, at):
    image = images.get("webapp:v1")
    answer = drive(ns, engine, image, "127.0.0.1:5/app:v1", f"cut={at}")
    assert answer["outcome"] == "cut"
    nothing_more_than(engine)


def test_a_killed_session_is_taken_up(ns, engine):
    image = images.get("tiny125")
    process = start(ns, engine, image, "127.0.0.1:5/app:v1", "slow")
    assert process.stdout.readline() == "half\n"
    process.kill()
    process.communicate()
    assert len(leases(engine)) == 1
    collect_garbage(engine)
    half = len(image.layers) // 2
    assert len(snapshots(engine)) == half + 1  # and the staging directory's
    answer = load(ns, engine, image, "127.0.0.1:5/app:v1")
    assert answer["skipped"] == [layer["digest"] for layer in image.layers[:half]]
    nothing_more_than(engine, image)


def test_killed_anywhere(ns, engine):
    image = images.get("webapp:v1")
    survived = 0
    for step in range(40):
        process = start(ns, engine, image, f"127.0.0.1:5/app:{step}")
        time.sleep(step * 0.005)
        survived += process.poll() is not None
        process.send_signal(signal.SIGKILL)
        process.communicate()
    load(ns, engine, image, "127.0.0.1:5/app:last")
    nothing_more_than(engine, image)
    assert runs(engine, "127.0.0.1:5/app:last")
    tags = engine.docker("images", "-q")
    print(f"{survived} of 40 were faster than their killer; {tags.split()}")


def test_berth_killed_anywhere(ns, registry, engine):
    """With what workers leave behind."""
    image = images.get("quickstart:v1")
    reference = images.push("quickstart:v1", registry, "team/app")
    command = [BERTH, "pull", reference, "-q", "--docker-host", f"unix://{engine.socket}"]
    command += ["--containerd-socket", engine.containerd_socket, "--state-dir", ns.run_dir / "state"]
    began = time.monotonic()
    berth_pull(ns, engine, reference)
    whole = time.monotonic() - began
    ended = []
    for step in range(12):
        engine.docker("image", "prune", "-af")
        process = ns.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        time.sleep(whole * step / 10)
        process.kill()
        process.communicate()
        ended.append(process.returncode)
    answer, _ = berth_pull(ns, engine, reference)
    nothing_more_than(engine, image)
    assert engine.docker("run", "--rm", reference, "python3", "-c", "print(1)").strip() == "1"
    print(ended, answer)


def test_two_at_once(ns, engine):
    image = images.get("tiny125")
    both = [start(ns, engine, image, f"127.0.0.1:5/app:{i}") for i in range(2)]
    for process in both:
        assert finish(process)["outcome"] == "loaded"
    nothing_more_than(engine, image)
    assert runs(engine, "127.0.0.1:5/app:0")


def test_leases_of_others(ns, engine):
    """Those of another boot go, those of processes that cannot be judged stay until they expire."""
    ours = f"io.berth.holder={NO_BOOT}.1.1.1"
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    engine.ctr("leases", "create", "--id", "berth-otherboot", ours)
    engine.ctr("leases", "create", "--id", "berth-otherspace", f"io.berth.holder={boot}.1.1.1")
    engine.ctr("leases", "create", "--id", "berth-nobody")
    engine.ctr("leases", "create", "--id", "notberths", ours)
    load(ns, engine, images.get("webapp:v1"), "127.0.0.1:5/app:v1")
    assert leases(engine) == {"berth-otherspace", "berth-nobody", "notberths"}


def test_what_the_dead_left_goes_also_when_there_is_nothing_to_pull(ns, registry, engine):
    image = images.get("webapp:v1")
    reference = images.push("webapp:v1", registry, "team/app")
    berth_pull(ns, engine, reference)
    engine.ctr("leases", "create", "--id", "berth-otherboot", f"io.berth.holder={NO_BOOT}.1.1.1")
    berth_pull(ns, engine, reference)
    nothing_more_than(engine, image)


def test_a_layer_that_vanished_is_not_found(ns, engine):
    image = images.get("webapp:v1")
    answer = drive(ns, engine, image, "127.0.0.1:5/app:v1", "claim=1")
    assert (answer["outcome"], answer["kind"]) == ("failed", "not-found")
    load(ns, engine, image, "127.0.0.1:5/app:v1", "whole")


HIDDEN = "mount -t tmpfs tmpfs {0} && exec "
SNAPSHOTS = "/containerd/daemon/io.containerd.snapshotter.v1.overlayfs/snapshots"
ELSEWHERE = f"mkdir -p {{1}}{SNAPSHOTS}/1/fs && mount --bind {{1}} {{0}} && exec "


@pytest.mark.parametrize(
    "how, why", [(HIDDEN, "is not seen from here"), (ELSEWHERE, "are not the ones seen from here")]
)
def test_directories_that_berth_does_not_see_mean_load(ns, registry, engine, how, why):
    reference = images.push("webapp:v1", registry, "team/app")
    command = how.format(engine.data_dir, ns.data_dir / "elsewhere")
    command += f"{BERTH} pull {reference} --docker-host unix://{engine.socket}"
    command += f" --containerd-socket {engine.containerd_socket} --json --state-dir {ns.run_dir / 'state'}"
    process = ns.run(
        ["unshare", "--mount", "sh", "-c", command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert json.loads(out)["store"] == "load"
    assert err.count(why) == 1
    nothing_more_than(engine, images.get("webapp:v1"))
    assert runs(engine, reference)


@pytest.mark.parametrize("backfill", ["after", "no"])
def test_up_completes_the_image_once_the_app_is_ready(ns, registry, engine, backfill):
    image = images.get("quickstart:v1")
    reference = images.push("quickstart:v1", registry, "team/app")
    command = [BERTH, "up", reference, "--name", "app", "-p", "8099:3000", "--backfill", backfill, "--health-listen"]
    command += ["127.0.0.1:8642", "--docker-host", f"unix://{engine.socket}", "--state-dir", ns.run_dir / "state"]
    command += ["--containerd-socket", engine.containerd_socket, "--run-dir", ns.run_dir / "berth"]
    with open(ns.run_dir / "up.log", "w") as log:
        process = ns.run(command, stdout=log, stderr=log)
    said = (ns.run_dir / "up.log").read_text
    wait_for("ready", lambda: "app is ready" in said(), 60)
    assert "(containerd)" in said()
    if backfill == "after":
        wait_for("backfilled", lambda: "backfilled" in said(), 60)
        assert said().index("is ready") < said().index("backfilled")
        engine.docker("save", "-o", ns.run_dir / "saved.tar", reference)
    else:
        time.sleep(2)
        assert "backfilled" not in said()
    assert process.poll() is None
    process.terminate()
    assert process.wait(30) == 0
    nothing_more_than_container(engine, image)


def nothing_more_than_container(engine, image):
    engine.docker("rm", "-f", "app")
    nothing_more_than(engine, image)
