/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What gmemdemo shows beside the HugeTLB pool: the guest_memfd's leaves in
 * stage 2, and its folios.  See state.c.
 */
#ifndef GMEMDEMO_STATE_H
#define GMEMDEMO_STATE_H

#include <stddef.h>

#include "counters.h"

/* Stage-2 leaves of the guest_memfd, i.e. without those of the plain slot. */
void read_gmem_leaves(struct vm *vm, struct leaves *leaves);

/* As "SIZE:COUNT ..."; an empty string if the kernel does not tell. */
void read_folios(struct vm *vm, char *text, size_t len);

#endif /* GMEMDEMO_STATE_H */
