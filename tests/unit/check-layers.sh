#!/usr/bin/env bash
# scripts/check-layers itself: what it lets pass, and what it must catch.
set -u
check=$(cd "${srcdir:-$(dirname "$0")/../..}" && pwd)/scripts/check-layers
tree=$(mktemp -d) || exit 1
trap 'rm -rf "$tree"' EXIT
failures=0

# expect 0|1 FILE LINE: a tree whose only include is LINE, in FILE
expect() {
	rm -rf "$tree/src"
	mkdir -p "$tree/src/$(dirname "$2")"
	printf '%s\n' "$3" >"$tree/src/$2"
	out=$("$check" "$tree" 2>&1)
	got=$?
	if [ "$got" != "$1" ]; then
		echo "$2: $3: expected exit $1, got $got: $out"
		failures=$((failures + 1))
	elif [ "$1" = 1 ] && [[ $out != *"src/$2:1: $3"* ]]; then
		echo "$2: $3: the offending line is not named: $out"
		failures=$((failures + 1))
	fi
}

expect 0 main.c '#include "cmd/cmd.h"'
expect 0 cmd/up.c '#include "agent/options.h"'
expect 0 agent/state.c '#include "engine/docker.h"'
expect 0 oci/registry.c '#include "net/http.h"'
expect 0 oci/registry.c '#include "oci/digest.h"'
expect 0 net/http.c '#include "base/err.h"'
expect 0 base/err.c '#include <stdio.h>'
expect 0 base/build_info.c '#include "config.h"'
expect 1 oci/registry.c '#include "aws/ecr.h"'
expect 1 engine/docker.c '#include "unpack/layer.h"'
expect 1 base/err.c '#include "net/http.h"'
expect 1 net/http.c '#include "oci/digest.h"'
expect 1 aws/ecr.c '#include "agent/options.h"'
expect 1 agent/state.c '#include "cmd/cmd.h"'
expect 1 agent/state.c '#  include "cmd/cmd.h"'
expect 1 base/err.c '#include "err.h"'
expect 1 base/err.c '#include "../net/http.h"'
expect 1 util/x.c '#include "base/err.h"'

expect 0 net/http.c '#include <curl/curl.h>'
expect 0 net/loop.h '#include <curl/multi.h>'
expect 0 base/json.c '#include <cjson/cJSON.h>'
expect 0 base/json_scan.c '#include <cJSON.h>'
expect 0 base/hash.c '#include <openssl/evp.h>'
expect 0 unpack/inflate.c '#include <isa-l/igzip_lib.h>'
expect 0 unpack/inflate.c '#include <zstd.h>'
expect 0 agent/health.c '#include <microhttpd.h>'
expect 1 oci/registry.c '#include <curl/curl.h>'
expect 1 base/json.h '#include <cjson/cJSON.h>'
expect 1 engine/docker.c '#include <cJSON.h>'
expect 1 aws/sigv4.c '#include <openssl/hmac.h>'
expect 1 unpack/layer.c '#include <isa-l.h>'
expect 1 oci/blob.c '#include <zstd.h>'
expect 0 agent/health_internal.h '#include <microhttpd.h>'
expect 1 agent/health.h '#include <microhttpd.h>'
expect 1 agent/state.c '#include <microhttpd.h>'

[ "$failures" = 0 ]
