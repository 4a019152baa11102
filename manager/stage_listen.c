#include "../common/wire.h"
#include "manager.h"

/* The entries of the HTTP API: sockets to listen on, and files of TLS. */

#define BACKLOG 1024
#define MODE_SOCKET 0666 /* who may connect is asked of the kernel */

static void
stage_listener(enum listener_kind kind)
{
	const struct listen_config *h;
	struct blame blame;
	struct wire w;

	h = &mgr.config->http;
	blame.at = kind == LISTENER_TCP ? &h->port_at : &h->at;
	blame.key = kind == LISTENER_TCP ? "http.port" : "http.unix";
	blame.job = NULL;
	blame.value = kind == LISTENER_TCP ? NULL : h->unix_path;
	wire_init(&w);
	wire_put_u8(&w, (uint8_t)kind);
	wire_put_str(&w, kind == LISTENER_TCP ? h->address : "");
	wire_put_u16(&w, kind == LISTENER_TCP ? h->port : 0);
	wire_put_str(&w, kind == LISTENER_TCP ? "" : h->unix_path);
	wire_put_u32(&w, MODE_SOCKET);
	wire_put_u32(&w, BACKLOG);
	(void)stage_add(ENTRY_LISTEN, &w, &blame);
	wire_free(&w);
}

static void
stage_tls_file(
    const char *key, const char *path, enum tls_file what, unsigned int flags)
{
	struct blame blame = {&mgr.config->http.tls.at, key, NULL, path};
	struct wire w;

	if (path == NULL)
		return;
	wire_init(&w);
	wire_put_str(&w, path);
	wire_put_u8(&w, (uint8_t)what);
	wire_put_u8(&w, (uint8_t)flags);
	(void)stage_add(ENTRY_TLS, &w, &blame);
	wire_free(&w);
}

/* They are handed on in this order. */
static void
stage_tls(void)
{
	const struct tls_config_files *t;

	t = &mgr.config->http.tls;
	stage_tls_file(
	    "http.tls.certificate", t->certificate, TLS_FILE_CERTIFICATE, 0);
	stage_tls_file("http.tls.client-ca", t->client_ca, TLS_FILE_CLIENT_CA,
	    t->client_required ? TLS_FILE_REQUIRED : 0);
	stage_tls_file("http.tls.crl", t->crl, TLS_FILE_CRL, 0);
	stage_tls_file("http.tls.key", t->key, TLS_FILE_KEY, 0);
}

void
stage_listeners(void)
{
	if (mgr.config->http.enabled) {
		stage_listener(LISTENER_TCP);
		if (mgr.config->http.tls.enabled)
			stage_tls();
	}
	stage_listener(LISTENER_UNIX);
}
