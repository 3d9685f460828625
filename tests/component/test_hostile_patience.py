"""`berth pull` from registries that are overloaded, slow or silent: how long it waits for what."""

import threading

import pytest
from attack import config_digest, fresh_image
from lab.cloud import faults, hostile_wire
from transfer_steps import Target, manifests
from transfer_steps import target  # noqa: F401 (fixtures)


class TestOverload:
    # Seconds that must pass, and their text; what is no time is waited for as if nothing were said.
    @pytest.mark.parametrize(
        "value, least",
        [
            (None, 0.1),
            *(
                (v, 1.9 if v == "2" else 0.1)
                for v in hostile_wire.RETRY_AFTER
                if not v.isdigit() or int(v) < 3
            ),
        ],
    )
    def test_one_refusal_of_everything_is_waited_out(self, scene, target, value, least):
        target.registry.on("GET", "/manifests/", faults.overloaded(429, value), nth=1)
        target.on(faults.overloaded(503, value), nth=1)
        with scene.gains(target.document, target.reference):
            scene.pull(target.reference).succeeded()
        for gets in (manifests(target.registry), target.gets()):
            first, second = (request.time for request in gets)
            assert second - first >= least


class TestPatience:
    """What takes the client's patience, all at once: each waits for a constant of berth's, on a pull of its own."""

    def test_stalls_and_long_waits(self, scene):
        def stalled(fault, at_least, at_most):
            def run():
                with scene.registry() as registry:
                    target = Target(registry)
                    target.on(fault, nth=1)
                    pulled = scene.pull(target.reference).succeeded()
                    assert at_least <= pulled.seconds < at_most, pulled
                    first, second = target.gets()
                    assert second.body_sent + (second.range or (0,))[0] == target.layer.size

            return run

        def overloaded(path, value):
            def run():
                with scene.registry() as registry:
                    target = Target(registry)
                    registry.on("GET", path, faults.overloaded(429, value), nth=1)
                    pulled = scene.pull(target.reference).succeeded()
                    assert 60 <= pulled.seconds < 75, pulled

            return run

        def unreachable(where):
            def run():
                with scene.registry() as registry:
                    target = Target(registry)
                    target.on(faults.redirect(where))
                    scene.pull(target.reference).failed("layer 1 of 1", code=75)

            return run

        def date():
            with scene.registry() as registry:
                target = Target(registry)
                registry.on("GET", "/manifests/", hostile_wire.retry_after_date(3), nth=1)
                scene.pull(target.reference).succeeded()
                first, second = (r.time for r in manifests(registry))
                assert 1.9 <= second - first

        def four_times_500():
            with scene.registry() as registry:
                target = Target(registry)
                registry.on("GET", "/manifests/", faults.status(500), times=4)
                target.on(faults.status(500), times=4)
                scene.pull(target.reference).succeeded()

        def never_a_byte():
            with scene.registry() as registry:
                target = Target(registry)
                target.on(faults.truncate(0))
                scene.pull(target.reference).failed("layer 1 of 1", code=75)
                assert config_digest(target.document) not in scene.images()

        def silent_manifest():
            with scene.registry() as registry:
                target = Target(registry)
                registry.on("GET", "/manifests/", faults.stall_at(10), nth=1)
                pulled = scene.pull(target.reference).succeeded()
                assert 20 <= pulled.seconds < 35, pulled

        def stalled_range():
            """Eight layers at once, one of which stalls: the others are not held up, and only its rest is fetched."""
            with scene.registry() as registry:
                target = Target(registry, fresh_image(*[50_000] * 8))
                late = target.document.layers[3]
                registry.on("GET", late.digest, faults.stall_at(0.5), nth=1)
                scene.pull(target.reference).succeeded()
                again = registry.matching("GET", late.digest)[1]
                assert again.range == (late.size // 2, None)
                others = [r for r in registry.blob_requests() if late.digest not in r.target]
                assert max(r.time for r in others) < again.time - 15

        runs = {
            **{
                name: stalled(fault, *((30, 50) if name == "one byte a second" else (20, 35)))
                for name, fault in hostile_wire.STALLS.items()
            },
            "Retry-After of a billion": overloaded("/manifests/", "1000000000"),
            "Retry-After beyond numbers, for a blob": overloaded("/blobs/", "99999999999999999999"),
            "nobody where the redirect points": unreachable("http://127.0.0.1:1/x"),
            "Retry-After a date": date,
            "500 four times": four_times_500,
            "never a byte": never_a_byte,
            "silence in a manifest": silent_manifest,
            "one of eight stalls": stalled_range,
        }
        failures = {}

        def attempt(name, run):
            try:
                run()
            except BaseException as error:  # pylint: disable=broad-except
                failures[name] = error

        threads = [threading.Thread(target=attempt, args=item) for item in runs.items()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for name, error in failures.items():
            raise AssertionError(f"{name}: {error}") from error
