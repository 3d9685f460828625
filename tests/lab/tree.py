"""What is in a directory, in every field, so that two ways to unpack a layer can be compared."""

import hashlib
import os
import stat
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Entry:
    """One file of whatever kind."""

    mode: int  # with the type
    uid: int
    gid: int
    mtime_ns: int
    rdev: int
    content: str  # digest of a file's bytes, a link's target
    same_as: str  # of several hard links: the first one's name
    xattrs: tuple


def walk(directory) -> dict[str, Entry]:
    """Every entry below directory by its name, which is "." for the directory itself."""
    found, inodes = {}, {}
    top = os.fsencode(directory)
    names = [b"."]
    for base, dirs, files in os.walk(top):
        dirs.sort()
        names += [os.path.relpath(os.path.join(base, name), top) for name in sorted(dirs + files)]
    for raw in names:
        path, name = os.path.join(top, raw), os.fsdecode(raw)
        status = os.lstat(path)
        first = name
        if not stat.S_ISDIR(status.st_mode):
            first = inodes.setdefault(status.st_ino, name)
        found[name] = Entry(
            status.st_mode,
            status.st_uid,
            status.st_gid,
            status.st_mtime_ns,
            status.st_rdev,
            _content(path, status.st_mode),
            first if first != name else "",
            tuple(
                (key, os.getxattr(path, key, follow_symlinks=False))
                for key in sorted(os.listxattr(path, follow_symlinks=False))
            ),
        )
    return found


def differences(ours: dict, theirs: dict, fresh_ns: int = 0) -> list[str]:
    """A line for each name and field in which two trees differ.

    With fresh_ns, two times after it count as the same: both are the time of unpacking, as
    whiteouts and directories without an entry of their own get it.
    """
    lines = []
    for name in sorted(ours.keys() | theirs.keys()):
        if name not in ours or name not in theirs:
            lines.append(f"{name!r}: only in {'ours' if name in ours else 'theirs'}")
            continue
        a, b = asdict(ours[name]), asdict(theirs[name])
        if fresh_ns and min(a["mtime_ns"], b["mtime_ns"]) > fresh_ns:
            a["mtime_ns"] = b["mtime_ns"]
        for key in a:
            if a[key] != b[key]:
                show = oct if key == "mode" else repr
                lines.append(f"{name!r}: {key}: ours {show(a[key])}, theirs {show(b[key])}")
    return lines


def _content(path: bytes, mode: int) -> str:
    if stat.S_ISLNK(mode):
        return os.fsdecode(os.readlink(path))
    if stat.S_ISREG(mode):
        return hashlib.sha256(Path(os.fsdecode(path)).read_bytes()).hexdigest()
    return ""
