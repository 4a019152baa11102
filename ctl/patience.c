#include "ctl.h"

/* How long a verb waits for a musterd that does not answer. */

double give_up = -1;
int silent;

double
patience(double seconds)
{
	double left;

	if (give_up < 0)
		return seconds;
	left = give_up - monotonic();
	left = (left > 0 ? left : 0) + GRACE_SECONDS;
	return left < seconds ? left : seconds;
}

int
no_answer(int loud)
{
	int late;

	silent = 1;
	late = give_up >= 0 && monotonic() >= give_up;
	if (loud)
		complain("musterd does not answer at %s%s", endpoint_text(),
		    late ? " (not in time)" : "");
	return late ? CTL_TIMEOUT : CTL_UNREACHABLE;
}
