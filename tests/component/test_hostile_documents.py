"""`berth pull` of documents that are not what they should be: refused by name, early, and without a trace."""

import json
import re

import pytest
from attack import fresh_image, fresh_layer
from lab.cloud import faults, hostile
from lab.cloud.images import Document, image, index

REQUESTS_MAX = 4
IN_THE_LAYERS = {
    "mismatch: first layer": "digest mismatch",
    "mismatch: last layer": "digest mismatch",
    "mismatch: diff_id wrong": "diff_id is",
    "mismatch: diff_ids swapped": "diff_id is",
    "mismatch: size one more": "Content-Length",
    "mismatch: size one less": "Content-Length",
    "mismatch: size zero": "digest mismatch",
    "json: size 1e3": "Content-Length",
    "json: size -0": "digest mismatch",
}
# A test of its own has it.
ELSEWHERE = {"mismatch: media type gzip, bytes zstd"}
# Words of which the line must have these.
CAUSES = {
    "shape: manifests and layers": "two ways",
    "shape: content type of another kind": "sent as",
    "shape: mediaType of another kind": "mediaType",
    "shape: content type docker, mediaType OCI": "sent as",
    "shape: content type html": "text/html",
    "shape: schema 1": "schema 1",
    "shape: schemaVersion 3": "schemaVersion 3",
    "shape: artifact": "artifact",
    "shape: config of a helm chart": "Helm",
    "shape: encrypted layer": "encrypted",
    "shape: unknown layer type": "squashfs",
    "shape: foreign layer": "foreign",
    "shape: index in an index in an index": "index in an index",
    "shape: nine indexes deep": "index in an index",
    "shape: 10,000 entries": "10000 entries",
    "shape: no matching platform": "it has windows/amd64, linux/s390x",
    "shape: empty index": "no image for",
    "shape: 10,000 layers": "10000 entries",
    "json: nested arrays of 4 MiB": "nested deeper",
    "json: duplicate name": "twice",
    "json: 64 MiB of spaces": "more than 4194304 bytes",
    "json: size -1": "-1 is not between",
    "digest: layer digest md5": '"md5" is not supported',
    "mismatch: manifest in an index": "digest mismatch",
    "mismatch: config": "digest mismatch",
    "mismatch: diff_ids too few": "1 diff_ids for 2 layers",
    "mismatch: diff_ids too many": "3 diff_ids for 2 layers",
    "mismatch: no diff_ids": "0 diff_ids for 2 layers",
    "mismatch: config of 64 MiB": "is not between",
}


@pytest.fixture
def registry(scene):
    with scene.registry() as registry:
        yield registry


def documents_asked(registry, document):
    """Requests for manifests, indexes and configs: all that are not for a layer."""
    layers = {made.digest for d in document.everything()[0] for made in d.layers}
    return [r for r in registry.requests if not any(digest in r.target for digest in layers)]


def printable(line):
    return line.isprintable() and len(line) < 1000


@pytest.mark.parametrize("name", [name for name in hostile.DOCUMENTS if name not in ELSEWHERE])
def test_refused_by_name_before_anything_is_loaded(scene, registry, name):
    document = hostile.DOCUMENTS[name]()
    registry.push(document, "app")
    with scene.untouched():
        pulled = scene.pull(registry.reference("app"), timeout=30)
    if name in IN_THE_LAYERS:
        pulled.failed("berth: pull app: layer ", IN_THE_LAYERS[name])
    else:
        pulled.failed("berth: resolve app: ", CAUSES.get(name, ""))
        assert len(pulled.lines) == 1, pulled
        assert not [
            r for r in registry.blob_requests() if r not in documents_asked(registry, document)
        ]
    assert all(map(printable, pulled.lines)), pulled
    assert len(documents_asked(registry, document)) <= REQUESTS_MAX
    # Nothing is taken that no cap allows: 4 MiB of a manifest, 8 MiB of a config, and what is in the sockets.
    assert all(r.body_sent < 24 << 20 for r in registry.requests)


@pytest.mark.parametrize(
    "name", [n for n in hostile.DOCUMENTS if n.startswith("mismatch: diff_id")]
)
def test_what_is_refused_for_its_diff_ids_is_refused_with_the_layers_here(scene, registry, name):
    """The engine has all layers of the image, and only the config lies."""
    layers = [fresh_layer(1000), fresh_layer(1000)]
    honest = image(layers)
    registry.push(honest, "app", "honest")
    scene.pull(registry.reference("app", "honest")).succeeded()
    lie = json.loads(hostile.DOCUMENTS[name]().blobs[config_of(hostile.DOCUMENTS[name]())])[
        "rootfs"
    ]["diff_ids"]
    true = [made.diff_id for made in hostile._two_layers()]
    ours = [layers[true.index(d)].diff_id if d in true else d for d in lie or []]
    registry.push(image(layers, diff_ids=ours), "app", "lie")
    with scene.untouched():
        pulled = scene.pull(registry.reference("app", "lie")).failed()
    assert "diff_id" in pulled.last_line
    scene.remove(registry.reference("app", "honest"))


def config_of(document):
    return json.loads(document.data)["config"]["digest"]


def test_bytes_that_say_more_than_the_media_type(scene, registry):
    """A layer called gzip that is zstd: as `docker pull`, which goes by the bytes. Docker 20.10 takes no zstd."""
    registry.push(hostile.DOCUMENTS["mismatch: media type gzip, bytes zstd"](), "app")
    with scene.untouched():
        scene.pull(registry.reference("app")).failed("pull app")


def test_a_digest_asked_for_is_the_digest_got(scene, registry):
    asked, other = fresh_image(1000), fresh_image(1000)
    reference = registry.push(asked, "app")
    registry.push(other, "app")
    registry.documents["app"][asked.digest] = other
    with scene.untouched():
        scene.pull(reference).failed("resolve app", "digest mismatch")


def test_a_digest_header_that_lies(scene, registry):
    registry.push(fresh_image(1000), "app")
    registry.on(
        "GET",
        "/manifests/",
        faults.change(lambda _q, r: r.set("Docker-Content-Digest", "sha256:" + "0" * 64)),
    )
    with scene.untouched():
        scene.pull(registry.reference("app")).failed("Docker-Content-Digest")


@pytest.mark.parametrize(
    "entry",
    [
        {"size": 1},
        {"size": 1 << 40},
        {"mediaType": "application/vnd.docker.distribution.manifest.v2+json"},
        {"digest": "sha256:" + "0" * 64},
    ],
    ids=str,
)
def test_an_index_that_lies_about_its_manifests(scene, registry, entry):
    child = fresh_image(1000)

    def change(document):
        document["manifests"][0].update(entry)

    registry.push(index([(child, "linux/amd64")], change=change), "app")
    with scene.untouched():
        scene.pull(registry.reference("app")).failed("resolve app")
    assert len(registry.requests) <= REQUESTS_MAX


def test_words_of_a_stranger_stay_on_one_line(scene, registry):
    """What a registry says ends up on a terminal and in the journal."""
    words = "no\r\n\x1b[2Jberth: all is well\x00\u202e" + "x" * 5000
    body = json.dumps({"errors": [{"code": "DENIED\n<3>forged", "message": words}]})
    registry.on("GET", "/v2/", faults.status(403, body, content_type="application/json"))
    with scene.untouched():
        pulled = scene.pull(registry.reference("app")).failed("resolve app")
    assert len(pulled.lines) == 1 and printable(pulled.last_line), pulled
    assert "\x1b" not in pulled.err and not re.search(r"^<3>", pulled.err, re.M)


@pytest.mark.parametrize("what", ["config", "manifest"])
def test_members_of_a_stranger_stay_on_one_line(scene, registry, what):
    nasty = "\x1b[31m\n" + "y" * 3000
    made = fresh_layer(1000)
    document = (
        image([made], change_manifest=lambda d: {**d, "mediaType": nasty})
        if what == "manifest"
        else image([made], platform={"architecture": nasty, "os": "linux"})
    )
    registry.push(document, "app")
    with scene.untouched():
        pulled = scene.pull(registry.reference("app")).failed("resolve app")
    assert len(pulled.lines) == 1 and printable(pulled.last_line), pulled


def test_the_largest_documents_that_are_taken_fit_into_memory(scene, registry):
    """Everything at its cap at once: 4 MiB of manifest in 512 layers of annotations, 8 MiB of config."""
    made = fresh_layer(1000)
    filler = {f"key-{n}": "v" * 60 for n in range(90)}

    def fat_manifest(document):
        document["layers"] = [{**document["layers"][0], "annotations": filler} for _ in range(512)]
        document["annotations"] = {
            "pad": "x" * ((4 << 20) - 1000 - len(json.dumps(document, separators=(",", ":"))))
        }

    def fat_config(document):
        document["rootfs"]["diff_ids"] = [made.diff_id] * 512
        document["config"]["Labels"] = {"pad": "x" * ((8 << 20) - 64000)}

    document = image([made], change_manifest=fat_manifest, change_config=fat_config)
    assert len(document.data) > 4_000_000
    registry.push(document, "app")
    with scene.untouched():  # 512 layers are more than overlay2 can mount
        scene.pull(registry.reference("app")).failed("app")


def test_nobody_is_asked_to_wait_for_documents_without_end(scene, registry):
    """Chunks for ever; the cap ends it."""
    registry.on("GET", "/manifests/", faults.stream(1 << 40, b"{", declared=False))
    with scene.untouched():
        scene.pull(registry.reference("app"), timeout=30).failed("more than 4194304 bytes")


def test_a_document_of_no_type_at_all(scene, registry):
    document = fresh_image(1000)
    bare = json.loads(document.data)
    del bare["mediaType"]
    registry.push(Document(json.dumps(bare).encode(), "", blobs=document.blobs), "app")
    registry.on("GET", "/manifests/", faults.change(lambda _q, r: r.set("Content-Type", None)))
    with scene.untouched():
        scene.pull(registry.reference("app")).failed("resolve app", "mediaType")
