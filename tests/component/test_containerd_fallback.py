"""When the load store serves an engine whose store is containerd: where a capability is missing, and for nothing else."""

import contextlib
import json
import time

import grpc_tap
import pytest
from containerd_steps import *  # noqa: F403 its fixtures too
from containerd_steps import berth_command, blobs, layer_blobs, must_run, nothing_more_than, pushed, run
from lab import images, oci
from parity import Pair

SNAPSHOTS = "/containerd/daemon/io.containerd.snapshotter.v1.overlayfs/snapshots"
HIDDEN = "mount -t tmpfs tmpfs {data} && exec "
ELSEWHERE = (
    f"for i in $(seq 300); do mkdir -p {{elsewhere}}{SNAPSHOTS}/$i/fs; done && "
    "mount --bind {elsewhere} {data} && exec "
)
READ_ONLY = "mount --bind {data} {data} && mount -o remount,bind,ro {data} && exec "
PERMISSION_DENIED, UNIMPLEMENTED, INTERNAL = 7, 12, 13

# What is missing: what is done before berth begins, its socket of containerd, what it says.
MISSING = {
    "no such socket": ("exec ", "/nowhere.sock", "nobody answers on containerd's socket"),
    "a socket of somebody else": ("exec ", "{docker}", "through Docker, which is slower"),
    "directories that are not seen": (HIDDEN, "{containerd}", "is not seen from here"),
    "directories of another": (ELSEWHERE, "{containerd}", "are not the ones seen from here"),
    "directories that cannot be written": (READ_ONLY, "{containerd}", "cannot be written"),
}

# The calls that come before the first byte, in order.
CALLS = ["Plugins", "List", "Create", "Stat"]
REFUSED = [(call, status) for call in CALLS for status in (UNIMPLEMENTED, PERMISSION_DENIED)]


def served_by_load(engine, reference, result, why):
    code, out, err = result
    assert code == 0, err
    assert (json.loads(out)["store"], json.loads(out)["backfilled_bytes"]) == ("load", 0)
    assert err.count("warning") == 1 and why in err, err
    image = images.get("webapp:v1")
    nothing_more_than(engine, image)
    assert layer_blobs(image) <= blobs(engine)
    must_run(engine, reference)


@pytest.mark.parametrize("what", MISSING)
def test_a_missing_capability_means_load_and_one_warning(ns, registry, engine, what):
    how, socket, why = MISSING[what]
    places = {"data": engine.data_dir, "elsewhere": ns.data_dir / "elsewhere", "docker": engine.socket}
    places["containerd"] = engine.containerd_socket
    reference = pushed("webapp:v1", registry)
    command = berth_command(ns, engine, reference, "--containerd-socket", socket.format(**places))
    line = how.format(**places) + " ".join(f"'{word}'" for word in command)
    served_by_load(engine, reference, run(ns, ["unshare", "--mount", "sh", "-c", line]), why)


def test_no_socket_that_is_known(ns, registry, engine):
    """Not told, not in Docker's answer, and not in the places of the usual Docker, since this one is not."""
    reference = pushed("webapp:v1", registry)
    command = berth_command(ns, engine, reference)
    at = command.index("--containerd-socket")
    result = run(ns, command[:at] + command[at + 2 :])
    if "Containerd" in json.loads(engine.docker("info", "-f", "{{json .}}")):
        assert json.loads(result[1])["store"] == "containerd"
    else:
        served_by_load(engine, reference, result, "the socket of Docker's containerd is not known")


@pytest.mark.parametrize("call, status", REFUSED)
def test_a_call_that_is_not_there_or_not_allowed(ns, registry, engine, call, status):
    socket = ns.run_dir / "containerd.sock"
    between = grpc_tap.before(engine, socket)
    between.refuse_call(CALLS.index(call) + 1, status)
    reference = pushed("webapp:v1", registry)
    result = run(ns, berth_command(ns, engine, reference, "--containerd-socket", socket))
    between.refuse()
    served_by_load(engine, reference, result, call)


def test_a_call_that_fails_is_no_missing_capability(ns, registry, engine):
    socket = ns.run_dir / "containerd.sock"
    between = grpc_tap.before(engine, socket)
    between.refuse_call(CALLS.index("Create") + 1, INTERNAL)
    code, out, err = run(ns, berth_command(ns, engine, pushed("webapp:v1", registry), "--containerd-socket", socket))
    between.refuse()
    assert code == 1 and "Create" in err and "warning" not in err, (out, err)
    nothing_more_than(engine)


def lying_images(directory):
    """Whose configs say another diff_id than the layer has, at each of their layers."""
    layout = oci.Layout(directory)
    below = images.get("webapp:v1")
    layers = []
    for descriptor, diff_id in zip(below.layers, below.diff_ids, strict=True):
        oci.link(below.blob(descriptor["digest"]), layout.path)
        layers.append(oci.Layer(descriptor["digest"], descriptor["size"], diff_id))
    for i, layer in enumerate(layers):
        lying = [*layers[:i], oci.Layer(layer.digest, layer.size, "sha256:" + 64 * "0"), *layers[i + 1 :]]
        layout.tag(f"lying{i}", layout.image(lying, below.config["config"]))
    layout.write()
    return [oci.read(layout.path, f"lying{i}") for i in range(len(layers))]


def test_what_berth_refused_is_handed_to_nobody(ns, registry, engine, tmp_path):
    for image in lying_images(tmp_path):
        reference = images.push_image(image, registry, "team/lying")
        for mode in ("after", "tee"):
            code, out, err = run(ns, berth_command(ns, engine, reference, "--backfill", mode))
            assert code == 1 and "diff_id" in err and "warning" not in err, (out, err)
            nothing_more_than(engine)
            assert blobs(engine) == set()


# Docker's containerd store in forms that berth has no way of its own into: what it says,
# what daemon.json says, containerd's namespace.
OTHER_FORMS = {
    "Docker maps users": ({"userns-remap": "nobody:nogroup"}, "moby-200000.200000"),
    "Docker's snapshotter is native": ({"storage-driver": "native"}, "moby"),
}
SUBORDINATE = dict.fromkeys(("/etc/subuid", "/etc/subgid"), "nobody:200000:65536\n")


@pytest.fixture(scope="module", params=OTHER_FORMS)
def form(request, ns, kind):
    """What berth is to say, and two such engines."""
    config, namespace = OTHER_FORMS[request.param]
    ns.files |= SUBORDINATE
    with contextlib.closing(Pair(ns, kind, config)) as pair:
        for engine in (pair.ours, pair.theirs):
            version = engine.docker("version", "--format", "{{.Server.Version}}")
            # Before 26, mapped users have none of their own.
            engine.containerd_namespace = namespace if int(version.split(".")[0]) >= 26 else "moby"
        yield request.param, pair


@pytest.mark.parametrize("name", ["mixed", "buildx:latest"])
def test_another_form_of_the_store_means_load_and_one_warning(form, name):
    why, pair = form
    reference, began_ns = pair.push(name), time.time_ns()
    pair.clean()
    done = pair.berth.pull(reference, "--json", "--containerd-socket", pair.ours.containerd_socket)
    assert done.code == 0 and json.loads(done.out)["store"] == "load", done
    assert done.err.count("warning") == 1 and why in done.err, done
    assert json.loads(done.out)["id"] == images.get(name).digest
    pair.theirs.docker("pull", "--quiet", reference)
    pair.same(json.loads(done.out)["id"], reference, began_ns)


def test_what_is_refused_is_refused_there_too(form, tmp_path):
    """By berth itself, and by the engine's own pull."""
    _, pair = form
    pair.clean()
    for image in lying_images(tmp_path):
        done = pair.berth.pull(pair.push(image))
        assert done.code == 1 and "diff_id" in done.err, done
        assert image.config_digest not in blobs(pair.ours)
        pair.nothing_left()
    assert pair.pull_both(pair.push("odd:gnu-sparse")) is None
