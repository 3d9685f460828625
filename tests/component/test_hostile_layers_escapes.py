"""Layers that would write outside of themselves, by names, links, devices and attributes: the host stays as it was."""

import json

import pytest
from hostile_layers_steps import MARK, VICTIM, agree, of
from hostile_layers_steps import pytest_generate_tests, scene, victim  # noqa: F401 (fixtures)
from lab.cloud import layers
from lab.cloud.images import image
from lab.cloud.layers import device, directory, fifo, file, hardlink, symlink, xattr

ESCAPES = {
    "dots": of((f"../../../../../../../../tmp/{MARK}", b"x")),
    "dots inside": of(("a/b", b"1"), (f"a/../../../../../../../tmp/{MARK}", b"x")),
    "dots alone": of(("..", directory()), ("../..", directory(0o700))),
    "dots to a directory": of((f"../../../../../../tmp/{MARK}", directory())),
    "absolute": of((f"/tmp/{MARK}", b"x")),
    "absolute, over a file": of((VICTIM, b"owned")),
    "double slash": of((f"//tmp//{MARK}", b"x")),
    "symlink to /tmp, then through it": of(("link", symlink("/tmp")), (f"link/{MARK}", b"x")),
    "symlink with dots, then through it": of(
        ("link", symlink("../../../../../../../../tmp")), (f"link/{MARK}", b"x")
    ),
    "symlink to a symlink, then through it": of(
        ("a", symlink("/")), ("b", symlink("a/tmp")), (f"b/{MARK}", b"x")
    ),
    "symlink to a file, then over it": of(("victim", symlink(VICTIM)), ("victim", b"owned")),
    "symlink to a file, then a hard link to it": of(
        ("s", symlink(VICTIM)), ("h", hardlink("s")), ("h", b"owned")
    ),
    "symlink in place of a directory": of(
        ("dir", directory()), ("dir", symlink("/tmp")), (f"dir/{MARK}", b"x")
    ),
    "directory mode through a symlink": of(("link", symlink("/tmp")), ("link", directory(0o000))),
    "hard link to a host file": of(("h", hardlink(VICTIM)), ("h", b"owned")),
    "hard link with dots": of(("h", hardlink("../../../../../../../.." + VICTIM))),
    "hard link through a symlink": of(("l", symlink("/tmp")), ("h", hardlink("l/berth-victim"))),
    "hard link to itself": of(("h", hardlink("h"))),
    "whiteout of dots": of(("a/b", b"1"), ("a/.wh...", b"")),
    "whiteout through a symlink": of(("l", symlink("/tmp")), ("l/.wh.berth-victim", b"")),
    "opaque through a symlink": of(("l", symlink("/tmp")), ("l/.wh..wh..opq", b"")),
    "whiteout of nothing": of((".wh.", b"")),
    "character device": of(("null", device(1, 3, mode=0o666))),
    "block device": of(("disk", device(8, 0, block=True, mode=0o666))),
    "device of impossible numbers": of(("odd", device(0o7777777, 0o7777777))),
    "device 0:0": of(("gone", device(0, 0))),
    "fifo": of(("pipe", fifo(mode=0o600))),
    "set-uid and world-writable": of(("su", file(b"x", mode=0o6777))),
    "trusted attribute": of(("d", directory(pax={xattr("trusted.overlay.opaque"): "y"}))),
    "redirect attribute": of(("d", directory(pax={xattr("trusted.overlay.redirect"): "/tmp"}))),
    "attribute of 70,000 bytes": of(("f", file(b"x", pax={xattr("user.big"): "x" * 70000}))),
    "owner of 2^31": of(("f", file(b"x", pax={"uid": "2147483648", "gid": "4294967295"}))),
    "owner of 2^40": of(("f", file(b"x", pax={"uid": "1099511627776"}))),
    "time before time": of(("f", file(b"x", pax={"mtime": "-1e18"}))),
    "empty name": of(("", b"x")),
    "NUL in a pax name": of(("f", file(b"x", pax={"path": f"f\0/tmp/{MARK}"}))),
    "path of 5,000 bytes": of(("d/" * 2500 + "f", b"x")),
    "name of 300 bytes": of(("n" * 300, b"x")),
    "link target of 5,000 bytes": of(("l", symlink("x/" * 2500))),
}


@pytest.mark.parametrize("name", ESCAPES)
def test_out_of_the_layer(scene, victim, name):
    agree(
        scene,
        image([layers.layer([("base", b"1")]), ESCAPES[name]()], config={"Labels": {"row": name}}),
        name,
    )


@pytest.mark.parametrize("name", ["symlink to /tmp", "symlink to dots", "symlink to a file"])
def test_through_what_a_lower_layer_has_left(scene, victim, name):
    lower, upper = {
        "symlink to /tmp": ([("link", symlink("/tmp"))], [(f"link/{MARK}", b"x")]),
        "symlink to dots": ([("link", symlink("../../../../../../tmp"))], [(f"link/{MARK}", b"x")]),
        "symlink to a file": ([("file", symlink(VICTIM))], [("file", b"owned")]),
    }[name]
    agree(scene, image([layers.layer(lower), layers.layer(upper)]), name)


def test_config_of_a_stranger_is_json_and_no_more(scene, victim):
    """Members that Docker does not know, or that name host paths, make nothing happen at a pull."""
    document = image(
        [layers.layer([("f", b"x")])],
        config={
            "Volumes": {VICTIM: {}, "/../../tmp/" + MARK: {}},
            "Cmd": ["rm", "-rf", "/"],
            "User": "0:0",
        },
        change_config=lambda d: {
            **d,
            "container": "x" * 64,
            "HostConfig": {"Binds": ["/:/host"], "Privileged": True},
        },
    )
    pulled, said = agree(scene, document)
    assert said is None
    assert json.loads(document.data)["config"]
