#include "agent/rounds.h"

void rounds_event(void *arg)
{
	struct rounds *r = arg;

	r->again = true;
	if (r->working || r->failed || !r->ready)
		return;
	r->working = true;
	while (r->again && !r->failed) {
		r->again = false;
		r->failed = r->work(r->arg) < 0;
	}
	r->working = false;
	r->after(r->arg);
}

void rounds_blob_event(void *arg, size_t i)
{
	(void)i;
	rounds_event(arg);
}

void rounds_start(struct rounds *r)
{
	r->ready = true;
	rounds_event(r);
}
