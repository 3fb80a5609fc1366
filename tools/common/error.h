/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One-line errors that say what to do, with the name of the program.
 */
#ifndef TOOLS_COMMON_ERROR_H
#define TOOLS_COMMON_ERROR_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* Exit status: the program found a fault, or could not be run here. */
#define EXIT_FAULT	1
#define EXIT_CANNOT_RUN	2

#define die(status, fmt, ...)						\
do {									\
	fprintf(stderr, "%s: " fmt "\n", program_invocation_short_name,	\
		##__VA_ARGS__);						\
	exit(status);							\
} while (0)

#define cannot_run(fmt, ...)	die(EXIT_CANNOT_RUN, fmt, ##__VA_ARGS__)

#endif /* TOOLS_COMMON_ERROR_H */
