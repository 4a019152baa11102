#ifndef MUSTER_FRAME_H
#define MUSTER_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include "../common/channel.h"
#include "../common/component.h"

/*
 * The frame of the targets that say to a component what others may: its real
 * dispatch functions, in a process of its own for each input.  Here is what
 * the component has of the rest of muster: a log that nobody reads, channels,
 * and a clock that stands still until an input moves it.
 *
 * Input: u8 options, then records of u8 who, u8 type, u8 id, u16 length,
 * payload.
 */

/*
 * Of the target: the program's main(), which calls component_run(), which is
 * here; begins with the options; plays a record.
 */
int program_main(int, char **);
void frame_begin(uint8_t options);
void frame_record(unsigned int who, uint8_t type, uint8_t id,
    const uint8_t *data, size_t len);
/* Set it when the program would have ended. */
extern int frame_over;

/* What must hold, or the input is a finding. */
void check(int condition);

/* One end of a connection, the other is frame_far(); -1: there are many. */
int frame_connection(void);
/* The other end of the last connection. */
int frame_far(void);
/* Takes another descriptor for a far end: 0, or -1, and it is closed. */
int frame_adopt(int fd);
/* As the loop would; whoever is connected reads all that it gets. */
void frame_turn(void);
void frame_sleep(uint64_t ns);
uint64_t frame_time(void);

/*
 * Says it to the function; the message takes fd, which may be -1.  Returns
 * what the function did.
 */
int frame_say(channel_message_fn, struct channel *, void *arg, uint32_t type,
    uint32_t id, int fd, const void *data, size_t len);
/* Says it through the far end of a connection. */
void frame_send(
    int far, uint32_t type, uint32_t id, const void *data, size_t len);
/* IMSG_PEER with a new connection; returns its far end, or -1: no room. */
int frame_introduce(channel_message_fn dispatch, struct channel *parent,
    enum role, uint32_t number);

#define FRAME_TYPE(list, type) \
	(list)[(type) % (sizeof(list) / sizeof((list)[0]))]

#endif
