/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What gmemdemo and the code it runs in the guest agree on: where things are
 * in guest memory, the control block, and the pattern of a page.
 *
 * See Documentation/virt/kvm/guest_memfd_hugetlb.rst.
 */
#ifndef GMEMDEMO_GUEST_ABI_H
#define GMEMDEMO_GUEST_ABI_H

#include "vm.h"

#define WORDS_PER_PAGE		(PAGE_SIZE / sizeof(u64))

/* The plain slot: everything of the guest but the memory being shown. */
#define PLAIN_GPA		0x0ul
#define PML4_GPA		0x1000ul
#define PDPT_GPA		0x2000ul
#define CONTROL_GPA		0x3000ul
#define STACK_TOP_GPA		0x8000ul
#define CODE_GPA		0x8000ul
#define CODE_MAX		0x4000ul
#define PLAIN_SIZE		0xc000ul

/* The guest reports by writing one of these bytes to this I/O port. */
#define REPORT_PORT		0x80
enum report {
	REPORT_PROGRESS,
	REPORT_FILLED,
	REPORT_SHARED,
	REPORT_EXCHANGED,
	REPORT_TAKEN_BACK,
	REPORT_TOUCHED,
	REPORT_CHECKED,
	REPORT_FAILED,
};

struct control {
	u64 nr_pages;
	u64 shared_page;
	u64 seed;
	/* Which instruction the CPU has for hypercalls. */
	u64 use_vmmcall;
	/* Pages done, for REPORT_PROGRESS. */
	u64 done;
	/* For REPORT_FAILED: what, and the first word that is wrong. */
	u64 failed_hypercall;
	u64 bad_page;
	u64 bad_word;
	u64 bad_value;
	u64 want_value;
};

/* Whose data a page holds. */
enum writer {
	WRITER_GUEST = 1,
	WRITER_HOST = 2,
};

static inline u64 pattern(u64 seed, u64 page, enum writer writer, u64 word)
{
	return (seed + writer) * 0x9e3779b97f4a7c15ul +
	       (page * WORDS_PER_PAGE + word) * 0xbf58476d1ce4e5b9ul;
}

/* Index of the first word of the page that is wrong, or WORDS_PER_PAGE. */
static inline u64 first_bad_word(const u64 *words, u64 seed, u64 page,
				 enum writer writer)
{
	u64 i;

	for (i = 0; i < WORDS_PER_PAGE; i++) {
		if (words[i] != pattern(seed, page, writer, i))
			break;
	}
	return i;
}

static inline void write_page(u64 *words, u64 seed, u64 page,
			      enum writer writer)
{
	u64 i;

	for (i = 0; i < WORDS_PER_PAGE; i++)
		words[i] = pattern(seed, page, writer, i);
}

#endif /* GMEMDEMO_GUEST_ABI_H */
