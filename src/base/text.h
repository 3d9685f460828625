/* Text from strangers: made fit for terminals, log lines, JSON and systemd. Pure. */
#ifndef BERTH_BASE_TEXT_H
#define BERTH_BASE_TEXT_H

#include "base/base.h"

/* The length of the UTF-8 sequence of more than one byte at p (RFC 3629 §4), 0 when it is none. */
size_t utf8_sequence(const char *p, const char *end);

/*
 * One printable line, in place: control characters (C1 too: 0x9b starts escapes on terminals) and
 * bytes that are not UTF-8 become '?', a tab a blank.
 */
void text_clean(char *s);

#endif
