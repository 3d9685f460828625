#include "agent/metadata.h"
#include "agent/context.h"
#include "cmd/cmd.h"

int cmd_metadata(const struct invocation *in, struct err *err)
{
	struct context context;

	if (context_open(&context, &in->options, METADATA_PATIENCE_MS, err) < 0)
		return -1;
	int result = metadata_print(context.imds, in->positional.n ? in->positional.v[0] : NULL, stdout, err);
	context_close(&context);
	return result;
}
