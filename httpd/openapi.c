#include <stddef.h>
#include <stdint.h>

#include "httpd.h"

/*
 * etc/openapi.json, as it is, in the read-only data of this program: the
 * assembler includes the file, relative to where make runs.
 */
__asm__(".section .rodata\n"
	".global openapi_json, openapi_json_end\n"
	"openapi_json:\n"
	".incbin \"etc/openapi.json\"\n"
	"openapi_json_end:\n"
	".previous\n");

extern const unsigned char openapi_json_end[];

size_t
openapi_json_len(void)
{
	return (size_t)((uintptr_t)openapi_json_end - (uintptr_t)openapi_json);
}
