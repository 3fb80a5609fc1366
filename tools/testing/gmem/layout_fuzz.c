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

const char *check_input(const u8 *data, size_t size)
{
	u8 from[HUGETLB_GMEM_MAX_BLOCKS], to[HUGETLB_GMEM_MAX_BLOCKS];
	unsigned int nr = 1U << (take(&data, &size) % 10);

	take_kinds(&data, &size, from, nr);
	take_kinds(&data, &size, to, nr);
	return check_change(from, to, nr);
}

#ifdef LIBFUZZER
int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

/* Abort, which is how libFuzzer learns of a mistake. */
int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	const char *problem = check_input(data, size);

	if (problem) {
		printf("# %s\n", problem);
		fflush(stdout);
		abort();
	}
	return 0;
}
#endif
