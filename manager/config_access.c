#include <arpa/inet.h>
#include <netinet/in.h>

#include <errno.h>
#include <string.h>
#include <time.h>

#include "config_table.h"

/*
 * Who may use the API: the tokens file, TLS, and what an address that is not
 * of this machine alone asks for.
 */

static const char *const role_words[] = {"read", "operate", "admin", NULL};
static const char *const client_words[] = {"optional", "required", NULL};

/* Bytes of all that is allowed: it goes to the workers in one message. */
#define MAX_ALLOWED (48UL * 1024)

#define TLS(member) offsetof(struct tls_config_files, member)

/* ---- tls ------------------------------------------------------------ */

static void
set_client(struct loader *l, const struct key *k, void *target,
    const struct doc_node *n)
{
	(void)l;
	(void)k;
	((struct tls_config_files *)target)->client_required =
	    strcmp(n->text, "required") == 0;
}

static const struct key tls_keys[] = {
    {.name = "certificate",
	.types = TYPE_STRING,
	.set = set_path,
	.offset = TLS(certificate),
	.about = "File of the certificate and its chain (PEM)."},
    {.name = "key",
	.types = TYPE_STRING,
	.set = set_path,
	.offset = TLS(key),
	.about = "File of its private key (PEM)."},
    {.name = "client-ca",
	.types = TYPE_STRING,
	.set = set_path,
	.offset = TLS(client_ca),
	.about = "File of the CA that certifies clients (PEM)."},
    {.name = "client",
	.types = TYPE_STRING,
	.set = set_client,
	.words = client_words,
	.about = "Must clients show a certificate (optional)?"},
    {.name = "crl",
	.types = TYPE_STRING,
	.set = set_path,
	.offset = TLS(crl),
	.about = "File of revoked certificates of clients (PEM)."},
    {.name = "key-holder",
	.types = TYPE_BOOL,
	.later = "a process of its own for the key",
	.about = "Keep the key out of the HTTP workers."},
    {.name = NULL},
};
#define WANTS_CA \
	"{\"anyOf\":[{\"required\":[\"client-ca\"]},{\"required\":" \
	"[\"client_ca\"]}]}"
const struct key_group group_tls = {"tls", tls_keys,
    "{\"required\":[\"certificate\",\"key\"],\"dependentSchemas\":"
    "{\"crl\":" WANTS_CA ",\"client\":" WANTS_CA "}}"};

void
set_tls(struct loader *l, const struct key *k, void *target,
    const struct doc_node *n)
{
	struct tls_config_files *tls;
	struct listen_config *h;

	h = target;
	tls = &h->tls;
	tls->at = config_position(l, n);
	config_group(l, k->group, tls, n);
	if (doc_get(n, "certificate") == NULL || doc_get(n, "key") == NULL)
		config_error(l, n, "want certificate and key");
	else if (tls->client_ca == NULL &&
	    (doc_get(n, "client") != NULL || tls->crl != NULL))
		config_error(l, n, "client and crl want a client-ca");
	tls->enabled = 1;
}

/* ---- tokens --------------------------------------------------------- */

static void
set_role(struct loader *l, const struct key *k, void *target,
    const struct doc_node *n)
{
	unsigned int i;

	(void)l;
	for (i = 0; k->words[i] != NULL; i++)
		if (strcmp(k->words[i], n->text) == 0)
			((struct principal_config *)target)->role =
			    ACCESS_READ + i;
}

/* "SHA256:" and 64 digits; colons between bytes as openssl(1) prints them. */
static void
set_hash(struct loader *l, const struct key *k, void *target,
    const struct doc_node *n)
{
	struct principal_config *p;
	const char *s;
	size_t i;

	p = target;
	p->kind = strcmp(k->name, "token") == 0 ? PRINCIPAL_TOKEN :
						  PRINCIPAL_CERTIFICATE;
	p->nhashes++;
	s = n->text;
	if (strncmp(s, "SHA256:", 7) == 0) {
		s += 7;
		for (i = 0; i < PRINCIPAL_HASH; i++) {
			if (i > 0 && *s == ':')
				s++;
			if (value_hex(s[0]) == -1 || value_hex(s[1]) == -1)
				break;
			p->hash[i] =
			    (uint8_t)(value_hex(s[0]) << 4 | value_hex(s[1]));
			s += 2;
		}
		if (i == PRINCIPAL_HASH && *s == '\0')
			return;
	}
	config_error(l, n,
	    "want SHA256: and 64 hexadecimal digits (musterctl token makes "
	    "them)");
}

/* A day (its first moment), or a moment, in UTC (RFC 3339). */
static void
set_expires(struct loader *l, const struct key *k, void *target,
    const struct doc_node *n)
{
	static const char *const forms[] = {"%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ"};
	const char *end;
	struct tm tm;
	size_t i;

	(void)k;
	for (i = 0; i < 2; i++) {
		memset(&tm, 0, sizeof(tm));
		end = strptime(n->text, forms[i], &tm);
		if (end != NULL && *end == '\0') {
			((struct principal_config *)target)->expires =
			    timegm(&tm);
			return;
		}
	}
	config_error(l, n,
	    "want a date such as 2030-12-31, or "
	    "2030-12-31T12:00:00Z");
}

static void
set_scope(struct loader *l, const struct key *k, void *target,
    const struct doc_node *n)
{
	struct principal_config *p;
	size_t i;

	(void)k;
	p = target;
	value_strings(l, n, &p->scope);
	/* Nothing may not mean everything. */
	if (p->scope.count == 0 || p->scope.count > MAX_SCOPES)
		config_error(l, n, "want 1 to %d sessions or jobs", MAX_SCOPES);
	/* All of it goes to the workers in one message. */
	for (i = 0; i < p->scope.count; i++)
		if (strlen(p->scope.list[i]) > 2 * MAX_NAME + 1) {
			config_error(l, n,
			    "a name of a job has at most %d bytes", MAX_NAME);
			return;
		}
}

static const struct key principal_keys[] = {
    {.name = "role",
	.types = TYPE_STRING,
	.set = set_role,
	.words = role_words,
	.about = "What it may do: read, operate or admin."},
    {.name = "scope",
	.types = TYPE_STRINGS | TYPE_STRING,
	.set = set_scope,
	.about = "Sessions, or jobs as SESSION.JOB (everything)."},
    {.name = "expires",
	.types = TYPE_STRING,
	.set = set_expires,
	.about = "When it ends: a date in UTC (never)."},
    {.name = "token",
	.types = TYPE_STRING | TYPE_SECRET,
	.set = set_hash,
	.about = "SHA256: and the hash of the token."},
    {.name = "certificate",
	.types = TYPE_STRING,
	.set = set_hash,
	.about = "SHA256: and the fingerprint of the certificate."},
    {.name = NULL},
};
static const struct key_group group_principal = {
    "principal", principal_keys, NULL};

static void
add_principal(
    struct loader *l, struct listen_config *h, const struct doc_node *n)
{
	struct principal_config *p;

	if (n->kind != DOC_OBJECT || strlen(n->key) > MAX_NAME) {
		config_error(
		    l, n, "want a name and a mapping with role, token");
		return;
	}
	if (h->nprincipals == MAX_PRINCIPALS) {
		config_error(l, n, "more than %d tokens", MAX_PRINCIPALS);
		return;
	}
	h->principals =
	    config_array(l->config, h->principals, h->nprincipals, sizeof(*p));
	p = &h->principals[h->nprincipals++];
	memset(p, 0, sizeof(*p));
	p->name = config_strdup(l->config, n->key);
	config_group(l, &group_principal, p, n);
	if (doc_get(n, "role") == NULL)
		config_error(l, n, "want a role");
	else if (p->nhashes != 1)
		config_error(l, n, "want token or certificate");
}

void
set_tokens(struct loader *l, const struct key *k, void *target,
    const struct doc_node *n)
{
	const struct doc_node *item;
	struct listen_config *h;
	const char *outer;
	const void *bytes;
	struct doc *doc;
	size_t len;
	const char *path;

	(void)k;
	h = target;
	path = value_path(l, n);
	if (path == NULL)
		return;
	if (l->read_file(l->read_arg, path, &bytes, &len) == -1) {
		if (errno != EAGAIN)
			config_error(l, n, "cannot read %s: %s", path,
			    strerrordesc_np(errno));
		return;
	}
	h->has_tokens = 1;
	outer = l->file;
	l->file = path;
	doc = len == 0 ? NULL : config_parse(l, path, bytes, len);
	item = doc == NULL ? NULL : doc_first(doc->root);
	for (; item != NULL; item = doc_next(item))
		add_principal(l, h, item);
	doc_free(doc);
	l->file = outer;
}

/* ---- foreign addresses ---------------------------------------------- */

int
address_is_loopback(const char *address)
{
	struct in6_addr v6;
	struct in_addr v4;

	if (inet_pton(AF_INET, address, &v4) == 1)
		return ntohl(v4.s_addr) >> 24 == 127;
	return inet_pton(AF_INET6, address, &v6) == 1 &&
	    IN6_IS_ADDR_LOOPBACK(&v6);
}

static size_t
strings_size(const struct strings *s)
{
	size_t i;
	size_t size;

	for (size = 0, i = 0; i < s->count; i++)
		size += strlen(s->list[i]) + 4;
	return size;
}

void
config_check_access(struct loader *l, const struct doc_node *n)
{
	struct listen_config *h;
	int known;

	h = &l->config->http;
	if (strings_size(&h->allow_hosts) + strings_size(&h->allow_origins) +
		strings_size(&h->allow_users) + strings_size(&h->allow_groups) >
	    MAX_ALLOWED)
		config_error(l, n,
		    "allow-hosts, allow-origins, allow-users and allow-groups "
		    "are larger than %lu KiB",
		    MAX_ALLOWED >> 10);
	if (h->insecure && h->enabled && !address_is_loopback(h->address))
		config_warning(l, n,
		    "insecure: whoever reaches %s port %u may do everything",
		    h->address, h->port);
	if (!h->enabled || h->insecure || address_is_loopback(h->address))
		return;
	known = h->has_tokens || h->tls.client_ca != NULL;
	if (h->tls.enabled && known)
		return;
	config_error(l, n,
	    "%s is not a loopback address: that wants %s%s%s (or insecure: "
	    "true)",
	    h->address, h->tls.enabled ? "" : "tls",
	    h->tls.enabled || known ? "" : " and ",
	    known ? "" : "tokens or a client-ca");
}
