#include "base/clock.h"

#include <sys/random.h>

static int64_t (*injected_mono)(void);
static int64_t (*injected_wall)(void);

static int64_t read_us(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

int64_t clock_mono_us(void)
{
	return injected_mono ? injected_mono() * 1000 : read_us(CLOCK_BOOTTIME);
}

int64_t clock_mono_ms(void)
{
	return clock_mono_us() / 1000;
}

int64_t clock_wall_ms(void)
{
	return injected_wall ? injected_wall() : read_us(CLOCK_REALTIME) / 1000;
}

void clock_inject(int64_t (*mono_ms)(void), int64_t (*wall_ms)(void))
{
	injected_mono = mono_ms;
	injected_wall = wall_ms;
}

void clock_rfc3339(int64_t wall_ms, char out[CLOCK_RFC3339_SIZE])
{
	time_t seconds = wall_ms / 1000;
	struct tm tm;

	if (!gmtime_r(&seconds, &tm) || tm.tm_year > 9999 - 1900 || tm.tm_year < -1900 ||
	    !strftime(out, CLOCK_RFC3339_SIZE, "%Y-%m-%dT%H:%M:%SZ", &tm))
		(void)snprintf(out, CLOCK_RFC3339_SIZE, "0000-00-00T00:00:00Z");
}

uint32_t clock_jitter(uint32_t limit)
{
	uint32_t r;

	if (limit < 2)
		return 0;
	if (getrandom(&r, sizeof r, 0) != sizeof r)
		r = (uint32_t)clock_mono_us();
	return r % limit;
}
