#include "base/build_info.h"

#include "build-info.h"
#include "config.h"

const char build_version[] = PACKAGE_VERSION;
const char build_linkage[] = BUILD_LINKAGE;

#define COMPONENT(name, version, sha256) { name, version, sha256 },
const struct build_component build_components[] = { BUILD_COMPONENTS(COMPONENT) };
const size_t build_components_len = ARRAY_LEN(build_components);
