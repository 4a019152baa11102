#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>

#include <openssl/crypto.h>
#include <openssl/ssl.h>

#include "../common/log.h"
#include "tls.h"

/*
 * How much memory a connection of TLS takes, which libtls has no words for.
 */

#define RECORD 4096 /* bytes, of those that are sent */
/*
 * Of one piece of memory: OpenSSL makes room for a message as long as its
 * first bytes say, up to 128 KiB, before anybody is known; a third more than
 * that.  Chains of certificates are the longest messages that are meant.
 */
#define PIECE (24UL * 1024)

static size_t most = SIZE_MAX;
static int64_t used[2]; /* by connections, by all else */
static int whose = 1;

static void *
piece_new(size_t size, const char *file, int line)
{
	void *p;

	(void)file;
	(void)line;
	p = size > most ? NULL : malloc(size);
	used[whose] += (int64_t)malloc_usable_size(p);
	return p;
}

static void *
piece_resize(void *p, size_t size, const char *file, int line)
{
	int64_t before;
	void *fresh;

	(void)file;
	(void)line;
	before = (int64_t)malloc_usable_size(p);
	if (size == 0) {
		free(p);
		used[whose] -= before;
		return NULL;
	}
	fresh = size > most ? NULL : realloc(p, size);
	if (fresh != NULL)
		used[whose] += (int64_t)malloc_usable_size(fresh) - before;
	return fresh;
}

static void
piece_free(void *p, const char *file, int line)
{
	(void)file;
	(void)line;
	used[whose] -= (int64_t)malloc_usable_size(p);
	free(p);
}

/*
 * A connection would keep two buffers of 16 KiB each while nothing is in them,
 * and one while its peer does not read.  OpenSSL tells of each new one
 * (CRYPTO_get_ex_new_index(3), SSL_CTX_set_mode(3)).
 */
static void
new_connection(void *ssl, void *value, CRYPTO_EX_DATA *data, int index,
    long number, void *arg)
{
	(void)value;
	(void)data;
	(void)index;
	(void)number;
	(void)arg;
	(void)SSL_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS);
	(void)SSL_set_max_send_fragment(ssl, RECORD);
}

void
tls_memory_prepare(void)
{
	/* Only before the first piece. */
	if (!CRYPTO_set_mem_functions(piece_new, piece_resize, piece_free))
		fatalx("CRYPTO_set_mem_functions failed");
	if (SSL_get_ex_new_index(0, NULL, new_connection, NULL, NULL) == -1)
		fatalx("SSL_get_ex_new_index failed");
}

void
tls_memory_limit(int on)
{
	most = on ? PIECE : SIZE_MAX;
}

int
tls_memory_for(int connections)
{
	int before;

	before = !whose;
	whose = !connections;
	return before;
}

size_t
tls_memory_used(void)
{
	return used[0] > 0 ? (size_t)used[0] : 0;
}
