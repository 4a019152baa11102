#ifndef MUSTER_JSON_H
#define MUSTER_JSON_H

#include <stddef.h>
#include <stdint.h>

/*
 * Writing JSON as Python's json.dumps() does: ", " and ": " between the
 * parts, ASCII only (pymanager's clients compare bytes).  Errors (memory)
 * are sticky.
 */
struct json {
	char *data;
	size_t len;
	size_t size;
	int failed;
	int first; /* nothing stands in the open object or array yet */
};

void json_begin(struct json *); /* reuses the memory of the last time */
void json_free(struct json *);
void json_raw(struct json *, const char *, size_t);
void json_open(struct json *, char bracket); /* '{' or '[' */
void json_close(struct json *, char bracket);
void json_key(struct json *, const char *);
void json_string(struct json *, const char *, size_t);
void json_text(struct json *, const char *); /* NUL-terminated */
/* 1 if json_string() gives these bytes back unchanged: UTF-8 without NUL. */
int json_is_text(const void *, size_t);
void json_int(struct json *, int64_t);
void json_bool(struct json *, int);
void json_null(struct json *);
/* Seconds with fractions, of nanoseconds. */
void json_seconds(struct json *, int64_t ns);
/* RFC 3339 of wall-clock nanoseconds; null for 0. */
void json_time(struct json *, int64_t ns);

#endif
