#include <netdb.h>
#include <nss.h>
#include <stddef.h>

#include "../common/log.h"
#include "resolver.h"

/*
 * glibc loads a shared object for each service of nsswitch.conf but `files`
 * and `dns`, which are part of it since 2.34.  So these two it is, whatever
 * the file says: systemd-resolved is asked over DNS (127.0.0.53 stands in
 * resolv.conf then), .local names are not found.
 *
 * One lookup, of a name that /etc/hosts knows, makes it set itself up.
 */
void
resolver_prepare(void)
{
	struct addrinfo *list = NULL;

	if (__nss_configure_lookup("hosts", "files dns") == -1)
		fatal("hosts: files dns");
	if (getaddrinfo("127.0.0.1", NULL, NULL, &list) == 0)
		freeaddrinfo(list);
}
