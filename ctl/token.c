#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <sha2.h>

#include <bsd/stdlib.h>

#include "ctl.h"

/*
 * token: makes one.  The secret is the first line; the second one is its record
 * for the file of `http.tokens`, which holds only its hash.
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

/* Sessions and jobs, with commas: what YAML takes as it is. */
static int
is_scope(const char *list)
{
	return list[strcspn(list, "[]{}\"'#&*!|>%@`\r\n")] == '\0';
}

/* A date, with a time or without (RFC 3339, UTC). */
static int
is_date(const char *text)
{
	static const char *const forms[] = {"%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ"};
	const char *end;
	struct tm tm;
	size_t i;

	for (i = 0; i < 2; i++) {
		memset(&tm, 0, sizeof(tm));
		end = strptime(text, forms[i], &tm);
		if (end != NULL && *end == '\0')
			return 1;
	}
	return 0;
}

static int
check(const char *name)
{
	if (!is_plain(name))
		complain("%s: want a name of letters, digits, - _ and .", name);
	else if (options.scope != NULL && !is_scope(options.scope))
		complain(
		    "--scope: %s: want SESSION or SESSION.JOB", options.scope);
	else if (options.expires != NULL && !is_date(options.expires))
		complain("--expires: %s: want a date such as 2030-12-31",
		    options.expires);
	else
		return 0;
	return -1;
}

/* A line of YAML for the file of http.tokens. */
static char *
record(const char *name, const char *digest)
{
	static const char *const roles[] = {"read", "operate", "admin"};

	return xasprintf("%s: {role: %s%s%s%s%s%s, token: \"SHA256:%s\"}", name,
	    roles[options.role], options.scope == NULL ? "" : ", scope: [",
	    options.scope == NULL ? "" : options.scope,
	    options.scope == NULL ? "" : "]",
	    options.expires == NULL ? "" : ", expires: ",
	    options.expires == NULL ? "" : options.expires, digest);
}

int
verb_token(int argc, char **argv)
{
	char digest[2 * SHA256_DIGEST_LENGTH + 1];
	char name[32];
	char token[sizeof(PREFIX) + 2 * SECRET];
	uint8_t hash[SHA256_DIGEST_LENGTH];
	uint8_t secret[SECRET];
	SHA2_CTX context;
	char *line;

	arc4random_buf(secret, sizeof(secret));
	memcpy(token, PREFIX, sizeof(PREFIX));
	hex(secret, sizeof(secret), token + sizeof(PREFIX) - 1);
	SHA256Init(&context);
	SHA256Update(&context, (const uint8_t *)token, strlen(token));
	SHA256Final(hash, &context);
	hex(hash, sizeof(hash), digest);
	(void)snprintf(name, sizeof(name), "token-%.8s", digest);
	if (check(argc == 0 ? name : argv[0]) == -1)
		return CTL_USAGE;
	line = record(argc == 0 ? name : argv[0], digest);
	if (options.json)
		print_json(json_pack("{s:s, s:s, s:s}", "name",
		    argc == 0 ? name : argv[0], "token", token, "record",
		    line));
	else
		(void)printf("%s\n%s\n", token, line);
	free(line);
	return CTL_OK;
}
