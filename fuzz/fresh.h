#ifndef MUSTER_FRESH_H
#define MUSTER_FRESH_H

#include <stddef.h>
#include <stdint.h>

/*
 * For programs whose state lies in many places and cannot be put back: plays
 * each input in a process of its own, forked from one that has done nothing
 * yet.  What it reaches counts for the fuzzer; whatever ends it before `play`
 * returns, or memory that is lost then, ends the target.
 */
void fresh_run(
    void (*play)(const uint8_t *, size_t), const uint8_t *data, size_t size);

#endif
