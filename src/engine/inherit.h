/*
 * What a directory that a layer fills without an entry of its own takes after: mode, owner, times
 * and attributes of the same directory in the nearest layer below that has it, as in containerd's
 * own unpacking (archive.Apply, "Parents").
 */
#ifndef BERTH_ENGINE_INHERIT_H
#define BERTH_ENGINE_INHERIT_H

#include "engine/store.h"

/*
 * layer: the unpacked layer, an O_PATH descriptor; paths of the list stay inside it. lower: the
 * directories of the layers below, nearest first. What is no directory (any more), or is nowhere
 * below, stays as it is. ERR_SYSTEM.
 */
int inherit_all(int layer, const struct store_inherit *list, size_t n, const struct strv *lower,
		struct err *err) MUST_CHECK;

#endif
