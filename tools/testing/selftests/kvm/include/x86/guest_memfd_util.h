/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the selftests of huge and convertible guest_memfd memory share: a VM
 * whose memory is one guest_memfd, a guest that writes and checks pages on
 * request, attribute changes in either mode, HugeTLB pool counters and the
 * number of stage-2 leaves by size.
 *
 * See Documentation/virt/kvm/guest_memfd_hugetlb.rst.
 */
#ifndef SELFTEST_KVM_GUEST_MEMFD_UTIL_H
#define SELFTEST_KVM_GUEST_MEMFD_UTIL_H

#include <linux/kvm.h>
#include <linux/sizes.h>

#include "hugetlb_counters.h"
#include "kvm_util.h"
#include "processor.h"
#include "test_util.h"

#define ORDER_2M		9
#define ORDER_1G		18

#define GMEM_GPA		((gpa_t)SZ_4G)
#define GMEM_SLOT		10
#define GMEM_SECOND_SLOT	11
#define GMEM_MODEL_GPA		((gpa_t)SZ_1G)
#define GMEM_MODEL_SLOT		9

#define GMEM_WORDS		(PAGE_SIZE / sizeof(u64))
/* Check every word of a page, or five of them spread over the page. */
#define GMEM_STEP_ALL		1
#define GMEM_STEP_SPREAD	(GMEM_WORDS / 4)
#define GMEM_LIST_MAX		4096
#define GMEM_FDINFO_SIZE	65536

/* Generous, as nothing but a hang may make it expire. */
#define GMEM_TIMEOUT		1800

struct hugetlb_pool {
	u64 nr;
	u64 free;
	u64 resv;
	u64 surplus;
};

struct gmem_leaves {
	u64 nr_1g;
	u64 nr_2m;
	u64 nr_4k;
};

enum gmem_command {
	GMEM_WRITE,
	GMEM_CHECK,
	GMEM_TOUCH,
};

/* Lives in memory without guest_memfd, seen by the host and the guest. */
struct gmem_model {
	u64 command;
	u64 step;
	u64 first;
	u64 nr;
	u64 use_list;
	u64 nr_bad;
	u64 bad_page;
	u64 bad_word;
	u64 bad_value;
	u32 list[GMEM_LIST_MAX];
	/* What each page holds: 0 for zeroes, else the seed of its words. */
	u64 tags[];
};

struct gmem_config {
	/* 0 for base pages, i.e. a file without GUEST_MEMFD_FLAG_HUGETLB. */
	u8 order;
	u64 size;
	/* If not 0, the memory from here on is in a second slot. */
	u64 second_slot;
	/* GUEST_MEMFD_FLAG_MMAP and GUEST_MEMFD_FLAG_INIT_SHARED. */
	u64 flags;
	unsigned long vm_type;
	/* By default conversions merge at once, so that layouts are predictable. */
	unsigned int merge_delay_ms;
	/* Pages may come back after gmem_vm_free(). */
	bool keeps_pages;
	/* Nobody runs: no page tables and no model for so much memory. */
	bool no_guest;
	/* The guest's page tables map the memory by 4K instead of 2M. */
	bool guest_maps_4k;
	/* By default what gmem_guest_run() and the like need. */
	void (*guest_code)(struct gmem_model *model);
};

struct gmem_vm {
	struct kvm_vm *vm;
	struct kvm_vcpu *vcpu;
	struct gmem_model *model;
	struct gmem_config config;
	struct kvm_regs entry;
	/* The guest has asked for a command, and has not got it. */
	bool waiting;
	/* KVM has killed the VM: snapshots do without the guest. */
	bool dead;
	int fd;
	u64 nr_pages;
	/* Memory of the slot as the host sees it while it is shared. */
	u8 *shared;
	u8 *shared_base;
	/* What gmem_vm_free() is to leave behind, but for these extents. */
	struct hugetlb_counters counters;
	u64 poisoned;
};

/* kvm.vm_memory_attributes: attributes are the VM's, not the guest_memfd's. */
bool gmem_vm_wide_attributes(void);

static inline u64 gmem_page_size(u8 order)
{
	return PAGE_SIZE << order;
}

static inline bool gmem_has_mmap(const struct gmem_vm *g)
{
	return g->config.flags & GUEST_MEMFD_FLAG_MMAP;
}

/* The host reaches pages of the file only with MMAP and per-file attributes. */
static inline bool gmem_in_place(const struct gmem_vm *g)
{
	return gmem_has_mmap(g) && !gmem_vm_wide_attributes();
}

/* With MMAP and attributes of the VM, the slot's memory is out of reach. */
static inline bool gmem_host_reaches(const struct gmem_vm *g)
{
	return gmem_in_place(g) || !gmem_has_mmap(g);
}

static inline u64 gmem_word(u64 tag, unsigned int index)
{
	return tag ? tag + index * 0x9e3779b97f4a7c15ul : 0;
}

/* Derive a nonzero tag that no other (page, generation) of a run shares. */
static inline u64 gmem_tag(u32 seed, u64 page, u32 generation)
{
	return ((u64)(seed ^ generation * 2654435761u) << 32 | page) + 1;
}

/* Fill a page; index of the first word looked at that is wrong, or -1. */
void gmem_write_words(u64 *words, u64 tag);
int gmem_bad_word(const u64 *words, u64 tag, u64 step);

/* An option of a test, with a number from 1 on or a size such as 128M. */
struct gmem_option {
	const char *name;
	const char *what;
	u32 *number;
	u64 *size;
};

/* Take these, up to one without a name; return how many arguments are left. */
int gmem_take_options(int argc, char **argv, const struct gmem_option *options);

/* A file of sysfs, debugfs or the like, which takes all of @text. */
void gmem_write_file(const char *path, const char *text);

/* HugeTLB pools: counters, and making sure that there are enough pages. */
void hugetlb_pool_read(u64 page_size, struct hugetlb_pool *pool);
void hugetlb_pool_set(u64 page_size, u64 nr);
u64 hugetlb_pool_require(u64 page_size, u64 nr);
void hugetlb_pool_assert_eq(u64 page_size, const struct hugetlb_pool *want);
void hugetlb_pool_wait_eq(u64 page_size, const struct hugetlb_pool *want);

/* Files */
int __gmem_create(struct kvm_vm *vm, u64 size, u64 flags, u8 order);
int gmem_create(struct kvm_vm *vm, u64 size, u64 flags, u8 order);

/* VMs */
struct gmem_config gmem_one_page_config(u8 order);
void gmem_vm_create(struct gmem_vm *g, const struct gmem_config *config);
void gmem_vm_free(struct gmem_vm *g);

/* Folios of 2^order pages in the file, as debugfs has them. */
u64 gmem_count_folios(int fd, unsigned int order);
void gmem_wait_folios(int fd, unsigned int order, u64 nr);
void gmem_set_merge_delay(unsigned int ms);

/* /proc/self/fdinfo: all of one moment, a value in it, a value of now. */
void gmem_read_fdinfo(int fd, char *text, size_t size);
u64 gmem_fdinfo_value(const char *text, const char *key);
u64 gmem_fdinfo(int fd, const char *key);

/* Where in memory the extent is that begins at @page, 0 if nowhere. */
u64 gmem_extent_pfn(int fd, u64 page);

/* Attributes; @error_offset may be NULL.  Return 0 or an errno. */
int gmem_set_attributes(int fd, u64 offset, u64 size, u64 attributes,
			u64 flags, u64 *error_offset);
int gmem_try_convert(struct gmem_vm *g, u64 page, u64 nr, bool to_private,
		     u64 *error_offset);
void gmem_convert(struct gmem_vm *g, u64 page, u64 nr, bool to_private);
/* While others look at the pages; return how often it had to be repeated. */
u64 gmem_convert_patiently(struct gmem_vm *g, u64 page, u64 nr, bool to_private);

/* The memslots of the file's memory, as they are at first; and without the first. */
void gmem_add_slots(struct gmem_vm *g);
void gmem_delete_slot(struct gmem_vm *g);

/* Stage 2.  gmem_pre_fault() returns 0 or an errno. */
int gmem_pre_fault(struct gmem_vm *g, u64 page, u64 nr);
void gmem_leaves_raw(struct gmem_vm *g, struct gmem_leaves *leaves);
void gmem_leaves(struct gmem_vm *g, struct gmem_leaves *leaves);
void gmem_assert_leaves(const struct gmem_leaves *leaves, u64 nr_1g, u64 nr_2m,
			u64 nr_4k, const char *when);

/* The guest.  gmem_guest_run() returns 0 or the errno of KVM_RUN. */
int gmem_guest_run(struct gmem_vm *g, enum gmem_command command, u64 page,
		   u64 nr, u64 step);
void gmem_guest_write(struct gmem_vm *g, u64 page, u64 nr);
void gmem_guest_check(struct gmem_vm *g, u64 page, u64 nr, u64 step);
void gmem_guest_check_list(struct gmem_vm *g, u64 nr, u64 step);

/* The host.  gmem_host_access() returns 0 or the si_code of the SIGBUS. */
u64 *gmem_host_page(struct gmem_vm *g, u64 page);
void gmem_host_write(struct gmem_vm *g, u64 page);
void gmem_host_check(struct gmem_vm *g, u64 page, u64 step);
int gmem_host_access(void *address, bool write);
/* The same for all that @fn does. */
int gmem_host_call(void (*fn)(void *arg), void *arg);

/* All ways to allocate a page fail, with as many attempts to take one. */
#define GMEM_NR_ENOSPC		4
void gmem_assert_enospc(struct gmem_vm *g, u64 page);

/* Tags of the model for @nr pages: fresh ones, or zeroes for generation 0. */
void gmem_set_tags(struct gmem_vm *g, u64 page, u64 nr, u32 generation);

/* The pfn of a page that the host has mapped. */
u64 gmem_host_pfn(void *address);

#endif /* SELFTEST_KVM_GUEST_MEMFD_UTIL_H */
