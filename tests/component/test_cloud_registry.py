"""The scripted registry behaves, and misbehaves as told, towards other clients than berth."""

import json
import shutil
import socket
import ssl

import pytest

from lab.cloud import faults, hostile, hostile_wire
from lab.cloud.ca import CA
from lab.cloud.canary import Canaries
from lab.cloud.clients import call, curl, skopeo
from lab.cloud.images import buildx_index, image, read_layout
from lab.cloud.layers import hardlink, layer, symlink
from lab.cloud.login import Basic, Bearer, TokenHost
from lab.cloud.registry import ScriptedRegistry, ecr_like, ghcr_like


def two_layers(**kwargs):
    return image(
        [
            layer([("etc", None), ("etc/motd", b"hello\n" * 5000)]),
            layer([("link", symlink("etc/motd")), ("hard", hardlink("link"))], "none"),
        ],
        **kwargs,
    )


class TestRegistries:
    def test_skopeo_copies_from_the_ecr_like(self, tmp_path):
        with ecr_like() as registry:
            registry.push(two_layers(kind="docker"), "team/app", "v1")
            reference = registry.reference("team/app", "v1")
            assert skopeo(reference, tmp_path / "a").returncode != 0
            done = skopeo(reference, tmp_path / "b", "AWS:" + registry.login.users["AWS"])
            assert done.returncode == 0, done.stdout
            assert len(registry.blob_host.requests) == 3
            assert not [r for r in registry.blob_host.requests if r.header("Authorization")]
            registry.canaries.assert_kept(registry.servers)

    def test_skopeo_copies_an_index_from_the_ghcr_like_over_tls(self, tmp_path):
        ca = CA()
        certificate = ca.certificate("127.0.0.1")
        certificates = tmp_path / "trust"
        certificates.mkdir()
        shutil.copy(ca.pem, certificates / "ca.crt")
        document = buildx_index(
            (two_layers(), "linux/amd64"), (two_layers(platform="linux/arm64"), "linux/arm64")
        )
        with ghcr_like(tls=certificate, host_kwargs={"tls": certificate}) as registry:
            registry.push(document, "octocat/app")
            pat = registry.login.users["octocat"]
            done = skopeo(
                registry.reference("octocat/app"), tmp_path / "o", f"octocat:{pat}", certificates
            )
            assert done.returncode == 0, done.stdout
            assert read_layout(tmp_path / "o").digest == document.digest
            assert registry.canaries.seen(pat, registry)
            registry.canaries.assert_kept(registry.servers)

    def test_skopeo_gets_its_token_from_another_host(self, tmp_path):
        canaries = Canaries()
        password = canaries.new("password", allowed={"token-host"})
        login = Bearer(
            {"me": password}, host=TokenHost(), service="registry.docker.io", field="access_token"
        )
        with ScriptedRegistry(login=login, canaries=canaries) as registry:
            registry.push(two_layers(), "library/app")
            done = skopeo(registry.reference("library/app"), tmp_path / "o", f"me:{password}")
            assert done.returncode == 0, done.stdout
            canaries.assert_kept(registry.servers)

    def test_the_blob_host_refuses_authorization_head_and_old_urls(self):
        with ghcr_like(public=True) as registry:
            host = registry.blob_host
            url = host.presign("/x", b"0123456789", 60)
            target = url[len(host.url) :]
            assert call(host, "GET", target)[::2] == (200, b"0123456789")
            assert call(host, "GET", target, {"Authorization": "Basic eDp5"})[0] == 400
            assert call(host, "HEAD", target)[0] == 403
            assert call(host, "GET", target, {"Range": "bytes=2-4"})[::2] == (206, b"234")
            assert call(host, "GET", target, {"Range": "bytes=10-"})[0] == 416
            assert call(host, "GET", "/y" + target[2:])[0] == 403
            host.expire()
            assert call(host, "GET", target)[0] == 403

    def test_a_bearer_token_is_for_its_repository_and_dies(self):
        with ghcr_like(public=True) as registry:
            registry.push(two_layers(), "a/b")
            registry.push(two_layers(), "a/c")
            token = json.loads(
                call(registry, "GET", "/token?service=ghcr.io&scope=repository:a/b:pull")[2]
            )["token"]
            headers = {"Authorization": f"Bearer {token}"}
            assert call(registry, "GET", "/v2/a/b/manifests/latest", headers)[0] == 200
            assert call(registry, "GET", "/v2/a/c/manifests/latest", headers)[0] == 401
            registry.login.expire()
            status, answer, _ = call(registry, "GET", "/v2/a/b/manifests/latest", headers)
            assert status == 401 and 'error="invalid_token"' in answer["WWW-Authenticate"]

    def test_layouts_go_in_and_out(self, tmp_path):
        document = two_layers()
        document.write_layout(tmp_path / "in", "v1")
        with ScriptedRegistry() as registry:
            registry.push_layout(tmp_path / "in", "app", "v1", name="v1")
            assert skopeo(registry.reference("app", "v1"), tmp_path / "out").returncode == 0
        assert read_layout(tmp_path / "out").digest == document.digest

    def test_basic_can_say_expired(self):
        with ScriptedRegistry(login=Basic(check=lambda user, password: "expired")) as registry:
            registry.push(image(), "app")
            assert call(registry, "GET", "/v2/app/manifests/latest")[0] == 401
            assert (
                call(registry, "GET", "/v2/app/manifests/latest", {"Authorization": "Basic eDp5"})[
                    0
                ]
                == 403
            )


class TestFaults:
    @pytest.fixture
    def registry(self):
        with ScriptedRegistry() as server:
            server.push(image([layer([("x", b"y" * 3000)], "none")]), "app")
            server.blob = server.documents["app"]["latest"].layers[0]
            server.path = "/v2/app/blobs/" + server.blob.digest
            yield server

    @pytest.mark.parametrize(
        "fault, whole, ranged",
        [
            (faults.truncate(100), (18, "200 100"), (0, "206 10")),
            (faults.truncate(-1), (18, "200 4607"), (18, "206 9")),
            (faults.reset_at(0.5), (56, "200 2304"), (56, "206 5")),
            (faults.stall_at(1), (28, "200 1"), (28, "206 1")),
            (faults.slow(1000), (28, None), (0, "206 10")),
            (faults.extra(5), (0, "200 4613"), (0, "206 15")),
            (faults.extra(5, "chunked"), (0, "200 4613"), (0, "206 15")),
            (faults.missing(1), (0, "200 4607"), (0, "206 9")),
            (faults.chunked(end=False), (18, "200 4608"), (18, "206 10")),
            (faults.until_close(), (0, "200 4608"), (0, "206 10")),
            (faults.ignore_range(), (0, "200 4608"), (0, "200 4608")),
            (faults.doubled(), (0, "200 9216"), (0, "206 20")),
            (faults.redirect_loop(), (47, None), (47, None)),
            (faults.informational(3), (0, "200 4608"), (0, "206 10")),
            (faults.informational(), (28, None), (28, None)),
            (faults.reset(), (56, "000 0"), (56, "000 0")),
            (faults.close(), (52, "000 0"), (52, "000 0")),
            (faults.stream(1 << 20), (0, "200 1048576"), (0, "200 1048576")),
        ],
    )
    def test_on_the_wire(self, registry, fault, whole, ranged):
        registry.on("GET", "/blobs/", fault)
        for expected, args in ((whole, ()), (ranged, ("-r", "10-19"))):
            code, out = curl(
                "-m", "1", "-L", "--max-redirs", "5", *args, registry.url + registry.path
            )
            assert (code, out if expected[1] else None) == expected

    def test_rules_count_and_end(self, registry):
        rule = registry.on("GET", "/blobs/", faults.status(500), nth=2)
        registry.on(
            "GET",
            "/blobs/",
            faults.status(503),
            times=1,
            where=lambda r: r.header("X-Pick") == "me",
        )
        answers = [call(registry, "GET", registry.path, {"X-Pick": "me"})[0] for _ in range(4)]
        assert answers == [503, 500, 200, 200] and (rule.seen, rule.hits) == (4, 1)
        registry.reset()
        registry.on("GET", "", faults.sequence(faults.status(500), faults.status(500), None))
        assert [call(registry, "GET", registry.path)[0] for _ in range(4)] == [500, 500, 200, 200]
        assert [r.status for r in registry.requests] == [500, 500, 200, 200]

    def test_a_presigned_url_dies_midway(self):
        with ghcr_like(public=True) as registry:
            host = registry.blob_host
            host.on("GET", "", faults.after(faults.truncate(5), host.expire), nth=1)
            url = host.presign("/x", b"0123456789", 60)
            assert curl(url) == (18, "200 5")
            assert curl("-r", "5-", url)[1].startswith("403 ")
            assert curl("-r", "5-", host.presign("/x", b"0123456789", 60)) == (0, "206 5")

    def test_half_a_request_is_kept_for_canaries(self, registry):
        with socket.create_connection(registry.address) as sock:
            sock.sendall(b"POST / HTTP/1.1\r\nContent-Length: 100\r\n\r\nhalf a secret")
        with socket.create_connection(registry.address) as sock:
            sock.sendall(b"\x16\x03\x01 TLS to a plain port")
            assert sock.recv(100).startswith(b"HTTP/1.1 400 ")
        registry.settle()
        assert b"half a secret" in registry.received() and b"plain port" in registry.received()

    def test_one_bit_differs(self, registry):
        registry.on("GET", "/blobs/", faults.flip(7))
        data = call(registry, "GET", registry.path)[2]
        assert [i for i, (a, b) in enumerate(zip(data, registry.blob.blob)) if a != b] == [7]

    @pytest.mark.parametrize("make", hostile.DOCUMENTS.values(), ids=hostile.DOCUMENTS)
    def test_a_hostile_document_is_served_as_it_is(self, registry, make):
        document = make()
        registry.push(document, "bad")
        assert call(registry, "GET", "/v2/bad/manifests/latest")[::2] == (200, document.data)

    @pytest.mark.parametrize("name", hostile_wire.LOCATIONS)
    def test_a_hostile_location_goes_out_byte_for_byte(self, registry, name):
        registry.on("GET", "/blobs/", hostile_wire.location(name, registry))
        with socket.create_connection(registry.address) as sock:
            sock.sendall(
                f"GET {registry.path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
            )
            data = b"".join(iter(lambda: sock.recv(65536), b""))
        wanted = hostile_wire.LOCATIONS[name]
        assert data.startswith(b"HTTP/1.1 307 ")
        assert (
            (b"Location" not in data) if wanted is None else wanted.split("}")[-1].encode() in data
        )


class TestTls:
    @pytest.mark.parametrize(
        "kind, code",
        [
            ("certificate", 0),
            ("expired", 60),
            ("not_yet_valid", 60),
            ("wrong_name", 60),
            ("self_signed", 60),
            ("TLS 1.0", 35),
        ],
    )
    def test_curl_takes_the_good_certificate_only(self, kind, code):
        ca = CA()
        good = ca.certificate("localhost", "127.0.0.1")
        names = () if kind == "wrong_name" else ("localhost",)
        offered = (
            good.speaking(ssl.TLSVersion.TLSv1) if kind == "TLS 1.0" else getattr(ca, kind)(*names)
        )
        with ScriptedRegistry(tls=good, host="localhost") as registry:
            registry.next_certificates(1, offered)
            assert curl("--cacert", ca.pem, registry.url + "/v2/")[0] == code
            assert curl("--cacert", ca.pem, registry.url + "/v2/") == (0, "200 2")
            assert [c.tls for c in registry.connections][1] == "TLSv1.3" and registry.connections[
                1
            ].sni == "localhost"
