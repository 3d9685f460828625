"""The lab by hand: make its roots and images, look at an engine."""

import argparse
import os
import sys
import time

EPILOG = "labctl install: install the Debian packages the lab needs; quick when all are there"


def engines(args):
    from lab import roots

    for suite in args.names or roots.PACKAGES:
        print(f"{suite}: {roots.ensure(suite)}")


def images(args):
    from lab import images as made

    made.make_all(args.names or list(made.RECIPES))


def ready(args):
    """Both, with the time each took, but for what only benchmarks use."""
    from lab import images as made
    from lab import roots

    wanted = ((engines, roots.PACKAGES.keys() - roots.BENCH), (images, made.RECIPES.keys() - made.BENCH))
    for step, names in wanted:
        args.names = sorted(names)
        start = time.monotonic()
        step(args)
        print(f"{step.__name__}: {time.monotonic() - start:.1f} s")


def clean(_args):
    from lab import namespace

    namespace.clean_stale()


def shell(args):
    """A shell in a fresh namespace beside a registry that holds the named images and an engine."""
    from lab import Engine, Namespace, Registry
    from lab import images as made

    with Namespace() as ns, Registry(ns) as registry, Engine(args.engine) as engine:
        engine.start(ns)
        for name in args.push:
            print("pushed", made.push(name, registry, name.partition(":")[0]))
        print(f"engine {args.engine}, DOCKER_HOST is set; its log: {engine.log}")
        env = {"DOCKER_HOST": f"unix://{engine.socket}", "TERM": os.environ.get("TERM", "dumb")}
        argv = args.argv or [os.environ.get("SHELL", "/bin/sh")]
        sys.exit(ns.run(argv, env=env).wait())


def main():
    parser = argparse.ArgumentParser("labctl", description=__doc__, epilog=EPILOG)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(function, text):
        sub = commands.add_parser(function.__name__, help=text)
        sub.set_defaults(function=function, names=[])
        return sub

    command(engines, "make the root file systems of the newer engines")
    command(images, "make the images, all or those named").add_argument("names", nargs="*")
    command(ready, "install what is missing, engines and images, but for benchmarks' own")
    command(clean, "remove what killed runs left behind")
    sub = command(shell, "a shell beside an engine and a registry")
    sub.add_argument("engine", metavar="ENGINE")
    sub.add_argument("--push", action="append", default=[], metavar="IMAGE")
    sub.add_argument("argv", nargs="*", metavar="COMMAND", help="instead of a shell")
    args = parser.parse_args()
    args.function(args)


if __name__ == "__main__":
    main()
