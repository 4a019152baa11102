#ifndef MUSTER_HTTPD_TLS_H
#define MUSTER_HTTPD_TLS_H

#include <stddef.h>
#include <stdint.h>

#include <tls.h>

#include "../common/message.h"

/* The files of a configuration, whole. */
struct tls_files {
	struct tls_file_bytes {
		uint8_t *data; /* NULL: not given */
		size_t len;
	} file[TLS_FILE_KEY + 1];
	int client_required;
};

/* Reads the descriptor to its end and closes it: 0 or -1. */
int tls_files_read(struct tls_files *, unsigned int what, int fd);
/* Wipes and frees all of them. */
void tls_files_free(struct tls_files *);
/*
 * A server of these files, TLS 1.2 (ECDHE, AEAD) and 1.3 only, or NULL with
 * the file to blame and one line of why.  The key is only in the server.
 */
struct tls *tls_files_server(
    const struct tls_files *, uint8_t *blame, char *why, size_t size);
/* Do they hold today?  0, or -1 with the file to blame and why. */
int tls_files_check(
    const struct tls_files *, uint8_t *blame, char *why, size_t size);

/*
 * The authorities of the clients, and what they have revoked; NULL if there
 * are none, or no memory.
 */
struct x509_store_st *tls_files_authorities(const struct tls_files *);
/*
 * Does a chain in PEM format, the peer's own certificate first, lead to one of
 * them today, as libtls would have it in a handshake?
 */
int tls_chain_is_valid(
    struct x509_store_st *, const uint8_t *chain, size_t len);

/* ---- tls_memory.c ---------------------------------------------------- */

/* Before anything else of OpenSSL. */
void tls_memory_prepare(void);
/* From now on, is the memory limited that OpenSSL takes for one message? */
void tls_memory_limit(int on);
/*
 * Is what it takes and gives back from now on that of connections (first: no)?
 * Returns what was so before.
 */
int tls_memory_for(int connections);
/* Bytes that connections have. */
size_t tls_memory_used(void);

#endif
