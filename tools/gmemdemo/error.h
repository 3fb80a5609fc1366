/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One-line errors that say what to do.  See gmemdemo.c.
 */
#ifndef GMEMDEMO_ERROR_H
#define GMEMDEMO_ERROR_H

#include <stdio.h>
#include <stdlib.h>

/* Exit status: the demonstration found a fault, or could not be run. */
#define EXIT_FAULT	1
#define EXIT_CANNOT_RUN	2

#define die(status, fmt, ...)						\
do {									\
	fprintf(stderr, "gmemdemo: " fmt "\n", ##__VA_ARGS__);		\
	exit(status);							\
} while (0)

#define cannot_run(fmt, ...)	die(EXIT_CANNOT_RUN, fmt, ##__VA_ARGS__)

#endif /* GMEMDEMO_ERROR_H */
