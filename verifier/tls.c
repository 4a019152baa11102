#include <sys/stat.h>

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "../common/log.h"
#include "verifier.h"

/*
 * The certificates that a server's may be signed with.  libcurl can be given
 * the bundle as CURLOPT_CAINFO_BLOB, but then it parses it for every
 * connection: 144 certificates, 20 ms of CPU.  So it is OpenSSL, which
 * libcurl uses anyway, that gets one parsed copy for all connections.
 *
 * The file is opened before the sandbox, but read when the first https check
 * needs it: most verifiers never do.
 */

#define CA_BUNDLE "/etc/ssl/certs/ca-certificates.crt"
#define MAX_BUNDLE (8L * 1024 * 1024)

static int bundle = -1;
static X509_STORE *store;

void
tls_prepare(void)
{
	const char *path;

	/* NOLINTNEXTLINE(concurrency-mt-unsafe) there are no threads */
	path = getenv("SSL_CERT_FILE");
	if (path == NULL || path[0] == '\0')
		path = CA_BUNDLE;
	bundle = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (bundle == -1)
		log_info("%s cannot be read: https checks need a ca of their "
			 "own, or insecure",
		    path);
}

/* The whole file, to be freed, or NULL. */
static char *
read_bundle(size_t *len)
{
	struct stat st;
	ssize_t n = 0;
	char *text;

	if (fstat(bundle, &st) == -1 || !S_ISREG(st.st_mode) ||
	    st.st_size <= 0 || st.st_size > MAX_BUNDLE)
		return NULL;
	text = malloc((size_t)st.st_size);
	if (text == NULL)
		return NULL;
	for (*len = 0; *len < (size_t)st.st_size; *len += (size_t)n) {
		n = read(bundle, text + *len, (size_t)st.st_size - *len);
		if (n <= 0)
			break;
	}
	if (n != -1)
		return text;
	free(text);
	return NULL;
}

/* Adds what can be used of the text. */
static void
parse_bundle(X509_STORE *to, const char *text, size_t len)
{
	STACK_OF(X509_INFO) * list;
	X509_INFO *info;
	BIO *bio;
	int i;

	bio = BIO_new_mem_buf(text, (int)len);
	if (bio == NULL)
		return;
	list = PEM_X509_INFO_read_bio(bio, NULL, NULL, NULL);
	BIO_free(bio);
	if (list == NULL)
		return;
	for (i = 0; i < sk_X509_INFO_num(list); i++) {
		info = sk_X509_INFO_value(list, i);
		if (info->x509 != NULL)
			(void)X509_STORE_add_cert(to, info->x509);
		if (info->crl != NULL)
			(void)X509_STORE_add_crl(to, info->crl);
	}
	sk_X509_INFO_pop_free(list, X509_INFO_free);
}

static void
load_bundle(void)
{
	size_t len;
	char *text;

	if (bundle == -1)
		return;
	text = read_bundle(&len);
	if (text == NULL)
		log_warnx("the bundle of certificates cannot be read");
	else
		parse_bundle(store, text, len);
	free(text);
	(void)close(bundle);
	bundle = -1;
}

int
tls_trust(void *ssl_ctx)
{
	if (store == NULL) {
		store = X509_STORE_new();
		if (store == NULL)
			return -1;
		load_bundle();
	}
	SSL_CTX_set1_cert_store(ssl_ctx, store);
	return 0;
}
