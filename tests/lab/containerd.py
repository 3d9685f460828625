"""containerd spoken to directly: a call takes a millisecond, and `ctr` fifty to start."""

import contextlib
import os

os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")  # the lab's forks exec at once

import grpc  # noqa: E402

TIMEOUT_S = 60
SERVICE = "/containerd.services.{}.v1.{}/{}"


class Containerd:
    """Containerd(socket, namespace, snapshotter): what is there, by name; and how to remove it."""

    def __init__(self, socket, namespace="moby", snapshotter="overlayfs"):
        self.snapshotter = snapshotter
        self._metadata = (("containerd-namespace", namespace),)
        # Of its own: channels to one address share a connection, even to who has died there.
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1)]
        self._channel = grpc.insecure_channel(f"unix://{socket}", options=options)

    def close(self):
        self._channel.close()

    def _call(self, service, method, request=b"", streams=False):
        """The answer, or all of a stream's, decoded: {field: [values]}."""
        path = SERVICE.format(service, service.capitalize(), method)
        make = self._channel.unary_stream if streams else self._channel.unary_unary
        call = make(path, request_serializer=bytes, response_deserializer=decode)
        answer = call(request, timeout=TIMEOUT_S, metadata=self._metadata, wait_for_ready=True)
        return list(answer) if streams else [answer]

    def _names(self, service, method, entry, name, request=b"", streams=False):
        """Of a list's entries one string field each."""
        answers = self._call(service, method, request, streams)
        entries = [decode(e) for answer in answers for e in answer.get(entry, [])]
        return {e[name][0].decode() for e in entries}

    def leases(self):
        return self._names("leases", "List", 1, 1)

    def images(self):
        return self._names("images", "List", 1, 1)

    def blobs(self):
        return self._names("content", "List", 1, 1, streams=True)

    def unfinished(self):
        """References of blobs that somebody began to write."""
        return self._names("content", "ListStatuses", 1, 3)

    def snapshots(self):
        return self._names("snapshots", "List", 1, 1, encode({1: self.snapshotter}), streams=True)

    def remove_lease(self, name, sync=False):
        self._call("leases", "Delete", encode({1: name, 2: sync}))

    def remove_image(self, name):
        self._call("images", "Delete", encode({1: name}))

    def collect_garbage(self):
        """All that no lease, label or image holds is gone when this returns."""
        self._call("leases", "Create", encode({1: "lab-collects"}))
        self.remove_lease("lab-collects", sync=True)

    def layer_dirs(self, chain):
        """The directories that make up a committed snapshot, lowest first."""
        key, about = f"lab-{chain}", {1: self.snapshotter}
        mounts = self._call("snapshots", "View", encode(about | {2: key, 3: chain}))[0]
        with contextlib.suppress(grpc.RpcError):  # it had no lease: it may have been collected
            self._call("snapshots", "Remove", encode(about | {2: key}))
        mount = decode(mounts[1][0])
        if mount[1][0] == b"bind":
            return [mount[2][0].decode()]
        options = [option.decode() for option in mount[4]]
        lower = next(o for o in options if o.startswith("lowerdir=")).removeprefix("lowerdir=")
        return list(reversed(lower.split(":")))


def encode(fields) -> bytes:
    """A message of strings and booleans (protobuf's encoding: fields of wire type 2 and 0)."""
    message = b""
    for number, value in fields.items():
        if isinstance(value, bool):
            message += bytes([number << 3, value])
        else:
            data = value.encode()
            message += bytes([number << 3 | 2]) + _varint(len(data)) + data
    return message


def _varint(value) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def decode(message: bytes) -> dict[int, list]:
    """{field: [values]}: bytes, or integers; no fixed-size fields, which none of these have."""
    found, at = {}, 0
    while at < len(message):
        key, at = _read_varint(message, at)
        value, at = _read_varint(message, at)
        if key & 7 == 2:
            value, at = message[at : at + value], at + value
        found.setdefault(key >> 3, []).append(value)
    return found


def _read_varint(message, at):
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
