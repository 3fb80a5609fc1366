// SPDX-License-Identifier: GPL-2.0-only
/*
 * Fuzz target: bytes become two extents, whose layouts and steps are checked
 *
 * The first byte is log2 of the number of blocks.  Then, for one extent after
 * the other, a byte for each run of blocks: kind (modulo 3) and length.
 */
#include <stdio.h>
#include <stdlib.h>

#include "layout_check.h"

static unsigned int take(const u8 **data, size_t *size)
{
	if (!*size)
		return 0;
	--*size;
	return *(*data)++;
}

static void take_kinds(const u8 **data, size_t *size, u8 *kinds,
		       unsigned int nr)
{
	unsigned int block = 0, byte, length;

	while (block < nr) {
		byte = *size ? take(data, size) : 255;
		/* The longest run of a byte is half an extent of 1G. */
		for (length = 1U << (byte / 3 % 9); length && block < nr; length--)
			kinds[block++] = byte % 3;
	}
}

/* Abort if an input shows a mistake. */
void check_input(const u8 *data, size_t size)
{
	u8 from[HUGETLB_GMEM_MAX_BLOCKS], to[HUGETLB_GMEM_MAX_BLOCKS];
	unsigned int nr = 1U << (take(&data, &size) % 10);
	const char *problem;

	take_kinds(&data, &size, from, nr);
	take_kinds(&data, &size, to, nr);
	problem = check_change(from, to, nr);
	if (problem) {
		fprintf(stderr, "%u blocks: %s\n", nr, problem);
		abort();
	}
}

#ifdef LIBFUZZER
int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	check_input(data, size);
	return 0;
}
#endif
