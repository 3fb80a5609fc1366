/* SPDX-License-Identifier: GPL-2.0-only */
/* What a layout and the steps between two layouts must be; see README.md. */
#ifndef LAYOUT_CHECK_H
#define LAYOUT_CHECK_H

#include "gmem_layout.h"

const char *check_build(const u8 *kinds, unsigned int nr, u8 *layout);
const char *check_steps(const u8 *from, const u8 *to, unsigned int nr);
const char *check_change(const u8 *from_kinds, const u8 *to_kinds,
			 unsigned int nr);

/* layout_fuzz.c */
const char *check_input(const u8 *data, size_t size);

#endif /* LAYOUT_CHECK_H */
