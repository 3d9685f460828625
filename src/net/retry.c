#include "net/http.h"

#include "base/clock.h"

#define FIRST_DELAY_MS 250
#define LAST_DELAY_MS 8000

/* Half fixed, half random: a fleet that was cut off together does not come back together. */
int64_t net_retry_delay_ms(unsigned int failures, const struct err *err)
{
	int64_t delay_ms = FIRST_DELAY_MS;

	for (unsigned int i = 1; i < failures && delay_ms < LAST_DELAY_MS; i++)
		delay_ms *= 2;
	delay_ms = delay_ms / 2 + clock_jitter((uint32_t)(delay_ms / 2) + 1);
	return delay_ms > err->retry_after_ms ? delay_ms : err->retry_after_ms;
}

int net_retry(struct loop *loop, unsigned int attempts, int (*call)(void *arg, struct err *err),
	      void *arg, struct err *err)
{
	for (unsigned int failures = 1;; failures++) {
		if (call(arg, err) == 0)
			return 0;
		if (!err->retryable || (attempts && err->waited_out) || failures == attempts)
			return -1;
		if (loop_sleep(loop, net_retry_delay_ms(failures, err), err) < 0)
			return -1;
	}
}
