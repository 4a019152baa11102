#include <stdio.h>

#include "../../manager/config.h"

/* Prints the JSON Schema of the configuration, which is kept beside this. */

int
main(void)
{
	config_schema_print(stdout);
	if (fflush(stdout) == 0 && !ferror(stdout))
		return 0;
	perror("schema");
	return 1;
}
