/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The guest of gmemdemo: a VM in 64-bit mode whose code is in a plain slot and
 * whose memory is one guest_memfd of huge pages.  See guest_run.c.
 */
#ifndef GMEMDEMO_GUEST_RUN_H
#define GMEMDEMO_GUEST_RUN_H

#include "guest_abi.h"
#include "vm.h"

struct guest {
	struct vm vm;
	u8 *plain;
	struct control *control;
};

/* The image that the guest runs, linked for CODE_GPA: guest_image.S. */
extern const u8 guest_image[], guest_image_end[];

/* Exits with one line when the kernel cannot do it. */
void guest_create(struct guest *guest);
void guest_start(struct guest *guest, u64 seed, u64 shared_page);

/*
 * Run until the guest reports; conversions it asks for are carried out on the
 * way.  Exits with one line on anything unexpected.
 */
enum report guest_run(struct guest *guest);

/* The page as the host sees it while it is shared, mapped from guest_memfd. */
u64 *guest_host_page(struct guest *guest, u64 page);

/* Does a host access to the page fault, as it must while it is private? */
int guest_host_access_faults(struct guest *guest, u64 page);

#endif /* GMEMDEMO_GUEST_RUN_H */
