/*
 * Options of the sanitizers, linked into each program of a sanitizer build and
 * into no other. Weak: a program may have its own. LeakSanitizer clones a
 * thread and traces the rest from it at the end of a program, which no sandbox
 * of ours allows, so ASAN_LEAKS is 0 for the programs that have one; what they
 * leak is found by the unit tests of the same sources.
 */

#ifndef ASAN_LEAKS
#define ASAN_LEAKS 1
#endif

#define STRING(x) #x
#define LEAKS(x) "detect_leaks=" STRING(x)

const char *__asan_default_options(void);
const char *__ubsan_default_options(void);

/*
 * abort() tells a report from an ordinary exit, by the signal. No fake stacks:
 * a child of clone(2) has a stack of its own. No strict_string_checks: it takes
 * strndup(3) of a part of a string for an error.
 */
__attribute__((weak, visibility("default"))) const char *
__asan_default_options(void)
{
	return "abort_on_error=1:halt_on_error=1:handle_abort=0:"
	       "detect_stack_use_after_return=0:" LEAKS(ASAN_LEAKS);
}

__attribute__((weak, visibility("default"))) const char *
__ubsan_default_options(void)
{
	return "print_stacktrace=1:halt_on_error=1";
}
