#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "http.h"

/* "SSL certificate problem: self-signed certificate" without the first part. */
static const char *
after_prefix(const char *text, const char *prefix)
{
	size_t len = strlen(prefix);

	return strncmp(text, prefix, len) == 0 ? text + len : text;
}

/* "error:0A00010B:SSL routines::wrong version number": the last part. */
static const char *
last_part(const char *text)
{
	const char *colon;

	colon = strrchr(text, ':');
	if (colon == NULL || colon[1] == '\0')
		return text;
	return colon + 1 + strspn(colon + 1, " ");
}

void
http_note_error(struct http_run *run, CURLcode code)
{
	long error = run->state.open_error;

	if (code == CURLE_OPERATION_TIMEDOUT)
		error = ETIMEDOUT;
	else if (error == 0)
		(void)curl_easy_getinfo(run->easy, CURLINFO_OS_ERRNO, &error);
	if (error_says_more((int)error, run->connect_error))
		run->connect_error = (int)error;
}

/* "Recv failure: Connection reset by peer", or what OpenSSL says. */
static void
transfer_problem(const char *text, char *buf, size_t size)
{
	text = after_prefix(text, "Recv failure: ");
	text = after_prefix(text, "Send failure: ");
	(void)snprintf(buf, size, "%s", last_part(text));
	text_lower(buf);
}

void
http_describe(const struct http_run *run, CURLcode code, char *buf, size_t size)
{
	const char *text;

	text = run->error[0] != '\0' ? run->error : curl_easy_strerror(code);
	/* libcurl's word for a line of more than 100 KiB. */
	if (code == CURLE_OUT_OF_MEMORY && run->state.connected &&
	    !run->answered)
		code = CURLE_WRITE_ERROR;
	switch (code) {
	case CURLE_COULDNT_CONNECT:
		(void)text_error(buf, size, run->connect_error);
		break;
	case CURLE_PEER_FAILED_VERIFICATION:
		text = after_prefix(text, "SSL certificate problem: ");
		text = after_prefix(text, "SSL: ");
		(void)snprintf(buf, size, "certificate: %s", text);
		break;
	case CURLE_SSL_CACERT_BADFILE:
		(void)snprintf(
		    buf, size, "certificate: the ca has no certificates");
		break;
	case CURLE_SSL_CONNECT_ERROR:
		(void)snprintf(buf, size, "tls: %s", last_part(text));
		break;
	case CURLE_GOT_NOTHING:
		(void)snprintf(
		    buf, size, "connection closed without an answer");
		break;
	case CURLE_PARTIAL_FILE:
		(void)snprintf(buf, size, "answer cut short");
		break;
	case CURLE_SEND_ERROR:
	case CURLE_RECV_ERROR:
		transfer_problem(text, buf, size);
		break;
	case CURLE_UNSUPPORTED_PROTOCOL:
	case CURLE_WEIRD_SERVER_REPLY:
		(void)snprintf(buf, size, "not an HTTP answer");
		break;
	case CURLE_WRITE_ERROR:
		(void)snprintf(buf, size, "head of the answer is too long");
		break;
	default:
		(void)snprintf(buf, size, "%s", text);
		text_lower(buf);
		break;
	}
}
