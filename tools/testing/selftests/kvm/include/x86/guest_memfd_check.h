/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What debugfs says about the folios and struct pages of guest_memfds, and
 * their memory by physical address, see lib/x86/guest_memfd_check.c
 */
#ifndef SELFTEST_KVM_GUEST_MEMFD_CHECK_H
#define SELFTEST_KVM_GUEST_MEMFD_CHECK_H

#include <linux/types.h>

/* Do pages leave their struct pages to be optimized when they enter a pool? */
bool gmem_hvo_get(void);
void gmem_hvo_set(bool on);

/* Each has the kernel check all extents; whatever is wrong fails the test. */

/* Pages that the struct pages of an extent have for themselves. */
u64 gmem_check_vmemmap(int fd, u64 page);
/* Lines, to be compared, and freed. */
char *gmem_check_extents(int fd);
char *gmem_check_tails(void);
/* All that a conversion which failed must leave as it was. */
char *gmem_check_state(int fd);
void gmem_check_assert_same(const char *was, const char *is, const char *when);

/* Memory at @pfn, whoever has it, read-only. */
const u64 *gmem_map_pfn(u64 pfn, u64 nr_pages);

#endif /* SELFTEST_KVM_GUEST_MEMFD_CHECK_H */
