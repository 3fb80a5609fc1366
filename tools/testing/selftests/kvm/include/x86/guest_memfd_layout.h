/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A model of which folios a guest_memfd should consist of, see
 * lib/x86/guest_memfd_layout.c
 */
#ifndef SELFTEST_KVM_GUEST_MEMFD_LAYOUT_H
#define SELFTEST_KVM_GUEST_MEMFD_LAYOUT_H

#include <stdbool.h>
#include <linux/types.h>

#define GMEM_BLOCK_PAGES	512

enum gmem_block {
	GMEM_BLOCK_PRIVATE,
	GMEM_BLOCK_SHARED,
	/* 512 folios of 4K. */
	GMEM_BLOCK_SMALL,
};

struct gmem_layout {
	u8 order;
	/* Struct pages are optimized, so that each page of them counts. */
	bool hvo;
	u64 nr_pages;
	/* By page. */
	bool *private;
	/* By block of 2M; a small one may be shared as a whole, or mixed. */
	u16 *nr_private;
	u8 *blocks;
};

/* A file with memory everywhere, all private. */
void gmem_layout_init(struct gmem_layout *l, u8 order, u64 nr_pages, bool hvo);
void gmem_layout_free(struct gmem_layout *l);

void gmem_layout_convert(struct gmem_layout *l, u64 page, u64 nr, bool to_private);
/* The host has mapped a shared page. */
void gmem_layout_map(struct gmem_layout *l, u64 page);
bool gmem_layout_shared_small(const struct gmem_layout *l, u64 page);

/* Compare with fdinfo, once no merge is pending. */
void gmem_layout_assert(const struct gmem_layout *l, int fd);

#endif /* SELFTEST_KVM_GUEST_MEMFD_LAYOUT_H */
