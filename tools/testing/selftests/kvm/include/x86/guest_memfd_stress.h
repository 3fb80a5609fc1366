/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Random operations on a guest_memfd by several threads, and a model of what
 * they should have done: see lib/x86/guest_memfd_stress.c
 */
#ifndef SELFTEST_KVM_GUEST_MEMFD_STRESS_H
#define SELFTEST_KVM_GUEST_MEMFD_STRESS_H

#include <pthread.h>
#include <signal.h>

#include "guest_memfd_pins.h"

#define STRESS_NR_THREADS	3
/* Operations of all threads between two quiet points, and in a life. */
#define STRESS_ROUND		(STRESS_NR_THREADS * 32)
#define STRESS_LIFE		(STRESS_ROUND * 20)
#define STRESS_NR_SLOTS		3
#define STRESS_NR_CUTS		12
#define STRESS_NR_PINS		4
#define STRESS_NR_EXTENTS	8
#define STRESS_LIST		12
#define STRESS_NO_PAGE		(-1ul)
#define STRESS_CGROUP		"/sys/fs/cgroup/stress"
/* Makes a thread look where its vCPU is, and how a life ends that has lost one. */
#define STRESS_SIGNAL		SIGUSR1
#define STRESS_LOST_VCPU	77

enum stress_result {
	STRESS_DONE,
	/* Somebody else held a page for a moment; it was done after that. */
	STRESS_AGAIN,
	/* Nothing has changed, as the model knew, or for want of memory. */
	STRESS_REFUSED,
	/* It does not apply to this file, or to what the thread may touch. */
	STRESS_SKIPPED,
	STRESS_NR_RESULTS,
};

#define STRESS_NR_KINDS		28

/* Between the process with the VM and the one that watches it. */
struct stress_shared {
	u64 counts[STRESS_NR_KINDS][STRESS_NR_RESULTS];
	/* Number of the operation that each thread is at. */
	s32 current[STRESS_NR_THREADS];
	/* Its thread ID while its vCPU runs, otherwise 0. */
	pid_t running[STRESS_NR_THREADS];
	u32 nr_begun;
	u32 round;
	/* Cgroups that there have been, each left for the next. */
	u32 nr_cgroups;
};

/* What a life is like: derived from its seed. */
struct stress_config {
	u32 seed;
	u8 order;
	u64 nr_pages;
	u64 flags;
	bool sept;
	bool promote;
	bool poison;
	/* In milliseconds, at first. */
	u32 merge_delay;
	/* Injection of faults into one in a hundred allocations. */
	bool inject;
	/* Pages of 2M that the pool has. */
	u64 nr_2m;
	/* Which operations to do. */
	bool selected[STRESS_LIFE];
	/* End after this many, however many are selected. */
	u32 nr_ops;
	/* Who gets to this one kills the process instead, though it be not selected. */
	u32 kill_at;
};

/* @tag: what the memory of the file holds; @shared_tag: memory elsewhere. */
struct stress_page {
	u64 tag;
	u64 shared_tag;
	u16 nr_pins;
	bool private;
	bool poisoned;
	/* Contents were left unspecified. */
	bool unknown;
};

struct stress_extent {
	bool allocated;
	/* An attempt to allocate may have failed, or not. */
	bool uncertain;
	bool poisoned;
};

struct stress_slot {
	u64 first;
	u64 nr;
	bool bound;
	u64 gpa;
	/* The thread that may change it in this round, or all leave it alone. */
	s32 owner;
};

/* Pages that one thread alone converts, punches and writes in this round. */
struct stress_segment {
	u64 first;
	u64 nr;
	u32 owner;
};

enum stress_access {
	STRESS_CHECK,
	STRESS_WRITE,
	/* Read, whatever is there. */
	STRESS_TOUCH,
};

/* In memory without guest_memfd: what the guest does next. */
struct stress_guest {
	u64 access;
	u64 step;
	u64 nr;
	u64 nr_bad;
	u64 bad_page;
	u64 bad_word;
	u64 bad_value;
	struct {
		u64 page;
		u64 gva;
		u64 tag;
	} list[STRESS_LIST];
};

struct stress_held {
	struct gmem_pin pin;
	u64 page;
};

struct stress_world;

struct stress_thread {
	struct stress_world *w;
	u32 id;
	pthread_t thread;
	struct kvm_random_state rng;
	/* Number of the operation. */
	u32 op;
	struct kvm_vcpu *vcpu;
	struct stress_guest *guest;
	bool waiting;
	int make_it_fail;
	/* A mapping of its own. */
	u8 *map;
	u64 map_first;
	u64 map_nr;
	struct stress_held held[STRESS_NR_PINS];
	u32 nr_held;
};

struct stress_world {
	const struct stress_config *config;
	struct stress_shared *shared;
	struct kvm_vm *vm;
	int fd;
	/* The memory as the slots' userspace has it. */
	u8 *mem;
	u64 nr_pages;
	struct stress_page *pages;
	struct stress_extent extents[STRESS_NR_EXTENTS];
	struct stress_slot slots[STRESS_NR_SLOTS];
	struct stress_segment segments[STRESS_NR_CUTS + 1];
	u32 nr_segments;
	struct stress_thread threads[STRESS_NR_THREADS];
	pthread_barrier_t barrier;
	u32 round;
	/* Between rounds, when one thread acts for all. */
	bool quiet;
	/* One at a time: the process is in one cgroup. */
	pthread_mutex_t lock;
	/* Held for reading while allocations fail, for writing by who forks. */
	pthread_rwlock_t fork_lock;
	/* For O_DIRECT. */
	int disk;
	/* Another process has all that this one has. */
	bool has_heir;
};

/* A range of pages that belongs to the thread. */
struct stress_range {
	u64 first;
	u64 nr;
};

/* guest_memfd_stress.c: the world */
struct stress_config stress_config(u32 seed, bool inject);
u64 stress_hash(u64 seed, u64 number);
/* Live: set up, all operations with checks in between, an end. */
void stress_live(const struct stress_config *config, struct stress_shared *shared,
		 int disk);

static inline bool stress_has_mmap(const struct stress_world *w)
{
	return w->config->flags & GUEST_MEMFD_FLAG_MMAP;
}

static inline u64 stress_extent_pages(const struct stress_world *w)
{
	return BIT_ULL(w->config->order ?: ORDER_2M);
}

/* What a page holds for whoever may touch it now. */
static inline u64 *stress_tag(struct stress_world *w, u64 page)
{
	struct stress_page *p = &w->pages[page];

	return p->private || stress_has_mmap(w) ? &p->tag : &p->shared_tag;
}

/* guest_memfd_stress_access.c: the guest and the host touch pages */
u64 stress_random_below(struct stress_thread *t, u64 end);
bool stress_pick_range(struct stress_thread *t, struct stress_range *r);
bool stress_failed_elsewhere(const struct stress_world *w, int error);
void stress_inject(struct stress_thread *t, bool on);
void stress_guest_init(struct stress_thread *t);
bool stress_guest_may(struct stress_thread *t, u64 page);
void stress_guest_access(struct stress_thread *t, const u64 *pages, u32 nr,
			 enum stress_access access, u64 step);
/* Note where vCPUs are that shut down. */
void stress_trace_shutdowns(bool on);
/* Have STRESS_SIGNAL interrupt KVM_RUN, and nothing else. */
void stress_catch_signal(void);
/* Once, and then the guest is of no more use: 0 or an errno. */
int stress_guest_try(struct stress_thread *t, u64 page);
void stress_host_access(struct stress_thread *t, u8 *mem, u64 page, bool write);
void stress_touched(struct stress_world *w, u64 page, bool done);

/* guest_memfd_stress_ops.c: operations */
const char *stress_kind_name(u32 kind);
/* What operation @number is to be, in any life with this seed. */
u32 stress_kind(const struct stress_config *config, u32 number);
enum stress_result stress_do(struct stress_thread *t, u32 kind);
/* The page is held: what the reference shows must be what it has. */
void stress_check_held(struct stress_thread *t, struct stress_held *h);
int stress_bind(struct stress_world *w, struct stress_slot *s, gpa_t gpa);

#endif /* SELFTEST_KVM_GUEST_MEMFD_STRESS_H */
