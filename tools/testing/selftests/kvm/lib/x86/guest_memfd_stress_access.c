// SPDX-License-Identifier: GPL-2.0-only
/*
 * How threads of the stress test touch pages, as the guest and as the host, and
 * which pages they choose.
 *
 * A thread has a vCPU of its own.  All that it writes and checks are pages of its
 * own segments, where nobody else changes anything before the next quiet point;
 * so what it must find there is known, whatever happens in pages next to them.
 *
 * See Documentation/virt/kvm/guest_memfd_hugetlb.rst.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guest_memfd_stress.h"
#include "guest_memfd_trace.h"
#include "kselftest.h"
#include "ucall_common.h"

/* Nobody holds a page, or fails for want of memory, so many times in a row. */
#define NR_ATTEMPTS	100000
#define KVM_EXIT_EVENT	"/sys/kernel/tracing/events/kvm/kvm_exit/"
#define SVM_EXIT_SHUTDOWN "127"

u64 stress_random_below(struct stress_thread *t, u64 end)
{
	return kvm_random_u64_in_range(&t->rng, 0, end - 1);
}

/* Let every magnitude be as likely as any other, up to the segment. */
static void range_in_segment(struct stress_thread *t, const struct stress_segment *s,
			     struct stress_range *r)
{
	u64 magnitude = BIT_ULL(stress_random_below(t, 64 - __builtin_clzl(s->nr)));

	r->nr = magnitude + (kvm_random_bool(&t->rng) ? stress_random_below(t, magnitude) : 0);
	r->nr = min_t(u64, r->nr, s->nr);
	r->first = s->first + stress_random_below(t, s->nr - r->nr + 1);
	if (kvm_random_bool(&t->rng))
		r->first = max_t(u64, s->first, r->first / magnitude * magnitude);
	/* Rarely, all that there is: this is how extents are punched whole. */
	if (__kvm_random_bool(&t->rng, 10))
		*r = (struct stress_range){ s->first, s->nr };
}

bool stress_pick_range(struct stress_thread *t, struct stress_range *r)
{
	u32 i, start = stress_random_below(t, t->w->nr_segments);
	const struct stress_segment *s;

	for (i = 0; i < t->w->nr_segments; i++) {
		s = &t->w->segments[(start + i) % t->w->nr_segments];
		if (s->owner != t->id)
			continue;
		range_in_segment(t, s, r);
		return true;
	}
	return false;
}

/*
 * From here on, allocations of this thread may fail.  After a fork() those are
 * among them that a write to its stack needs, so that the kernel cannot write
 * there either: do not fork now, and write to the stack before a system call does.
 */
void stress_inject(struct stress_thread *t, bool on)
{
	struct stress_world *w = t->w;

	/* Nothing may fail while everything is looked at. */
	if (!w->config->inject || w->quiet)
		return;
	if (on)
		pthread_rwlock_rdlock(&w->fork_lock);
	TEST_ASSERT(pwrite(t->make_it_fail, on ? "1" : "0", 1, 0) == 1,
		    "Writing make-it-fail, errno: %d", errno);
	if (!on)
		pthread_rwlock_unlock(&w->fork_lock);
}

/* Does KVM say so if userspace's memory could not be had? */
bool stress_failed_elsewhere(const struct stress_world *w, int error)
{
	return error == EFAULT && w->config->inject && !stress_has_mmap(w);
}

static void guest_check(struct stress_guest *g, u64 i)
{
	const u64 *words = (u64 *)g->list[i].gva;
	int bad = gmem_bad_word(words, g->list[i].tag, g->step);

	if (bad >= 0 && !g->nr_bad++) {
		g->bad_page = i;
		g->bad_word = bad;
		g->bad_value = words[bad];
	}
}

static void guest_code(struct stress_guest *g)
{
	u64 *words, i;

	for (;;) {
		GUEST_SYNC(0);

		for (i = 0; i < g->nr; i++) {
			words = (u64 *)g->list[i].gva;
			if (g->access == STRESS_WRITE)
				gmem_write_words(words, g->list[i].tag);
			else if (g->access == STRESS_CHECK)
				guest_check(g, i);
			else
				READ_ONCE(words[0]);
		}
	}
}

/* How a guest stopped that should not have. */
static void print_stop(struct stress_thread *t)
{
	char *trace = gmem_trace_read();

	ksft_print_msg("vCPU %u stopped; shutdowns of all vCPUs, in the guest:\n%s", t->id,
		       trace);
	free(trace);
	vcpu_dump(stdout, t->vcpu, 1);
	fflush(stdout);
}

/* Is this a reason to try again? */
static bool run_again(struct stress_thread *t, int error)
{
	switch (error) {
	case EINTR:
	case EAGAIN:
		return true;
	case EFAULT:
		/* What others have may be converted just as it is mapped. */
		return stress_failed_elsewhere(t->w, error) ||
		       (t->w->config->inject &&
			t->vcpu->run->exit_reason != KVM_EXIT_MEMORY_FAULT) ||
		       (t->guest->access == STRESS_TOUCH &&
			t->vcpu->run->exit_reason == KVM_EXIT_MEMORY_FAULT);
	case ENOMEM:
		return t->w->config->inject;
	default:
		return false;
	}
}

static void ignore_signal(int signal)
{
}

void stress_catch_signal(void)
{
	struct sigaction action = { .sa_handler = ignore_signal, .sa_flags = SA_RESTART };

	TEST_ASSERT(!sigaction(STRESS_SIGNAL, &action, NULL), "sigaction(), errno: %d", errno);
}

void stress_trace_shutdowns(bool on)
{
	gmem_write_file(KVM_EXIT_EVENT "filter", on ? "exit_reason == " SVM_EXIT_SHUTDOWN : "0");
	gmem_write_file(KVM_EXIT_EVENT "enable", on ? "1" : "0");
}

/*
 * KVM resets a vCPU whose processor shuts down: the trace has where it was.  One that
 * KVM itself shuts down, for a fault while it injects #DF, stays as it is: return 0.
 */
static u64 last_shutdown(void)
{
	char *at, *trace = gmem_trace_read();
	u64 rip = 0;

	for (at = trace; (at = strstr(at, " rip ")); at++)
		rip = strtoul(at + strlen(" rip "), NULL, 16);
	free(trace);
	return rip;
}

/*
 * QEMU emulates SVM, and once in some hundred thousand exits the state of the host
 * is what VMRUN leaves in the VMCB: the guest goes on at the instruction after
 * VMRUN, with the host's CR3, where it never gets anywhere, or shuts down.  Nothing
 * of what is tested here touches that state.  The guest has no code in the upper
 * half.
 */
static u64 check_vcpu(struct stress_thread *t)
{
	struct kvm_regs regs;
	u64 rip;

	vcpu_regs_get(t->vcpu, &regs);
	rip = t->vcpu->run->exit_reason == KVM_EXIT_SHUTDOWN ? last_shutdown() : 0;
	if (!rip)
		rip = regs.rip;
	if (!(rip >> 63))
		return rip;
	ksft_print_msg("vCPU %u was at 0x%lx, where the guest has nothing\n", t->id, rip);
	fflush(stdout);
	_exit(STRESS_LOST_VCPU);
}

static u32 run_once(struct stress_thread *t)
{
	pid_t *running = &t->w->shared->running[t->id];
	u32 error;

	stress_inject(t, true);
	WRITE_ONCE(*running, gettid());
	error = __vcpu_run(t->vcpu) ? errno : 0;
	WRITE_ONCE(*running, 0);
	stress_inject(t, false);
	if (error == EINTR)
		check_vcpu(t);
	return error;
}

static void run_until_sync(struct stress_thread *t)
{
	struct kvm_run *run = t->vcpu->run;
	struct ucall uc;
	u32 i, error;
	u64 rip = 0;

	for (i = 0; i < NR_ATTEMPTS; i++) {
		error = run_once(t);
		if (error && run_again(t, error))
			continue;
		if (error || get_ucall(t->vcpu, &uc) != UCALL_SYNC) {
			rip = check_vcpu(t);
			print_stop(t);
		}
		TEST_ASSERT(!error, "KVM_RUN: %s, %s at gpa 0x%llx", strerror(error),
			    exit_reason_str(run->exit_reason), run->memory_fault.gpa);
		TEST_ASSERT(uc.cmd == UCALL_SYNC, "Guest stopped for %s at 0x%lx",
			    exit_reason_str(run->exit_reason), rip);
		return;
	}
	TEST_FAIL("KVM_RUN: still %s", strerror(error));
}

void stress_guest_init(struct stress_thread *t)
{
	t->vcpu = vm_vcpu_add(t->w->vm, t->id, guest_code);
	vcpu_args_set(t->vcpu, 1, GMEM_MODEL_GPA + t->id * align_up(sizeof(*t->guest), PAGE_SIZE));
	t->waiting = false;
}

static struct stress_slot *slot_of(struct stress_world *w, u64 page)
{
	u32 i;

	for (i = 0; i < STRESS_NR_SLOTS; i++) {
		if (page - w->slots[i].first < w->slots[i].nr)
			return &w->slots[i];
	}
	TEST_FAIL("Page %lu is in no slot", page);
	return NULL;
}

/* Is the page there, and is it not bad, and will it stay so? */
bool stress_guest_may(struct stress_thread *t, u64 page)
{
	struct stress_slot *s = slot_of(t->w, page);

	return s->bound && (s->owner < 0 || s->owner == t->id) &&
	       !t->w->pages[page].poisoned;
}

static void add_page(struct stress_thread *t, u64 page)
{
	struct stress_slot *s = slot_of(t->w, page);
	struct stress_guest *g = t->guest;

	/* What is not known now is known once it has been written. */
	if (g->access == STRESS_CHECK && t->w->pages[page].unknown)
		return;
	g->list[g->nr].page = page;
	g->list[g->nr].gva = s->gpa + (page - s->first) * PAGE_SIZE;
	g->list[g->nr].tag = *stress_tag(t->w, page);
	g->nr++;
}

/* Write what the model has, or compare with it. */
void stress_guest_access(struct stress_thread *t, const u64 *pages, u32 nr,
			 enum stress_access access, u64 step)
{
	struct stress_guest *g = t->guest;
	u32 i;

	if (!t->waiting)
		run_until_sync(t);
	t->waiting = true;

	memset(g, 0, sizeof(*g));
	g->access = access;
	g->step = step;
	for (i = 0; i < nr; i++)
		add_page(t, pages[i]);
	run_until_sync(t);
	TEST_ASSERT(!g->nr_bad,
		    "Guest finds %lu wrong pages, first page %lu word %lu: 0x%lx, wanted 0x%lx",
		    g->nr_bad, g->list[g->bad_page].page, g->bad_word, g->bad_value,
		    gmem_word(g->list[g->bad_page].tag, g->bad_word));
	for (i = 0; i < g->nr; i++)
		stress_touched(t->w, g->list[i].page, access != STRESS_TOUCH);
}

int stress_guest_try(struct stress_thread *t, u64 page)
{
	int error;

	if (!t->waiting)
		run_until_sync(t);
	memset(t->guest, 0, sizeof(*t->guest));
	t->guest->access = STRESS_WRITE;
	add_page(t, page);
	do {
		/* A ring that has been closed interrupts, some time later. */
		error = __vcpu_run(t->vcpu) ? errno : 0;
	} while (error == EINTR);
	return error;
}

/* The page has memory now, or may have. */
void stress_touched(struct stress_world *w, u64 page, bool done)
{
	struct stress_extent *e = &w->extents[page / stress_extent_pages(w)];

	/* Memory elsewhere is none of the file's. */
	if (!w->pages[page].private && !stress_has_mmap(w))
		return;
	if (done)
		WRITE_ONCE(e->allocated, true);
	else if (!READ_ONCE(e->allocated))
		WRITE_ONCE(e->uncertain, true);
}

struct host_access {
	u64 *words;
	u64 tag;
	bool write;
	int bad;
	u64 value;
};

static void do_host_access(void *data)
{
	struct host_access *a = data;

	if (a->write) {
		gmem_write_words(a->words, a->tag);
		return;
	}
	a->bad = gmem_bad_word(a->words, a->tag, GMEM_STEP_SPREAD);
	if (a->bad >= 0)
		a->value = READ_ONCE(a->words[a->bad]);
}

/* A page that is private, or bad, must not let the host in. */
void stress_host_access(struct stress_thread *t, u8 *mem, u64 page, bool write)
{
	struct stress_world *w = t->w;
	struct stress_page *p = &w->pages[page];
	struct host_access a = { (u64 *)mem, *stress_tag(w, page), write, -1 };
	bool refused = stress_has_mmap(w) && (p->private || p->poisoned);
	int code;

	/* Memory elsewhere is there, and is not what the guest has. */
	if (p->private && !stress_has_mmap(w))
		return;

	stress_inject(t, true);
	code = gmem_host_call(do_host_access, &a);
	stress_inject(t, false);
	stress_touched(w, page, !code);
	TEST_ASSERT(!code == !refused, "Host %s page %lu, which is %s: si_code %d",
		    write ? "writes" : "reads", page,
		    p->poisoned ? "poisoned" : p->private ? "private" : "shared", code);
	TEST_ASSERT(a.bad < 0 || p->unknown,
		    "Host finds page %lu word %d: 0x%lx, wanted 0x%lx", page, a.bad,
		    a.value, gmem_word(a.tag, a.bad));
}
