#ifndef MUSTER_RESOLVER_H
#define MUSTER_RESOLVER_H

/*
 * Makes the C library's getaddrinfo(3) ready for the sandbox: no shared
 * objects may be loaded in it.  resolver_linux.c for glibc.
 */
void resolver_prepare(void);

#endif
