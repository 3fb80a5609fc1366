/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Ways to hold a page of a guest_memfd without a mapping of it.
 *
 * See Documentation/mm/hugetlb_gmem.rst.
 */
#ifndef SELFTEST_KVM_GUEST_MEMFD_PINS_H
#define SELFTEST_KVM_GUEST_MEMFD_PINS_H

/* What io_uring.h needs, and the types.h of tools does not have. */
#include <linux/stddef.h>
#include <linux/io_uring.h>
#include <linux/types.h>

#include "guest_memfd_util.h"

struct gmem_pin;

struct gmem_pin_ops {
	/* Before the page, and maybe in another process. */
	void (*open)(struct gmem_pin *pin);
	void (*take)(struct gmem_pin *pin, void *page);
	/* Read the page by way of the reference, and keep it. */
	void (*peek)(struct gmem_pin *pin, void *buf);
	void (*drop)(struct gmem_pin *pin);
};

struct gmem_pin {
	const struct gmem_pin_ops *ops;
	int fds[2];
	u64 tag;
	/* io_uring: where the buffer was in memory. */
	u64 address;
	struct io_uring_params params;
};

extern const struct gmem_pin_ops gmem_in_pipe;
extern const struct gmem_pin_ops gmem_in_socket;
extern const struct gmem_pin_ops gmem_in_ring;

void gmem_pin_open(struct gmem_pin *pin, const struct gmem_pin_ops *ops);
/* Does the page hold what gmem_word() has for @pin->tag? */
void gmem_pin_check(struct gmem_pin *pin);

/* A shared page, in a pipe, and out of it. */
void gmem_pin(struct gmem_vm *g, u64 page, struct gmem_pin *pin);
void gmem_unpin(struct gmem_pin *pin);

/* A disk for O_DIRECT that takes its time, and completes in a timer's interrupt. */
int gmem_disk_open(u64 completion_nsec);
void gmem_disk_close(int fd);

#endif /* SELFTEST_KVM_GUEST_MEMFD_PINS_H */
