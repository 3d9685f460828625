#!/bin/sh
# Makes ./configure from configure.ac. Needed in a git checkout only; a release tarball has it.
set -e
cd "$(dirname "$0")"
exec autoreconf --force --install
