#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <bsd/string.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "../common/message.h"
#include "tls.h"

/* Certificates and keys: from bytes to a server, and what is wrong with them.
 */

#define MAX_FILE (1024UL * 1024)
#define CIPHERS "ECDHE+AESGCM:ECDHE+CHACHA20"
#define CURVES "X25519:P-256:P-384"

static const char *const file_names[] = {
    [TLS_FILE_CERTIFICATE] = "certificate",
    [TLS_FILE_CLIENT_CA] = "CA",
};

int
tls_files_read(struct tls_files *files, unsigned int what, int fd)
{
	struct tls_file_bytes *f;
	ssize_t n;

	n = -1;
	f = &files->file[what];
	if (f->data == NULL) {
		f->data = malloc(MAX_FILE + 1);
		f->len = 0;
	}
	while (f->data != NULL && f->len <= MAX_FILE &&
	    (n = read(fd, f->data + f->len, MAX_FILE + 1 - f->len)) > 0)
		f->len += (size_t)n;
	(void)close(fd);
	return f->data == NULL || n != 0 || f->len > MAX_FILE ? -1 : 0;
}

void
tls_files_free(struct tls_files *files)
{
	struct tls_file_bytes *f;
	unsigned int i;

	for (i = 0; i <= TLS_FILE_KEY; i++) {
		f = &files->file[i];
		if (f->data != NULL)
			explicit_bzero(f->data, f->len);
		free(f->data);
	}
	memset(files, 0, sizeof(*files));
}

static int
set_files(
    struct tls_config *config, const struct tls_files *files, uint8_t *blame)
{
	const struct tls_file_bytes *f;

	f = files->file;
	*blame = TLS_FILE_CERTIFICATE;
	if (tls_config_set_keypair_mem(config, f[TLS_FILE_CERTIFICATE].data,
		f[TLS_FILE_CERTIFICATE].len, f[TLS_FILE_KEY].data,
		f[TLS_FILE_KEY].len) == -1)
		return -1;
	if (f[TLS_FILE_CLIENT_CA].data == NULL)
		return 0;
	*blame = TLS_FILE_CLIENT_CA;
	if (tls_config_set_ca_mem(config, f[TLS_FILE_CLIENT_CA].data,
		f[TLS_FILE_CLIENT_CA].len) == -1)
		return -1;
	if (files->client_required)
		tls_config_verify_client(config);
	else
		tls_config_verify_client_optional(config);
	*blame = TLS_FILE_CRL;
	return f[TLS_FILE_CRL].data == NULL ?
	    0 :
	    tls_config_set_crl_mem(
		config, f[TLS_FILE_CRL].data, f[TLS_FILE_CRL].len);
}

struct tls *
tls_files_server(
    const struct tls_files *files, uint8_t *blame, char *why, size_t size)
{
	struct tls_config *config;
	struct tls *server;
	int good;

	*blame = TLS_FILE_CERTIFICATE;
	(void)strlcpy(why, "no memory", size);
	config = tls_config_new();
	server = tls_server();
	good = 0;
	if (config == NULL || server == NULL)
		goto end;
	if (tls_config_set_protocols(
		config, TLS_PROTOCOL_TLSv1_2 | TLS_PROTOCOL_TLSv1_3) == -1 ||
	    tls_config_set_ciphers(config, CIPHERS) == -1 ||
	    tls_config_set_ecdhecurves(config, CURVES) == -1 ||
	    set_files(config, files, blame) == -1) {
		if (tls_config_error(config) != NULL)
			(void)strlcpy(why, tls_config_error(config), size);
		goto end;
	}
	*blame = TLS_FILE_KEY;
	if (tls_configure(server, config) == -1) {
		if (tls_error(server) != NULL)
			(void)strlcpy(why, tls_error(server), size);
		goto end;
	}
	good = 1;
end:
	/* The server has what it needs in a form of its own. */
	if (config != NULL)
		tls_config_clear_keys(config);
	tls_config_free(config);
	if (good)
		return server;
	tls_free(server);
	return NULL;
}

/* ---- checking ------------------------------------------------------- */

/* All certificates of a file must be readable, the first one valid now. */
static int
check_certificates(
    const struct tls_files *files, uint8_t what, char *why, size_t size)
{
	const ASN1_TIME *limit;
	char when[64];
	X509 *x;
	BIO *bio;
	int n;

	bio =
	    BIO_new_mem_buf(files->file[what].data, (int)files->file[what].len);
	x = bio == NULL ? NULL : PEM_read_bio_X509(bio, NULL, NULL, NULL);
	if (x == NULL) {
		(void)snprintf(
		    why, size, "holds no %s in PEM format", file_names[what]);
		BIO_free(bio);
		return -1;
	}
	BIO_free(bio);
	n = 0;
	limit = X509_get0_notAfter(x);
	if (X509_cmp_current_time(limit) < 0)
		n = -1;
	else if (X509_cmp_current_time(X509_get0_notBefore(x)) > 0) {
		limit = X509_get0_notBefore(x);
		n = 1;
	}
	bio = n == 0 ? NULL : BIO_new(BIO_s_mem());
	memset(when, 0, sizeof(when));
	if (bio != NULL && ASN1_TIME_print(bio, limit))
		(void)BIO_read(bio, when, sizeof(when) - 1);
	BIO_free(bio);
	if (n == -1)
		(void)snprintf(why, size, "the %s has expired on %s",
		    file_names[what], when);
	else if (n == 1)
		(void)snprintf(why, size, "the %s is not valid before %s",
		    file_names[what], when);
	X509_free(x);
	return n == 0 ? 0 : -1;
}

/* One that has run out would refuse every client. */
static int
check_crl(const struct tls_files *files, char *why, size_t size)
{
	const struct tls_file_bytes *f;
	const ASN1_TIME *next;
	X509_CRL *crl;
	BIO *bio;
	int good;

	f = &files->file[TLS_FILE_CRL];
	bio = BIO_new_mem_buf(f->data, (int)f->len);
	crl = bio == NULL ? NULL : PEM_read_bio_X509_CRL(bio, NULL, NULL, NULL);
	BIO_free(bio);
	next = crl == NULL ? NULL : X509_CRL_get0_nextUpdate(crl);
	good = crl != NULL && (next == NULL || X509_cmp_current_time(next) > 0);
	if (!good)
		(void)strlcpy(why,
		    crl == NULL ?
			"holds no list of revoked certificates in PEM format" :
			"the list of revoked certificates is out of date",
		    size);
	X509_CRL_free(crl);
	return good ? 0 : -1;
}

/* A key with a passphrase is none: nobody is there to type it. */
static int /* NOLINTNEXTLINE(readability-non-const-parameter) OpenSSL's type */
no_passphrase(char *buf, int size, int writing, void *arg)
{
	(void)buf;
	(void)size;
	(void)writing;
	(void)arg;
	return -1;
}

static int
check_key(const struct tls_files *files, char *why, size_t size)
{
	const struct tls_file_bytes *f;
	EVP_PKEY *key;
	X509 *x;
	BIO *bio;
	int match;

	f = &files->file[TLS_FILE_KEY];
	bio = BIO_new_mem_buf(f->data, (int)f->len);
	key = bio == NULL ?
	    NULL :
	    PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
	BIO_free(bio);
	if (key == NULL) {
		(void)snprintf(why, size,
		    "holds no private key in PEM format (without passphrase)");
		return -1;
	}
	f = &files->file[TLS_FILE_CERTIFICATE];
	bio = BIO_new_mem_buf(f->data, (int)f->len);
	x = bio == NULL ? NULL : PEM_read_bio_X509(bio, NULL, NULL, NULL);
	BIO_free(bio);
	match = x != NULL && X509_check_private_key(x, key) == 1;
	X509_free(x);
	EVP_PKEY_free(key);
	if (!match)
		(void)snprintf(why, size,
		    "the private key is not that of the certificate");
	return match ? 0 : -1;
}

int
tls_files_check(
    const struct tls_files *files, uint8_t *blame, char *why, size_t size)
{
	struct tls *server;
	int n;

	*blame = TLS_FILE_CERTIFICATE;
	if (files->file[TLS_FILE_CERTIFICATE].data == NULL ||
	    files->file[TLS_FILE_KEY].data == NULL) {
		(void)strlcpy(why, "there is no certificate or key", size);
		return -1;
	}
	n = check_certificates(files, *blame, why, size);
	if (n == 0 && files->file[TLS_FILE_CLIENT_CA].data != NULL) {
		*blame = TLS_FILE_CLIENT_CA;
		n = check_certificates(files, *blame, why, size);
	}
	if (n == 0 && files->file[TLS_FILE_CRL].data != NULL) {
		*blame = TLS_FILE_CRL;
		n = check_crl(files, why, size);
	}
	if (n == 0) {
		*blame = TLS_FILE_KEY;
		n = check_key(files, why, size);
	}
	ERR_clear_error();
	if (n == -1)
		return -1;
	server = tls_files_server(files, blame, why, size);
	if (server == NULL)
		return -1;
	tls_free(server);
	*blame = TLS_FILE_NONE;
	why[0] = '\0';
	return 0;
}

/* ---- clients again ---------------------------------------------------- */

/* Adds all certificates, or all lists of revoked ones, of a file. */
static int
add_all(X509_STORE *store, const struct tls_file_bytes *f, int lists)
{
	X509_CRL *crl;
	X509 *x;
	BIO *bio;
	int good;
	int n;

	bio = BIO_new_mem_buf(f->data, (int)f->len);
	good = bio != NULL;
	for (n = 0; good; n++) {
		x = lists ? NULL : PEM_read_bio_X509(bio, NULL, NULL, NULL);
		crl =
		    lists ? PEM_read_bio_X509_CRL(bio, NULL, NULL, NULL) : NULL;
		if (x == NULL && crl == NULL)
			break;
		good = lists ? X509_STORE_add_crl(store, crl) :
			       X509_STORE_add_cert(store, x);
		X509_free(x);
		X509_CRL_free(crl);
	}
	BIO_free(bio);
	ERR_clear_error();
	return good && n > 0 ? 0 : -1;
}

X509_STORE *
tls_files_authorities(const struct tls_files *files)
{
	const struct tls_file_bytes *f;
	X509_STORE *store;

	f = files->file;
	store = X509_STORE_new();
	if (store == NULL)
		return NULL;
	if (add_all(store, &f[TLS_FILE_CLIENT_CA], 0) == 0 &&
	    (f[TLS_FILE_CRL].data == NULL ||
		(add_all(store, &f[TLS_FILE_CRL], 1) == 0 &&
		    X509_STORE_set_flags(store,
			X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL))))
		return store;
	X509_STORE_free(store);
	return NULL;
}

static int
verify(X509_STORE *store, X509 *own, STACK_OF(X509) * others)
{
	X509_STORE_CTX *ctx;
	int good;

	ctx = X509_STORE_CTX_new();
	good = ctx != NULL && X509_STORE_CTX_init(ctx, store, own, others) &&
	    X509_STORE_CTX_set_default(ctx, "ssl_client") &&
	    X509_verify_cert(ctx) == 1;
	X509_STORE_CTX_free(ctx);
	return good;
}

int
tls_chain_is_valid(X509_STORE *store, const uint8_t *chain, size_t len)
{
	STACK_OF(X509) * others;
	X509 *own;
	X509 *x;
	BIO *bio;
	int good;

	others = sk_X509_new_null();
	bio = BIO_new_mem_buf(chain, (int)len);
	own = bio == NULL ? NULL : PEM_read_bio_X509(bio, NULL, NULL, NULL);
	good = others != NULL && own != NULL;
	while (good && (x = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL)
		if (!sk_X509_push(others, x)) {
			X509_free(x);
			good = 0;
		}
	good = good && verify(store, own, others);
	sk_X509_pop_free(others, X509_free);
	X509_free(own);
	BIO_free(bio);
	ERR_clear_error();
	return good;
}
