// SPDX-License-Identifier: GPL-2.0-only
/*
 * Snapshots of a guest_memfd for the selftests, and poisoned pages.
 *
 * To look at a shared page is to map it, which makes its block small.  So a
 * snapshot looks at pages first and at the layout last, and whoever compares
 * looks at the same pages.  Pages without memory are left alone.
 *
 * See Documentation/virt/kvm/guest_memfd_hugetlb.rst.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cgroup_util.h"
#include "guest_memfd_state.h"

#define EXTENTS		"/sys/kernel/debug/hugetlb_gmem/extents"
#define CORRUPT_PFN	"/sys/kernel/debug/hwpoison/corrupt-pfn"
/* Pages on each side of an end that are looked at, and others in the file. */
#define NR_NEAR		32
#define NR_SPREAD	32

static u64 file_ino(int fd)
{
	struct stat st;

	TEST_ASSERT(!fstat(fd, &st), "fstat() failed, errno: %d", errno);
	return st.st_ino;
}

u64 gmem_blocks(int fd)
{
	struct stat st;

	TEST_ASSERT(!fstat(fd, &st), "fstat() failed, errno: %d", errno);
	return st.st_blocks;
}

static FILE *open_extents(void)
{
	FILE *file = fopen(EXTENTS, "r");

	TEST_ASSERT(file, "No " EXTENTS ": set CONFIG_HUGETLB_GMEM_DEBUG");
	return file;
}

static void read_layout(int fd, char text[GMEM_LAYOUT_TEXT])
{
	FILE *file = open_extents();
	u64 ino, want = file_ino(fd);
	size_t len = 0;
	char line[512];

	text[0] = 0;
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "ino=%lu", &ino) != 1 || ino != want)
			continue;
		TEST_ASSERT(len + strlen(line) < GMEM_LAYOUT_TEXT, "Too many extents");
		len += sprintf(text + len, "%s", line);
	}
	fclose(file);
}

/* Only a shared page that is mapped says where it is. */
static u64 base_pfn(struct gmem_vm *g, u64 page)
{
	u8 *mem = (u8 *)gmem_host_page(g, page);
	bool private = gmem_host_access(mem, false);
	u64 pfn;

	if (private) {
		gmem_convert(g, page, 1, false);
		TEST_ASSERT_EQ(gmem_host_access(mem, true), 0);
	}
	pfn = gmem_host_pfn(mem);
	if (private)
		gmem_convert(g, page, 1, true);
	return pfn;
}

static u64 hugetlb_pfn(struct gmem_vm *g, u64 page)
{
	u64 ino, index, pfn, found = 0, want = file_ino(g->fd);
	FILE *file = open_extents();
	unsigned int order;
	char line[512];

	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "ino=%lu index=%lu pfn=%lu order=%u", &ino,
			   &index, &pfn, &order) == 4 && ino == want &&
		    page >= index && page < index + BIT_ULL(order))
			found = pfn + page - index;
	}
	fclose(file);
	TEST_ASSERT(found, "Page %lu has no memory", page);
	return found;
}

u64 gmem_pfn(struct gmem_vm *g, u64 page)
{
	return g->config.order ? hugetlb_pfn(g, page) : base_pfn(g, page);
}

static bool has_memory(struct gmem_vm *g, u64 page)
{
	unsigned char resident;

	/* What has only been allocated is not uptodate, which mincore() wants. */
	if (!g->config.order)
		return true;

	TEST_ASSERT(!mincore(gmem_host_page(g, page), PAGE_SIZE, &resident),
		    "mincore() failed, errno: %d", errno);
	return resident & 1;
}

enum gmem_probe gmem_probe(struct gmem_vm *g, u64 page)
{
	if (!has_memory(g, page))
		return GMEM_UNALLOCATED;
	if (gmem_pre_fault(g, page, 1) == EHWPOISON)
		return GMEM_POISONED;
	return gmem_host_access(gmem_host_page(g, page), false) ?
	       GMEM_PRIVATE : GMEM_SHARED;
}

static void add_pages(struct gmem_vm *g, struct gmem_snapshot *s, u64 page,
		      u64 end, u64 step)
{
	for (; page < min_t(u64, end, g->nr_pages); page += step) {
		TEST_ASSERT(s->nr_probes < GMEM_PROBES_MAX, "Too many pages");
		s->pages[s->nr_probes++] = page;
	}
}

static void choose_pages(struct gmem_vm *g, struct gmem_snapshot *s, u64 first,
			 u64 nr)
{
	/* Odd, for the pages not to be the same in every block. */
	u64 step = g->nr_pages / NR_SPREAD | 1;

	s->nr_probes = 0;
	add_pages(g, s, first - min_t(u64, first, NR_NEAR), first + NR_NEAR, 1);
	add_pages(g, s, first + nr - min_t(u64, nr, NR_NEAR),
		  first + nr + NR_NEAR, 1);
	add_pages(g, s, 0, g->nr_pages, step);
	add_pages(g, s, g->nr_pages - 1, g->nr_pages, 1);
}

static void check_contents(struct gmem_vm *g, const struct gmem_snapshot *s)
{
	u64 i, nr = 0;

	for (i = 0; i < s->nr_probes; i++) {
		if (s->probes[i] == GMEM_SHARED)
			gmem_host_check(g, s->pages[i], GMEM_STEP_SPREAD);
		if (s->probes[i] == GMEM_SHARED || s->probes[i] == GMEM_PRIVATE)
			g->model->list[nr++] = s->pages[i];
	}
	if (!g->dead)
		gmem_guest_check_list(g, nr, GMEM_STEP_SPREAD);
}

/* What is the same however often it is looked at. */
static void take(struct gmem_vm *g, struct gmem_snapshot *s)
{
	u64 i;

	for (i = 0; i < s->nr_probes; i++)
		s->probes[i] = gmem_probe(g, s->pages[i]);
	check_contents(g, s);
	s->st_blocks = gmem_blocks(g->fd);
	read_layout(g->fd, s->layout);
	if (g->config.order)
		hugetlb_pool_read(gmem_page_size(g->config.order), &s->pool);
}

void gmem_snapshot(struct gmem_vm *g, struct gmem_snapshot *s, u64 first, u64 nr)
{
	TEST_ASSERT(gmem_in_place(g), "The host cannot look at the file");
	memset(s, 0, sizeof(*s));
	choose_pages(g, s, first, nr);
	take(g, s);
}

void gmem_assert_unchanged(struct gmem_vm *g, const struct gmem_snapshot *s,
			   const char *when)
{
	static struct gmem_snapshot now;
	u64 i;

	now = *s;
	take(g, &now);
	for (i = 0; i < s->nr_probes; i++)
		TEST_ASSERT(now.probes[i] == s->probes[i],
			    "%s: page %u is %d, was %d (enum gmem_probe)", when,
			    s->pages[i], now.probes[i], s->probes[i]);
	TEST_ASSERT(!strcmp(now.layout, s->layout), "%s: layout\n%swas\n%s",
		    when, now.layout, s->layout);
	TEST_ASSERT(now.st_blocks == s->st_blocks, "%s: st_blocks %lu, was %lu",
		    when, now.st_blocks, s->st_blocks);
	TEST_ASSERT(!memcmp(&now.pool, &s->pool, sizeof(s->pool)),
		    "%s: pool free %lu resv %lu, was %lu %lu", when,
		    now.pool.free, now.pool.resv, s->pool.free, s->pool.resv);
}

/* The pool loses an extent once, however many of its pages are poisoned. */
static void note_poisoned(struct gmem_vm *g, u64 page)
{
	u64 extent = page >> g->config.order;

	if (!g->config.order)
		return;
	TEST_ASSERT(extent < 64, "Poison in extent %lu", extent);
	g->poisoned |= BIT_ULL(extent);
}

static void take_no_action(int signal)
{
}

/*
 * The kernel says EBUSY for a base page, as memory_failure() has nowhere to free
 * it to.  The page is poisoned all the same.
 */
static void assert_poisoned(struct gmem_vm *g, u64 page, int ret)
{
	TEST_ASSERT(!ret || (!g->config.order && ret == EBUSY),
		    "Poisoning page %lu: %s: set CONFIG_HWPOISON_INJECT, be root",
		    page, strerror(ret));
	note_poisoned(g, page);
}

/* Whoever has mapped the page may be told as it happens. */
void gmem_poison_pfn(struct gmem_vm *g, u64 page, u64 pfn)
{
	sighandler_t old = signal(SIGBUS, take_no_action);
	char text[32];
	ssize_t ret;

	snprintf(text, sizeof(text), "0x%lx", pfn);
	ret = write_text(CORRUPT_PFN, text, strlen(text));
	signal(SIGBUS, old);
	assert_poisoned(g, page, ret < 0 ? -ret : 0);
}

void gmem_poison(struct gmem_vm *g, u64 page)
{
	gmem_poison_pfn(g, page, gmem_pfn(g, page));
}

void gmem_poison_mapped(struct gmem_vm *g, u64 page)
{
	sighandler_t old = signal(SIGBUS, take_no_action);
	int ret = madvise(gmem_host_page(g, page), PAGE_SIZE, MADV_HWPOISON) ? errno : 0;

	signal(SIGBUS, old);
	assert_poisoned(g, page, ret);
}

/* There is no memory to save the state to on an SMI. */
void gmem_kill_vm(struct gmem_vm *g)
{
	vcpu_set_msr(g->vcpu, MSR_IA32_SMBASE, SZ_1G + SZ_2G);
	vcpu_ioctl(g->vcpu, KVM_SMI, NULL);
	TEST_ASSERT_EQ(gmem_guest_run(g, GMEM_TOUCH, 0, 1, 0), EIO);
	TEST_ASSERT(__vm_ioctl(g->vm, KVM_CHECK_EXTENSION, NULL) < 0 && errno == EIO,
		    "ioctl() on a dead VM, errno: %d", errno);
	g->dead = true;
}

void gmem_assert_sums(const char *text)
{
	static const char * const sizes[] = {
		"1G", "512M", "256M", "128M", "64M", "32M", "16M", "8M", "4M", "2M",
	};
	u64 page_kb = gmem_fdinfo_value(text, "page-size");
	u64 allocated = gmem_fdinfo_value(text, "allocated");
	u64 kb = gmem_fdinfo_value(text, "folios-4K") * (PAGE_SIZE / SZ_1K), i;
	char key[16];

	TEST_ASSERT(gmem_fdinfo_value(text, "node0") == allocated,
		    "What is allocated is on no node:\n%s", text);
	TEST_ASSERT(gmem_fdinfo_value(text, "private") +
		    gmem_fdinfo_value(text, "shared") == allocated,
		    "Private and shared are not what is allocated:\n%s", text);
	TEST_ASSERT((gmem_fdinfo_value(text, "whole") +
		     gmem_fdinfo_value(text, "split")) * page_kb == allocated,
		    "Whole and split are not what is allocated:\n%s", text);
	TEST_ASSERT(gmem_fdinfo_value(text, "merge-pending") <=
		    gmem_fdinfo_value(text, "split"),
		    "More is pending than is split:\n%s", text);
	TEST_ASSERT(gmem_fdinfo_value(text, "collateral") <=
		    gmem_fdinfo_value(text, "private"),
		    "More collateral than private memory:\n%s", text);
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		snprintf(key, sizeof(key), "folios-%s", sizes[i]);
		kb += gmem_fdinfo_value(text, key) * ((SZ_1G / SZ_1K) >> i);
	}
	TEST_ASSERT(kb == allocated, "Folios of %lu kB:\n%s", kb, text);
}
