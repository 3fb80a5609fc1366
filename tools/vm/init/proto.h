/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Frames between tools/vm/run on the host and its init in the guest, over one
 * virtio-serial port. The host's half is runner/frames.py; README.md explains
 * both.
 */
#ifndef VM_INIT_PROTO_H
#define VM_INIT_PROTO_H

#include <stdint.h>

#define PORT_NAME	"tools.vm.run"

/* Both fields are little endian; len bytes of payload follow. */
struct frame {
	uint32_t type;
	uint32_t len;
};

/* The largest payload but for FRAME_CONFIG, whose strings are bounded by exec. */
#define FRAME_DATA_MAX		16384
#define FRAME_CONFIG_MAX	(4U << 20)

enum frame_type {
	/* Host to guest. */
	FRAME_CONFIG	= 'C',	/* NUL-terminated KEY=VALUE strings, once */
	FRAME_STDIN	= 'I',	/* bytes of standard input, empty at its end */
	FRAME_WINSIZE	= 'W',	/* struct winsize of the caller's terminal */
	FRAME_DUMP	= 'D',	/* log what every processor and blocked task does */
	/* Guest to host. */
	FRAME_STARTED	= 'S',	/* CMD runs */
	FRAME_BEAT	= 'B',	/* init is alive, once a second */
	FRAME_STDOUT	= 'O',
	FRAME_STDERR	= 'E',
	FRAME_ENDED	= 'N',	/* CMD has ended, what it left is being killed */
	FRAME_SCAN	= 'K',	/* the scan for leaks begins */
	FRAME_EXIT	= 'X',	/* wait status of CMD: nothing follows */
	FRAME_FAILED	= 'F',	/* why CMD could not be started */
};

#endif
