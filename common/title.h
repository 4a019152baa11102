#ifndef MUSTER_TITLE_H
#define MUSTER_TITLE_H

/*
 * setproctitle(3) whose result is shown alike by ps(1) and by who reads
 * /proc/PID/cmdline, as systemctl(1) does.  title_init() comes before argv
 * and environ are used.
 */
void title_init(int argc, char **argv);
void title_set(const char *title);

#endif
