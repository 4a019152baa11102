#ifndef MUSTER_STREAM_H
#define MUSTER_STREAM_H

#include <stdint.h>

/*
 * The state of an output stream that outlives a relay.  One cell for each
 * (slot of the parent, stdout | stderr), in a memfd that the parent makes;
 * the relay writes it, httpd and the next relay read it.  Numbers are
 * offsets in the stream: bytes since the first byte ever.
 *
 * The journal is a memfd whose *file offset* (in the open description that
 * the parent keeps) is its cursor: splice(2) moves bytes and offset in one
 * step, so a relay that is killed loses and doubles nothing.  It is written
 * in laps, so that its pages are used again (relay/journal_linux.c); nobody
 * but the relay may seek in it, and `offset` below is the number of bytes
 * ever written.
 */
struct stream_cell {
	uint64_t offset; /* copy of the journal's offset, for display */
	uint64_t dropped; /* skipped for all readers, for display */
	/*
	 * The log file: all of the stream before sink_stream lies in the
	 * file before sink_file, so its cursor is sink_stream + (length of
	 * the file - sink_file).  Both are stored (stream first) before the
	 * first byte is written after an open, a truncation or a loss.
	 * For a shared sink sink_stream alone is the cursor.
	 */
	uint64_t sink_stream;
	uint64_t sink_file;
	uint64_t sink_dropped;
	uint64_t show; /* cursor of the console */
	uint64_t generation_start; /* offset where `generation` began */
	uint32_t generation;
	uint32_t flags; /* CELL_* */
};

#define CELL_SINK_BASED 1 /* sink_stream and sink_file are valid */

/*
 * One cell more, of which `offset` is the number of CONSOLE_WRITE and
 * LOGFILE_WRITE that need not be sent again to a relay that comes after.
 */

#define CELLS_PER_SLOT 2
#define STREAM_STDOUT 1
#define STREAM_STDERR 2
#define DEFAULT_CAPTURE (256UL * 1024) /* bytes kept of each stream */

#endif
