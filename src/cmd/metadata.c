#include "cmd/cmd.h"

#include "agent/context.h"
#include "agent/metadata.h"

int cmd_metadata(const struct invocation *in, struct err *err)
{
	struct context c;

	if (context_open(&c, &in->options, METADATA_PATIENCE_MS, err) < 0)
		return -1;
	int result = metadata_print(c.imds, in->positional.n ? in->positional.v[0] : NULL, stdout, err);
	context_close(&c);
	return result;
}
