#ifndef MUSTER_WIRE_H
#define MUSTER_WIRE_H

#include <stddef.h>
#include <stdint.h>

/*
 * Bounds-checked encoding of message payloads.  Numbers are in host order
 * (both ends are on one machine), strings are a u32 length and the bytes,
 * never with a NUL inside.  Errors are sticky: put and get freely, check
 * once at the end.
 */

/* A growing buffer that is written. */
struct wire {
	uint8_t *data; /* owned; freed by wire_free() */
	size_t len;
	size_t size;
	int failed; /* out of memory or over WIRE_MAX */
};

/* A borrowed buffer that is read. */
struct wire_reader {
	const uint8_t *next;
	size_t left;
	int failed;
};

#define WIRE_MAX (8UL * 1024 * 1024) /* bytes of one encoded value */

void wire_init(struct wire *);
void wire_free(struct wire *);
/* Forgets the content, keeps the memory. */
void wire_reset(struct wire *);

void wire_put_u8(struct wire *, uint8_t);
void wire_put_u16(struct wire *, uint16_t);
void wire_put_u32(struct wire *, uint32_t);
void wire_put_u64(struct wire *, uint64_t);
void wire_put_i32(struct wire *, int32_t);
void wire_put_i64(struct wire *, int64_t);
void wire_put_f64(struct wire *, double);
/* NULL is written as the empty string. */
void wire_put_str(struct wire *, const char *);
void wire_put_bytes(struct wire *, const void *, size_t); /* u32 + bytes */
void wire_put_raw(struct wire *, const void *, size_t); /* bytes only */
/* 0, or -1 if any put failed. */
int wire_check(const struct wire *);

void wire_read(struct wire_reader *, const void *, size_t);
/* Each get returns 0 and marks the reader as failed when data is short. */
uint8_t wire_get_u8(struct wire_reader *);
uint16_t wire_get_u16(struct wire_reader *);
uint32_t wire_get_u32(struct wire_reader *);
uint64_t wire_get_u64(struct wire_reader *);
int32_t wire_get_i32(struct wire_reader *);
int64_t wire_get_i64(struct wire_reader *);
double wire_get_f64(struct wire_reader *);
/* 0 or 1; any other byte fails the reader. */
int wire_get_bool(struct wire_reader *);
/*
 * A count of items that follow: fails when it is over `max` or when fewer
 * than count * `least` bytes are left (so that a forged count cannot make
 * the receiver allocate).
 */
uint32_t wire_get_count(struct wire_reader *, uint32_t max, size_t least);
/* Borrowed view of u32 + bytes; NULL when failed. `max` bytes at most. */
const void *wire_get_bytes(struct wire_reader *, size_t max, size_t *len);
/* As wire_get_bytes, and fails on a NUL inside. Not NUL-terminated. */
const char *wire_get_view(struct wire_reader *, size_t max, size_t *len);
/* Copies a string into buf (NUL-terminated); fails when it does not fit. */
void wire_get_string(struct wire_reader *, char *buf, size_t size);
/* A fresh NUL-terminated copy, to be freed; NULL when failed. */
char *wire_get_strdup(struct wire_reader *, size_t max);
/* All that is left, as it is; nothing is left then. */
const void *wire_get_rest(struct wire_reader *, size_t *len);
/* 0 if nothing failed and nothing is left, else -1. */
int wire_end(const struct wire_reader *);

#endif
