/* Linked with berth's main: a berth that takes an engine for hung after seconds instead of minutes. */
#include "engine/load_upload.h"

static void __attribute__((constructor)) lose_patience(void)
{
	load_classic_idle_ms = 2000;
}
