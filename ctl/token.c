#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sha2.h>

#include <bsd/stdlib.h>

#include "ctl.h"

/*
 * token: makes one.  The token itself is shown once, on standard output; what
 * belongs into the file of `http.tokens` is its hash.
 */

#define SECRET 32UL /* bytes: nobody guesses 256 bits, so a plain hash does */
#define PREFIX "muster_"

static void
hex(const uint8_t *bytes, size_t len, char *text)
{
	size_t i;

	for (i = 0; i < len; i++)
		(void)snprintf(text + 2 * i, 3, "%02x", bytes[i]);
}

/* A name that YAML takes as it is. */
static int
is_plain(const char *name)
{
	return name[0] != '\0' && name[0] != '-' &&
	    name[strspn(name,
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
		"0123456789_-.")] == '\0' &&
	    strlen(name) <= 128;
}

/* "a,b" as a list of YAML. */
static char *
scope_list(void)
{
	char *text;
	char *s;

	if (options.scope == NULL)
		return xstrdup("");
	text = xasprintf(", scope: [%s]", options.scope);
	for (s = text; *s != '\0'; s++)
		if (*s == '\n' || *s == '\r')
			*s = ' ';
	return text;
}

int
verb_token(int argc, char **argv)
{
	static const char *const roles[] = {"read", "operate", "admin"};
	char digest[2 * SHA256_DIGEST_LENGTH + 1];
	char token[sizeof(PREFIX) + 2 * SECRET];
	uint8_t hash[SHA256_DIGEST_LENGTH];
	uint8_t secret[SECRET];
	SHA2_CTX context;
	const char *role;
	char *scope;
	char *line;

	(void)argc;
	if (!is_plain(argv[0])) {
		complain(
		    "%s: want a name of letters, digits, - _ and .", argv[0]);
		return CTL_USAGE;
	}
	arc4random_buf(secret, sizeof(secret));
	memcpy(token, PREFIX, sizeof(PREFIX));
	hex(secret, sizeof(secret), token + sizeof(PREFIX) - 1);
	SHA256Init(&context);
	SHA256Update(&context, (const uint8_t *)token, strlen(token));
	SHA256Final(hash, &context);
	hex(hash, sizeof(hash), digest);
	role = roles[options.role];
	scope = scope_list();
	line = xasprintf("%s: {role: %s%s, token: \"SHA256:%s\"}", argv[0],
	    role, scope, digest);
	if (options.json)
		print_json(json_pack("{s:s, s:s, s:s}", "name", argv[0],
		    "token", token, "line", line));
	else {
		(void)printf("%s\n", token);
		note("for the file of http.tokens:");
		if (!options.quiet)
			(void)fprintf(stderr, "%s\n", line);
	}
	free(line);
	free(scope);
	return CTL_OK;
}
