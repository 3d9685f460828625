/*
 * A worker that its input has taken over: the real one, but for layer.c. Link it in, and give it an order as its input.
 */
#ifndef BERTH_TESTS_COMPONENT_HOSTILE_WORKER_H
#define BERTH_TESTS_COMPONENT_HOSTILE_WORKER_H

#include "base/base.h"

/* What an attempt says that got nothing. */
#define HOSTILE_NOTHING "nothing"

struct hostile_attempt {
	const char *name;
	const char *(*run)(void); /* what it got */
	bool lives;               /* others die of SIGSYS */
};
extern const struct hostile_attempt hostile_attempts[];
extern const size_t hostile_n_attempts;

/* The whole input of a worker. */
struct hostile_order {
	bool is_call;
	uint16_t which; /* system call, or else attempt */
};

#endif
