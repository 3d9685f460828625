#include "agent/follow_internal.h"

#include "base/log.h"

/* Once the app serves: what Docker needs of the image besides running it. Nothing of it is worth the app. */
int follow_fetch_rest(struct deployment *d, struct err *err)
{
	char size[SIZE_TEXT_MAX];
	int64_t bytes;
	int result = 0;

	if (!d->rest || !d->readiness.ready)
		return 0;
	if (!pull_rest_started(d->rest)) {
		result = pull_rest_start(d->rest, err);
		if (result == 0)
			return 0;
	} else if (!pull_rest_settled(d->rest)) {
		return 0;
	} else {
		result = pull_rest_finish(d->rest, &bytes, err);
	}
	pull_rest_free(d->rest);
	d->rest = NULL;
	if (result == 0 && bytes)
		log_info("backfilled %s", size_text(bytes, size));
	else if (result == 0)
		log_debug("nothing more to do for the image");
	else if (err->kind == ERR_CANCELLED)
		return -1;
	else
		log_info("%s; the image runs, `berth pull` completes it", err->msg);
	err_clear(err);
	return 0;
}
