#include <string.h>

#include "suggest.h"

#define MAX_WORD 64

static unsigned int
least(unsigned int a, unsigned int b)
{
	return a < b ? a : b;
}

static char
plain(char c)
{
	if (c == '_')
		return '-';
	if (c >= 'A' && c <= 'Z')
		c |= 0x20;
	return c;
}

static unsigned int
distance(const char *a, const char *b)
{
	unsigned int rows[3][MAX_WORD + 1];
	unsigned int *one;
	unsigned int *row;
	unsigned int *two;
	size_t i;
	size_t j;
	size_t la;
	size_t lb;
	int same;

	la = strlen(a);
	lb = strlen(b);
	if (la > MAX_WORD || lb > MAX_WORD)
		return MAX_WORD;
	for (j = 0; j <= lb; j++)
		rows[0][j] = (unsigned int)j;
	for (i = 1; i <= la; i++) {
		row = rows[i % 3];
		one = rows[(i + 2) % 3];
		two = rows[(i + 1) % 3];
		row[0] = (unsigned int)i;
		for (j = 1; j <= lb; j++) {
			same = plain(a[i - 1]) == plain(b[j - 1]);
			row[j] = least(one[j], row[j - 1]) + 1;
			row[j] = least(row[j], one[j - 1] + !same);
			if (i > 1 && j > 1 &&
			    plain(a[i - 1]) == plain(b[j - 2]) &&
			    plain(a[i - 2]) == plain(b[j - 1]))
				row[j] = least(row[j], two[j - 2] + 1);
		}
	}
	return rows[la % 3][lb];
}

const char *
suggest(const char *word, const char *const *names, size_t n)
{
	const char *best;
	size_t i;
	unsigned int bound;
	unsigned int d;

	best = NULL;
	bound = least(2, (unsigned int)(strlen(word) / 3)) + 1;
	for (i = 0; i < n; i++) {
		d = distance(word, names[i]);
		if (d < bound) {
			bound = d;
			best = names[i];
		}
	}
	return best;
}

int
suggest_is_same(const char *a, const char *b)
{
	while (*a != '\0' && plain(*a) == plain(*b)) {
		a++;
		b++;
	}
	return *a == '\0' && *b == '\0';
}
