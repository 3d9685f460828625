/* From the options to what the engine is asked for. */
#ifndef BERTH_AGENT_SPEC_H
#define BERTH_AGENT_SPEC_H

#include "agent/options.h"
#include "engine/container.h"

/*
 * Fills the spec from the options (strings borrowed from them) and checks it by building
 * the body once: ERR_USAGE, ERR_CONFIG. config_hash is what the io.berth.config label will be.
 */
int spec_open(const struct options *o, const char *name, struct container_spec *spec,
	      char config_hash[SHA256_HEX_SIZE], struct err *err) MUST_CHECK;
void spec_close(struct container_spec *spec);

#endif
