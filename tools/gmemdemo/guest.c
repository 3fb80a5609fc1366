// SPDX-License-Identifier: GPL-2.0-only
/*
 * The code that gmemdemo runs in the guest: fill private memory, share one
 * page of it, exchange data with the host through that page, take it back and
 * check everything.  Freestanding, without FPU, at a fixed address in memory
 * that is not guest_memfd's.
 *
 * See Documentation/virt/kvm/guest_memfd_hugetlb.rst.
 */
#include <linux/compiler.h>
#include <linux/kvm_para.h>

#include "guest_abi.h"

#define PROGRESS_STEPS	20

static struct control *const control = (struct control *)CONTROL_GPA;

static void report(enum report what)
{
	asm volatile("outb %b0, %w1" : : "a" (what), "Nd" (REPORT_PORT) : "memory");
}

static void stop(void)
{
	report(REPORT_FAILED);
	for (;;)
		asm volatile("hlt");
}

static u64 *page_address(u64 page)
{
	return (u64 *)(GMEM_GPA + page * PAGE_SIZE);
}

static void report_progress(u64 page)
{
	u64 every = control->nr_pages / PROGRESS_STEPS;

	if (every && page % every == every - 1) {
		control->done = page + 1;
		report(REPORT_PROGRESS);
	}
}

static void check_page(u64 page, enum writer writer)
{
	const u64 *words = page_address(page);
	u64 bad = first_bad_word(words, control->seed, page, writer);

	if (bad == WORDS_PER_PAGE)
		return;

	control->bad_page = page;
	control->bad_word = bad;
	control->bad_value = words[bad];
	control->want_value = pattern(control->seed, page, writer, bad);
	stop();
}

static void fill(void)
{
	u64 page;

	for (page = 0; page < control->nr_pages; page++) {
		write_page(page_address(page), control->seed, page, WRITER_GUEST);
		report_progress(page);
	}
}

static void check_all(enum writer of_shared_page)
{
	u64 page;

	for (page = 0; page < control->nr_pages; page++) {
		check_page(page, page == control->shared_page ?
			   of_shared_page : WRITER_GUEST);
		report_progress(page);
	}
}

static void map_gpa_range(u64 page, u64 attributes)
{
	u64 ret = KVM_HC_MAP_GPA_RANGE;
	u64 gpa = (u64)page_address(page);

	if (control->use_vmmcall)
		asm volatile("vmmcall" : "+a" (ret) : "b" (gpa), "c" (1ul),
			     "d" (attributes) : "memory");
	else
		asm volatile("vmcall" : "+a" (ret) : "b" (gpa), "c" (1ul),
			     "d" (attributes) : "memory");
	if (ret) {
		control->failed_hypercall = ret;
		stop();
	}
}

void __noreturn start(void);

/* First in the image: see guest.lds. */
void __noreturn start(void)
{
	u64 page = control->shared_page;

	fill();
	report(REPORT_FILLED);

	map_gpa_range(page, KVM_MAP_GPA_RANGE_PAGE_SZ_4K |
			    KVM_MAP_GPA_RANGE_DECRYPTED);
	check_all(WRITER_GUEST);
	report(REPORT_SHARED);

	/* The host reads the page and writes its own data over it. */
	report(REPORT_EXCHANGED);
	check_page(page, WRITER_HOST);

	map_gpa_range(page, KVM_MAP_GPA_RANGE_PAGE_SZ_4K |
			    KVM_MAP_GPA_RANGE_ENCRYPTED);
	report(REPORT_TAKEN_BACK);

	check_page(page, WRITER_HOST);
	report(REPORT_TOUCHED);

	check_all(WRITER_HOST);
	report(REPORT_CHECKED);

	for (;;)
		asm volatile("hlt");
}
