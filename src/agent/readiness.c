#include "agent/readiness.h"

bool readiness_feed(struct readiness *r, bool passed)
{
	bool was = r->ready;

	r->passes = passed ? r->passes + 1 : 0;
	r->fails = passed ? 0 : r->fails + 1;
	if (!r->ready && r->passes >= r->rise)
		r->ready = true;
	else if (r->ready && r->fails >= r->fall)
		r->ready = false;
	return r->ready != was;
}

bool readiness_reset(struct readiness *r)
{
	bool was = r->ready;

	r->passes = r->fails = 0;
	r->ready = false;
	return was;
}
