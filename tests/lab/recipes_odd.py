"""Layers that are odd but valid, one class a tag, on busybox: what to do with each is what the engines do.
"""

import gzip
import subprocess
import tarfile
import zlib

from . import oci, paths
from .oci import Tar

PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# VFS_CAP_REVISION_2, effective, permitted = CAP_NET_BIND_SERVICE (capabilities(7), vfs_cap_data).
FILE_CAPABILITY = bytes.fromhex("0100000200040000000000000000000000000000")


def whiteouts():
    """Of files, directories, links, what is not there, and opaque, before and after new content."""
    lower = Tar().dir("d").dir("d/sub")
    for name in ("d/keep", "d/gone", "d/sub/x", "d/sub/y", "d/.hidden"):
        lower.file(name, name)
    lower.symlink("d/link", "keep").symlink("d/dangling", "nowhere")
    for top in ("opaque1", "opaque2", "opaque3", "emptied", "replaced", "recreated"):
        lower.dir(top, mode=0o700).file(f"{top}/old", "old").dir(f"{top}/deep")
        lower.file(f"{top}/deep/old", "old")
    upper = Tar()
    upper.whiteout("d/gone").whiteout("d/link").whiteout("d/dangling").whiteout("d/sub")
    upper.whiteout("d/.hidden").whiteout("d/never-was")
    upper.dir("opaque1").opaque("opaque1").file("opaque1/new", "new")
    upper.dir("opaque2").file("opaque2/new", "new").opaque("opaque2")
    upper.opaque("opaque3").dir("opaque3/deep").file("opaque3/deep/new", "new")
    upper.dir("emptied").opaque("emptied")
    upper.whiteout("replaced").file("replaced2", "a file now")
    third = Tar().whiteout("recreated")
    fourth = Tar().dir("recreated", mode=0o711).file("recreated/new", "new")
    fifth = Tar().dir("d/sub").file("d/sub/again", "again")
    return [lower, upper, third, fourth, fifth]


def links():
    """Hard links across directories and to links, through linked parents, later writes below them."""
    first = Tar().dir("a").dir("b").dir("b/c").dir("usr/lib")
    first.file("a/one", "linked\n", mode=0o640, uid=7, gid=8)
    first.link("b/c/two", "a/one").link("three", "a/one").link("./b/four", "./a/one")
    first.symlink("a/sym", "one").link("b/sym-hard", "a/sym")
    first.symlink("lib", "usr/lib").symlink("lib-absolute", "/usr/lib").symlink("up", "../../usr/lib")
    first.file("lib/through", "written through lib\n")
    second = Tar().file("lib/later", "lib still leads to usr/lib\n")
    second.file("lib-absolute/later2", "inside the image\n").file("up/later3", "not above the root\n")
    second.link("usr/lib/hard", "lib/later").file("b/c/two", "a copy of its own now\n")
    return [first, second]


def sparse():
    """PAX sparse 1.0, as GNU tar writes today."""
    return [_gnu_tar("--format=posix", "--sparse", "--sparse-version=1.0")]


def xattrs():
    """User attributes and a file capability; on directories too."""
    tar = Tar()
    value = FILE_CAPABILITY.decode("latin-1")
    tar.file("bind", "#!/bin/sh\n", mode=0o755, pax={"SCHILY.xattr.security.capability": value})
    tar.file("user", "x", pax={"SCHILY.xattr.user.lab": "value", "SCHILY.xattr.user.empty2": "2"})
    tar.dir("dir", pax={"SCHILY.xattr.user.on-dir": "yes"})
    tar.file("setuid", "x", mode=0o6755).dir("setgid", mode=0o2775).dir("sticky", mode=0o1777)
    return [tar]


def names():
    """Not UTF-8, very long, with spaces, newlines, backslashes; ./, // and a trailing /."""
    gnu = Tar(tarfile.GNU_FORMAT)
    gnu.dir("raw").file("raw/caf\udce9-\udcff", "latin-1").file("raw/new\nline", "n")
    gnu.file("raw/back\\slash", "b").file("raw/ space ", "s").file("raw/" + "n" * 250, "long")
    gnu.dir("/".join(["deep" * 20] * 8)).file("/".join(["deep" * 20] * 8 + ["file"]), "deep")
    gnu.symlink("raw/long-target", "t" * 1500).file("raw/.wh", "no whiteout").file("raw/wh.x", "nor this")
    pax = Tar().dir("./pax").file("./pax/é-ü-日本", "utf-8").file("pax//double", "d")
    pax.file("./pax/" + "p" * 255, "long").dir("pax/trailing/").file("/pax/absolute", "a")
    pax.dir("./", mode=0o755)
    return [gnu, pax]


def ids():
    """Large ids in both encodings, modes, times before 1970, far away and with fractions."""
    pax = Tar().file("ids/pax", "x", uid=3_000_000, gid=4_294_967_294, uname="nobody", gname="no")
    pax.file("ids/half-second", "x", mtime=1704067200.5).file("ids/old", "x", mtime=-86400)
    pax.file("ids/far", "x", mtime=4_102_444_800).file("ids/none", "x", mode=0).dir("ids/d", mode=0)
    gnu = Tar(tarfile.GNU_FORMAT).file("ids/gnu", "x", uid=2_147_483_648, gid=2_097_152)
    return [pax, gnu]


def empty():
    """Layers without an entry, and the same layer twice with another between."""
    again = Tar().dir("again").file("again/x", "first\n")
    return [Tar(), again, Tar().file("again/x", "second\n"), again, Tar()]


def types():
    """What is one kind of thing below is another above; and fifos and devices."""
    below = Tar()
    for name in ("file-dir", "file-link", "file-fifo"):
        below.file(name, "file")
    for name in ("dir-file", "dir-link", "dir-dir"):
        below.dir(name).file(f"{name}/inside", "inside")
    for name in ("link-dir", "link-file", "link-link"):
        below.symlink(name, "dir-dir")
    above = Tar().dir("file-dir").file("file-dir/new", "new").symlink("file-link", "dir-dir")
    above.add("file-fifo", tarfile.FIFOTYPE, mode=0o600).file("dir-file", "a file now")
    above.symlink("dir-link", "dir-dir").dir("dir-dir", mode=0o700).dir("link-dir")
    above.file("link-dir/new", "new").file("link-file", "a file now").symlink("link-link", "file-dir")
    above.dir("nodes").add("nodes/null", tarfile.CHRTYPE, mode=0o666, devmajor=1, devminor=3)
    above.add("nodes/loop", tarfile.BLKTYPE, mode=0o660, devmajor=7, devminor=0)
    return [below, above]


def implied():
    """Directories without an entry of their own, and ones known from lower layers only."""
    below = Tar().dir("known", mode=0o711, uid=5, gid=6).dir("known/deep", mode=0o700)
    return [below, Tar().file("known/deep/x", "x").file("made/up/by/x", "x", uid=9)]


def plain():
    """Uncompressed."""
    return [("tar", Tar().file("plain", "not compressed\n"))]


def members():
    """Several gzip members; and stored blocks."""
    tar = Tar().file("a", b"a" * 3000).file("b", b"b" * 3000).bytes()
    parts = [tar[i : i + 2000] for i in range(0, len(tar), 2000)]
    joined = b"".join(gzip.compress(part, mtime=0) for part in parts)
    stored = Tar().file("stored", "stored\n").bytes()
    squeeze = zlib.compressobj(0, wbits=31)
    return [("packed", joined, tar), ("packed", squeeze.compress(stored) + squeeze.flush(), stored)]


def gzip_header():
    """Every optional field of a gzip header (RFC 1952 section 2.3)."""
    tar = Tar().file("header", "x").bytes()
    flags = 0x02 | 0x04 | 0x08 | 0x10  # FHCRC, FEXTRA, FNAME, FCOMMENT
    head = bytes([0x1F, 0x8B, 8, flags, 0, 0, 0, 0, 0, 255])
    head += b"\x06\x00la\x02\x00xy" + b"name\0" + b"comment\0"
    head += (zlib.crc32(head) & 0xFFFF).to_bytes(2, "little")
    squeeze = zlib.compressobj(6, wbits=-15)
    body = squeeze.compress(tar) + squeeze.flush()
    tail = zlib.crc32(tar).to_bytes(4, "little") + len(tar).to_bytes(4, "little")
    return [("packed", head + body + tail, tar)]


def duplicates():
    """The same name twice in one layer, of the same type and of another."""
    tar = Tar().file("twice", "first").file("twice", "second, longer").dir("t").file("t/x", "x")
    return [tar.dir("t", mode=0o750).symlink("s", "twice").file("s", "no link now")]


def trailing():
    """Zeros after the end of the tar, more than a block; and a tar that ends without any."""
    tar = Tar().file("padded", "x").bytes() + b"\0" * 100_000
    short = Tar().file("short", "y" * 512).bytes()[: 3 * 512]
    return [("raw", tar), ("raw", short)]


def lower_link():
    """A hard link to a file that only a lower layer has."""
    return [Tar().file("lower", "x"), Tar().link("linked", "lower")]


def gnu_sparse():
    """The old GNU sparse type S."""
    return [_gnu_tar("--format=gnu", "--sparse")]


# Taken by all engines; by some only (README.md says which); by none.
TAKEN = (whiteouts, links, sparse, xattrs, names, ids, empty, types, implied, plain, members, trailing)
DISPUTED = (duplicates, gzip_header)
REFUSED = (lower_link, gnu_sparse)
ALL = (*TAKEN, *DISPUTED, *REFUSED)
TAGS = tuple(function.__name__.replace("_", "-") for function in ALL)


def odd(layout: oci.Layout):
    from . import recipes_small

    base = recipes_small.base(layout)
    for tag, function in zip(TAGS, ALL):
        layers = [base]
        for layer in function():
            if isinstance(layer, Tar):
                layers.append(layout.layer(layer.bytes(), note=tag))
            elif layer[0] == "tar":
                layers.append(layout.layer(layer[1].bytes(), "tar", tag))
            elif layer[0] == "raw":
                layers.append(layout.layer(layer[1], note=tag))
            else:
                layers.append(layout.packed_layer(layer[1], layer[2]))
        layout.tag(tag, layout.image(layers, {"Cmd": ["/bin/sh"], "Env": [PATH]}))


def _gnu_tar(*flags) -> Tar:
    with paths.scratch() as directory:
        with open(directory / "sparse", "wb") as file:
            file.write(b"head")
            file.seek(3 << 20)
            file.write(b"middle")
            file.truncate(8 << 20)
        with open(directory / "hole", "wb") as file:
            file.truncate(1 << 20)
        argv = ["tar", "-C", directory, *flags, "--sort=name", f"--mtime=@{oci.MTIME}"]
        argv += ["--owner=0", "--group=0", "--numeric-owner", "--mode=0644", "--hole-detection=raw"]
        # Else the header names hold the process id.
        argv.append("--pax-option=delete=atime,delete=ctime") if "--format=posix" in flags else None
        data = subprocess.run([*argv, "-cf", "-", "hole", "sparse"], check=True, capture_output=True)
    tar = Tar()
    tar.bytes = lambda: data.stdout
    return tar
