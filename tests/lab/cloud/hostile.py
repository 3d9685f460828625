"""Hostile documents, one row a case: tables to parametrise a test with. (Faults on the wire:
hostile_wire.py.)

    @pytest.mark.parametrize("make", hostile.DOCUMENTS.values(), ids=hostile.DOCUMENTS)
    def test_a_hostile_document_is_refused(registry, make):
        registry.push(make(), "app")

Each value is a function without arguments that gives a Document to push. All must end in a named
failure, with at most four requests for documents and nothing unverified started.
"""

import json

from .images import DOCKER_MANIFEST, OCI_CONFIG, OCI_INDEX, OCI_MANIFEST, Document, image, index
from .layers import Layer, compress, layer, sha256, tar

HEX = "0" * 64


def _two_layers():
    return [layer([("one", b"1")]), layer([("two", b"2")])]


def with_manifest(change):
    """A function that gives an image whose manifest the hook has changed."""
    return lambda: image(_two_layers(), change_manifest=change)


def with_text(old, new):
    """…whose manifest's bytes have `old` (once) replaced: for what a dict cannot hold."""

    def change(document):
        data = json.dumps(document, separators=(",", ":")).encode()
        assert old in data, old
        return data.replace(old, new, 1)

    return with_manifest(change)


def _set(path, value):
    """A hook that sets document[path…] = value."""

    def change(document):
        where = document
        for key in path[:-1]:
            where = where[key]
        where[path[-1]] = value

    return change


def nested(depth, of):
    for _ in range(depth):
        of = index([(of, "linux/amd64")])
    return of


def _many_entries(count):
    one = image(_two_layers())
    return index(
        [(one, "linux/amd64")],
        change=lambda d: {
            **d,
            "manifests": [
                {**one.descriptor("linux/arm64"), "digest": sha256(str(i).encode())}
                for i in range(count)
            ],
        },
    )


SHAPE = {
    "manifests and layers": with_manifest(
        lambda d: {
            **d,
            "manifests": [{"mediaType": OCI_MANIFEST, "digest": f"sha256:{HEX}", "size": 2}],
        }
    ),
    "content type of another kind": lambda: image(_two_layers(), media_type=OCI_INDEX),
    "mediaType of another kind": with_manifest(_set(["mediaType"], OCI_INDEX)),
    "content type docker, mediaType OCI": lambda: image(_two_layers(), media_type=DOCKER_MANIFEST),
    "content type html": lambda: image(_two_layers(), media_type="text/html"),
    "schema 1": lambda: Document(
        json.dumps(
            {
                "schemaVersion": 1,
                "name": "app",
                "tag": "latest",
                "architecture": "amd64",
                "fsLayers": [{"blobSum": f"sha256:{HEX}"}],
                "history": [{"v1Compatibility": "{}"}],
                "signatures": [],
            }
        ).encode(),
        "application/vnd.docker.distribution.manifest.v1+prettyjws",
    ),
    "schemaVersion 3": with_manifest(_set(["schemaVersion"], 3)),
    "artifact": with_manifest(
        lambda d: {
            **d,
            "artifactType": "application/x",
            "config": {**d["config"], "mediaType": "application/vnd.oci.empty.v1+json"},
        }
    ),
    "config of a helm chart": with_manifest(
        _set(["config", "mediaType"], "application/vnd.cncf.helm.config.v1+json")
    ),
    "encrypted layer": with_manifest(
        _set(["layers", 1, "mediaType"], "application/vnd.oci.image.layer.v1.tar+gzip+encrypted")
    ),
    "unknown layer type": with_manifest(_set(["layers", 1, "mediaType"], "application/x-squashfs")),
    "foreign layer": with_manifest(
        _set(
            ["layers", 1, "mediaType"], "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
        )
    ),
    "index in an index in an index": lambda: nested(3, image(_two_layers())),
    "nine indexes deep": lambda: nested(9, image(_two_layers())),
    "10,000 entries": lambda: _many_entries(10000),
    "no matching platform": lambda: index(
        [
            (image(platform="windows/amd64"), "windows/amd64"),
            (image(platform="linux/s390x"), "linux/s390x"),
        ]
    ),
    "empty index": lambda: index([]),
    "no layers member": with_manifest(lambda d: {k: v for k, v in d.items() if k != "layers"}),
    "no config": with_manifest(lambda d: {k: v for k, v in d.items() if k != "config"}),
    "layers is an object": with_manifest(_set(["layers"], {})),
    "config is a list": with_manifest(_set(["config"], [])),
    "layer is a string": with_manifest(_set(["layers", 0], "sha256:x")),
    "10,000 layers": with_manifest(lambda d: {**d, "layers": d["layers"][:1] * 10000}),
}

JSON = {
    "nested arrays of 4 MiB": lambda: Document(b"[" * (4 << 20), OCI_MANIFEST),
    "depth 1,000": with_text(
        b'"schemaVersion"', b'"x":' + b'{"a":' * 1000 + b"1" + b"}" * 1000 + b',"schemaVersion"'
    ),
    "duplicate name": with_text(
        b'"schemaVersion":2', b'"schemaVersion":2,"layers":[],"schemaVersion":2'
    ),
    "duplicate name, escaped": with_text(
        b'"schemaVersion":2', b'"schemaVersion":2,"l\\u0061yers":[]'
    ),
    "trailing bytes": with_text(b'{"schemaVersion"', b'{} {"schemaVersion"'),
    "second document": with_manifest(lambda d: json.dumps(d).encode() + b"{}"),
    "trailing NUL": with_manifest(lambda d: json.dumps(d).encode() + b"\0"),
    "bad UTF-8": with_text(b'"schemaVersion"', b'"annotations":{"a":"\xff\xfe"},"schemaVersion"'),
    "overlong UTF-8": with_text(
        b'"schemaVersion"', b'"annotations":{"a":"\xc0\xaf"},"schemaVersion"'
    ),
    "lone surrogate": with_text(
        b'"schemaVersion"', b'"annotations":{"a":"\\ud800"},"schemaVersion"'
    ),
    "NUL in a digest": with_text(b"sha256:", b"sha256:\\u0000"),
    "byte order mark": with_manifest(lambda d: b"\xef\xbb\xbf" + json.dumps(d).encode()),
    "UTF-16": with_manifest(lambda d: json.dumps(d).encode("utf-16")),
    "truncated": with_manifest(lambda d: json.dumps(d).encode()[:-5]),
    "empty": lambda: Document(b"", OCI_MANIFEST),
    "null": lambda: Document(b"null", OCI_MANIFEST),
    "a number": lambda: Document(b"2", OCI_MANIFEST),
    "comment": with_text(b"{", b"{/* hello */"),
    "64 MiB of spaces": with_manifest(lambda d: json.dumps(d).encode() + b" " * (64 << 20)),
    **{
        f"size {text}": with_manifest(
            lambda d, text=text: json.dumps(d)
            .replace(f'"size": {d["layers"][0]["size"]}', f'"size": {text}', 1)
            .encode()
        )
        for text in (
            "-1",
            "1.5",
            "1e400",
            "9007199254740993",
            '"12"',
            "null",
            "1e3",
            "-0",
            "01",
            "NaN",
            "99999999999999999999",
        )
    },
}

DIGESTS = {
    **{
        f"layer digest {name}": with_manifest(_set(["layers", 0, "digest"], value))
        for name, value in {
            "with dots": "sha256:../../../../etc/passwd",
            "upper case": "sha256:" + "A" * 64,
            "63 hex": "sha256:" + "0" * 63,
            "65 hex": "sha256:" + "0" * 65,
            "not hex": "sha256:" + "g" * 64,
            "of an unknown algorithm": "blake3:" + "0" * 64,
            "md5": "md5:" + "0" * 32,
            "without algorithm": "0" * 64,
            "empty": "",
            "with query": f"sha256:{HEX}?x=1",
            "with newline": f"sha256:{HEX}\n",
            "a number": 5,
        }.items()
    },
    "config digest with dots": with_manifest(_set(["config", "digest"], "sha256:../../x")),
    "child digest with dots": lambda: index(
        [(image(_two_layers()), "linux/amd64")],
        change=_set(["manifests", 0, "digest"], "sha256:../../x"),
    ),
}


def _changed_blob(which):
    """An image one of whose blobs has a bit flipped, under the true digest."""
    document = image(_two_layers())
    parsed = json.loads(document.data)
    digest = parsed["config"]["digest"] if which == "config" else parsed["layers"][which]["digest"]
    data = bytearray(document.blobs[digest])
    data[len(data) // 2] ^= 1
    document.blobs[digest] = bytes(data)
    return document


def _wrong_child():
    """An index whose entry has another manifest's bytes behind the digest."""
    other = image([layer([("other", b"x")])])
    asked = image(_two_layers())
    result = index([(asked, "linux/amd64")])
    other.digest = asked.digest
    return Document(result.data, result.media_type, documents=[other])


def _diff_ids(change):
    layers = _two_layers()
    return image(layers, diff_ids=change([l.diff_id for l in layers]))


def _wrong_size(index_, delta):
    def change(document):
        document["layers"][index_]["size"] += delta

    return image(_two_layers(), change_manifest=change)


MISMATCH = {
    "manifest in an index": _wrong_child,
    "config": lambda: _changed_blob("config"),
    "first layer": lambda: _changed_blob(0),
    "last layer": lambda: _changed_blob(1),
    "diff_id wrong": lambda: _diff_ids(lambda ids: [f"sha256:{HEX}", ids[1]]),
    "diff_ids swapped": lambda: _diff_ids(lambda ids: ids[::-1]),
    "diff_ids too few": lambda: _diff_ids(lambda ids: ids[:1]),
    "diff_ids too many": lambda: _diff_ids(lambda ids: ids + ids[:1]),
    "no diff_ids": lambda: _diff_ids(lambda ids: []),
    "diff_ids null": lambda: image(_two_layers(), change_config=_set(["rootfs", "diff_ids"], None)),
    "size one more": lambda: _wrong_size(1, 1),
    "size one less": lambda: _wrong_size(1, -1),
    "size huge": lambda: _wrong_size(1, 1 << 50),
    "size zero": lambda: image(
        [Layer(compress(tar([("a", b"1")]), "gzip"), sha256(tar([("a", b"1")])), size=0)]
    ),
    "media type gzip, bytes zstd": lambda: image(
        [Layer(compress(tar([("a", b"1")]), "zstd"), sha256(tar([("a", b"1")])), "gzip")]
    ),
    "config is no JSON": lambda: image(_two_layers(), change_config=lambda d: b"hello"),
    "config of 64 MiB": lambda: image(
        _two_layers(), change_config=lambda d: json.dumps(d).encode() + b" " * (64 << 20)
    ),
    "config media type": with_manifest(_set(["config", "mediaType"], OCI_CONFIG + "x")),
}

DOCUMENTS = {
    **{f"shape: {k}": v for k, v in SHAPE.items()},
    **{f"json: {k}": v for k, v in JSON.items()},
    **{f"digest: {k}": v for k, v in DIGESTS.items()},
    **{f"mismatch: {k}": v for k, v in MISMATCH.items()},
}
