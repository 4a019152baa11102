#include <sys/socket.h>

#include <arpa/inet.h>

#include <stdio.h>
#include <string.h>

#include "host_name.h"
#include "http.h"

/* The options of libcurl's handles. */

#define BUFFER_SIZE 2048L /* of a handle in use */
#define CONNECTION_LIFE 300L /* seconds; a name may get another address */
#define HOST_CACHE_LIFE 60L /* seconds */
#define PRUNE_EVERY 256

/* CURLOPT_RESOLVER_START_FUNCTION: only what needs no resolver. */
static int
resolver_cb(void *state, void *reserved, void *arg)
{
	const struct http_run *run = arg;

	(void)state;
	(void)reserved;
	if (run->http == NULL)
		return 1;
	if (run->hop.url != NULL)
		return run->hop.literal == 0;
	return run->http->target.literal == 0;
}

/* CURLOPT_PREREQFUNCTION: the request is about to be sent. */
static int
/* NOLINTNEXTLINE(readability-non-const-parameter) the type is libcurl's */
connected_cb(void *arg, char *peer, char *local, int peer_port, int local_port)
{
	struct http_run *run = arg;

	(void)peer;
	(void)local;
	(void)peer_port;
	(void)local_port;
	run->state.connected = 1;
	/* The one that answers comes first next time. */
	if (run->hops == 0 && run->ntried > 1)
		run->http->first =
		    (run->http->first + run->ntried - 1) % run->naddresses;
	return CURL_PREREQFUNC_OK;
}

/* CURLOPT_SSL_CTX_FUNCTION */
static CURLcode
ssl_ctx_cb(CURL *easy, void *ctx, void *arg)
{
	const struct http_run *run = arg;

	(void)easy;
	if (run->check != NULL &&
	    (run->check->spec.ca != NULL || run->check->spec.insecure))
		return CURLE_OK;
	return tls_trust(ctx) == -1 ? CURLE_OUT_OF_MEMORY : CURLE_OK;
}

/* What is the same for all attempts. */
void
http_handle_init(
    struct http_run *run, curl_write_callback header, curl_write_callback body)
{
	CURL *e = run->easy;

	http_loop_adopt(e, &run->state);
	(void)curl_easy_setopt(e, CURLOPT_ERRORBUFFER, run->error);
	(void)curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(e, CURLOPT_PROXY, "");
	(void)curl_easy_setopt(e, CURLOPT_NOPROXY, "*");
	(void)curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
	(void)curl_easy_setopt(e, CURLOPT_REDIR_PROTOCOLS_STR, "");
	(void)curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
	(void)curl_easy_setopt(
	    e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	(void)curl_easy_setopt(e, CURLOPT_HTTP09_ALLOWED, 0L);
	(void)curl_easy_setopt(e, CURLOPT_USERAGENT, "muster");
	(void)curl_easy_setopt(e, CURLOPT_BUFFERSIZE, BUFFER_SIZE);
	(void)curl_easy_setopt(e, CURLOPT_UPLOAD_BUFFERSIZE, 16384L);
	(void)curl_easy_setopt(e, CURLOPT_NOPROGRESS, 1L);
	(void)curl_easy_setopt(e, CURLOPT_MAXLIFETIME_CONN, CONNECTION_LIFE);
	(void)curl_easy_setopt(e, CURLOPT_CAINFO, NULL);
	(void)curl_easy_setopt(e, CURLOPT_CAPATH, NULL);
	/* A resumed session shows no certificate. */
	(void)curl_easy_setopt(e, CURLOPT_SSL_SESSIONID_CACHE, 0L);
	(void)curl_easy_setopt(e, CURLOPT_SSL_CTX_FUNCTION, ssl_ctx_cb);
	(void)curl_easy_setopt(e, CURLOPT_SSL_CTX_DATA, run);
	(void)curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, header);
	(void)curl_easy_setopt(e, CURLOPT_HEADERDATA, run);
	(void)curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, body);
	(void)curl_easy_setopt(e, CURLOPT_WRITEDATA, run);
	(void)curl_easy_setopt(e, CURLOPT_RESOLVER_START_FUNCTION, resolver_cb);
	(void)curl_easy_setopt(e, CURLOPT_RESOLVER_START_DATA, run);
	(void)curl_easy_setopt(e, CURLOPT_PREREQFUNCTION, connected_cb);
	(void)curl_easy_setopt(e, CURLOPT_PREREQDATA, run);
}

int
http_sends_body(const char *method)
{
	return strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0 ||
	    strcmp(method, "PATCH") == 0;
}

static void
set_method(struct http_run *run, const char *method)
{
	CURL *e = run->easy;

	(void)curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, NULL);
	(void)curl_easy_setopt(e, CURLOPT_HTTPGET, 1L);
	if (strcmp(method, "HEAD") == 0) {
		(void)curl_easy_setopt(e, CURLOPT_NOBODY, 1L);
		return;
	}
	if (run->as_get || strcmp(method, "GET") == 0)
		return;
	/* RFC 9110 §8.6: these say that there is no content. */
	if (http_sends_body(method)) {
		(void)curl_easy_setopt(e, CURLOPT_POST, 1L);
		(void)curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE, 0L);
		(void)curl_easy_setopt(e, CURLOPT_POSTFIELDS, "");
	}
	(void)curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, method);
}

static void
set_trust(struct http_run *run, const struct check_spec *spec)
{
	struct curl_blob blob;
	CURL *e = run->easy;

	(void)curl_easy_setopt(
	    e, CURLOPT_SSL_VERIFYPEER, spec->insecure ? 0L : 1L);
	(void)curl_easy_setopt(
	    e, CURLOPT_SSL_VERIFYHOST, spec->insecure ? 0L : 2L);
	if (spec->ca == NULL) {
		(void)curl_easy_setopt(e, CURLOPT_CAINFO_BLOB, NULL);
		return;
	}
	blob.data = spec->ca;
	blob.len = spec->ca_len;
	blob.flags = CURL_BLOB_COPY;
	(void)curl_easy_setopt(e, CURLOPT_CAINFO_BLOB, &blob);
}

/* "+host:port:[address]": libcurl keeps it for a while only. */
int
http_handle_address(struct http_run *run, const struct target *target,
    const struct address *address, long connect_ms)
{
	char number[INET6_ADDRSTRLEN];
	char text[MAX_HOST_NAME + 16 + INET6_ADDRSTRLEN];
	int v6;

	(void)curl_easy_setopt(
	    run->easy, CURLOPT_CONNECTTIMEOUT_MS, connect_ms);
	curl_slist_free_all(run->resolve);
	run->resolve = NULL;
	if (address == NULL)
		return 0;
	v6 = address->family == 6;
	if (inet_ntop(v6 ? AF_INET6 : AF_INET, address->bytes, number,
		sizeof(number)) == NULL)
		return -1;
	(void)snprintf(text, sizeof(text), "+%s:%u:%s%s%s", target->host,
	    target->port, v6 ? "[" : "", number, v6 ? "]" : "");
	run->resolve = curl_slist_append(NULL, text);
	return run->resolve == NULL ? -1 : 0;
}

/* All that differs between attempts and hops. */
void
http_handle_request(struct http_run *run, const struct target *target)
{
	const struct check_spec *spec = &run->check->spec;
	CURL *e = run->easy;
	static unsigned int transfers;
	long once = spec->mode == CHECK_UNTIL_PASSED;
	int prune;

	(void)curl_easy_setopt(e, CURLOPT_URL, target->url);
	set_method(run, spec->method);
	(void)curl_easy_setopt(e, CURLOPT_HTTPHEADER,
	    run->foreign ? run->http->foreign : run->http->fields);
	(void)curl_easy_setopt(e, CURLOPT_RESOLVE, run->resolve);
	if (target->tls)
		set_trust(run, spec);
	/*
	 * A check at start proves that the server takes connections: one
	 * that an earlier process had accepted proves nothing.  Nor is one
	 * left open, which a simple server might wait on.
	 */
	(void)curl_easy_setopt(e, CURLOPT_FRESH_CONNECT, once);
	(void)curl_easy_setopt(e, CURLOPT_FORBID_REUSE, once);
	/*
	 * libcurl looks through its whole cache of hosts after each
	 * transfer that lets them expire: not after all of them, but often
	 * enough that hosts which are asked no more do not pile up.
	 */
	prune = run->hops > 0 || ++transfers % PRUNE_EVERY == 0;
	(void)curl_easy_setopt(
	    e, CURLOPT_DNS_CACHE_TIMEOUT, prune ? HOST_CACHE_LIFE : -1L);
}
